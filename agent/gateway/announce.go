package gateway

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// Announcer tells an installer of downloads over a Unix socket on which the
// installer listens: for each DownloadComplete and DownloadFailed it connects,
// writes one envelope (client.md 4.4) and closes its sending half. There is no
// acknowledgement.
//
// While nobody listens it tries again, more and more rarely, for an hour. An
// installer that starts later than that hears of an image when the client
// starts the next time.
type Announcer struct {
	events *agent.Subscription
	path   string
	log    *slog.Logger
	wait   func(ctx context.Context, attempt int) error // before another attempt, from 1
}

const (
	firstPause   = time.Second
	longestPause = time.Minute
	// giveUp is after how long an event is not news any more.
	giveUp = time.Hour
	// maxUntold bounds the events that wait; the oldest go first.
	maxUntold = 100
)

// NewAnnouncer makes one for the installer that listens, or will listen, on
// path, and listens to c from now on. A nil log means slog.Default.
func NewAnnouncer(c Teller, path string, log *slog.Logger) *Announcer {
	if log == nil {
		log = slog.Default()
	}
	return &Announcer{events: c.Subscribe(eventBuffer), path: path, log: log, wait: pause}
}

// pause waits a second before the second attempt, then twice as long each
// time, up to a minute.
func pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(min(longestPause, firstPause<<min(attempt-1, 10)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// notice is what is to be told of one update.
type notice struct {
	update   ota.UpdateID
	envelope []byte
	since    time.Time
}

// Serve announces until ctx ends, or the client has, which is nil.
func (a *Announcer) Serve(outer context.Context) error {
	all, ctx := errgroup.WithContext(outer)
	waiting := newBacklog()
	all.Go(func() error { return a.listen(ctx, waiting) })
	all.Go(func() error { return a.tell(ctx, waiting) })
	err := all.Wait()
	if outer.Err() != nil || errors.Is(err, agent.ErrStopped) {
		return nil
	}
	return err
}

// listen picks out what an installer wants to hear.
func (a *Announcer) listen(ctx context.Context, waiting *backlog) error {
	defer a.events.Close()
	for {
		e, missed, err := a.events.Next(ctx)
		if err != nil {
			return err
		}
		if missed > 0 {
			a.log.Warn("socket gateway: too slow for the client's events", "missed", missed)
		}
		id, envelope, err := encodeEnvelope(e)
		if err != nil {
			return err
		}
		if envelope != nil {
			waiting.add(notice{id, envelope, time.Now()})
		}
	}
}

// tell delivers what waits, in order.
func (a *Announcer) tell(ctx context.Context, waiting *backlog) error {
	for {
		n, err := waiting.first(ctx)
		if err != nil {
			return err
		}
		if err := a.insist(ctx, n, waiting); err != nil {
			return err
		}
	}
}

// insist delivers one notice, unless it gets old or others push it out.
func (a *Announcer) insist(ctx context.Context, n notice, waiting *backlog) error {
	for attempt := 1; waiting.has(n); attempt++ {
		err := a.deliver(ctx, n.envelope)
		switch {
		case err == nil:
			waiting.done(n)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(n.since) > giveUp:
			a.log.Warn("socket gateway: no installer listens, giving up", "update", n.update, "err", err)
			waiting.done(n)
			return nil
		case attempt == 1:
			a.log.Info("socket gateway: no installer listens yet", "update", n.update, "err", err)
		}
		if err := a.wait(ctx, attempt); err != nil {
			return err
		}
	}
	return nil
}

func (a *Announcer) deliver(ctx context.Context, envelope []byte) error {
	file, err := openSocket(a.path)
	if err != nil {
		return err
	}
	defer file.Close()
	conn, err := file.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(writeTime))
	if _, err := conn.Write(envelope); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil && !errors.Is(err, unix.ENOTCONN) { // the peer was quicker
		return os.NewSyscallError("shutdown", err)
	}
	return nil
}
