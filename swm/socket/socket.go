// Package socket is the software loading manager's door for systems without
// D-Bus (client.md 5.5): it listens on the socket of events, and sends its
// commands to the socket of commands.
package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm"
)

// Manager is who the door is for; *swm.Manager is one.
type Manager interface {
	DownloadComplete(path string, id ota.UpdateID) error
	Run(ctx context.Context, c swm.Client) error
}

// Options say where the sockets are.
type Options struct {
	Events   string // where we listen
	Commands string // where the client does
	Log      *slog.Logger
}

// Limits of what a peer may send, and how long it may take.
const (
	maxInput = 1 << 20 // bytes
	patience = 30 * time.Second
	maxPeers = 16 // at a time
)

// Serve opens the door and runs m behind it until ctx ends, which is nil. It
// fails if it cannot listen.
func Serve(ctx context.Context, m Manager, o Options) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := listen(o.Events)
	if err != nil {
		return fmt.Errorf("listen for events: %w", err)
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	o.Log.Info("listens for events", "path", o.Events)
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx, client{o.Commands, o.Log}) }()
	err = accept(ctx, l, o.Log, func(conn net.Conn) { hear(conn, m, o.Log) })
	cancel()
	return errors.Join(err, <-ran)
}

// accept serves peers until ctx ends, which is nil, or the listener fails. One
// that lacks something for now, such as file descriptors, is tried again.
func accept(ctx context.Context, l net.Listener, log *slog.Logger, serve func(net.Conn)) error {
	room := make(chan struct{}, maxPeers)
	for short := false; ; {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case shortage(err):
			if !short {
				log.Warn("peers have to wait", "err", err)
			}
			short = true
			rest(ctx)
			continue
		case err != nil:
			return err
		}
		short = false
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return nil
		}
		go func() {
			defer func() { <-room }()
			defer conn.Close()
			serve(conn)
		}()
	}
}

// shortage reports whether accept(2) failed for want of something that may be
// there again soon.
func shortage(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// rest waits a little, or until ctx ends.
func rest(ctx context.Context) {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// hear takes one event.
func hear(conn net.Conn, m Manager, log *slog.Logger) {
	conn.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(io.LimitReader(conn, maxInput+1))
	if err == nil {
		err = tell(text, m, log)
	}
	if err != nil {
		log.Warn("refused an event", "err", err)
	}
}

// envelope is an event's form (client.md 4.4). Members that are not known are
// ignored.
type envelope struct {
	Version string `json:"version"`
	Event   string `json:"event"`
	Data    struct {
		Update ota.UpdateID `json:"update_id"`
		Image  string       `json:"update_image"`
		Reason string       `json:"reason"`
	} `json:"data"`
}

// tell reads an event and passes it on. It fails with KindInvalid.
func tell(text []byte, m Manager, log *slog.Logger) error {
	var e envelope
	switch err := json.Unmarshal(text, &e); {
	case len(text) > maxInput:
		return ota.Invalid("an event is longer than %d bytes", maxInput)
	case err != nil:
		return ota.Invalid("an event is not what it should be: %v", err)
	case e.Version != "0.1":
		return ota.Invalid("an event has the version %q, expected 0.1", e.Version)
	}
	switch e.Event {
	case "DownloadComplete":
		if e.Data.Update == "" {
			return ota.Invalid("DownloadComplete has no update_id")
		}
		return m.DownloadComplete(e.Data.Image, e.Data.Update)
	case "DownloadFailed":
		log.Info("a download failed", "update", e.Data.Update, "reason", e.Data.Reason)
		return nil
	}
	return ota.Invalid("there is no event %q", e.Event)
}

// listen listens on path, for us and our group. A socket there that nobody
// listens on is replaced.
func listen(path string) (net.Listener, error) {
	switch st, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	case st.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("%s is there, and is not a socket: remove it or choose another path", path)
	default:
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s is in use by another program", path)
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
