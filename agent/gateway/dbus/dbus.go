// Package dbus is the door for a software loading manager, the external
// installer of client.md 5.4: it calls methods of ours and we call methods of
// its, on the session or the system bus.
//
// What comes in is read in object.go and arguments.go: a method call becomes a
// command. What goes out is in session.go: every event as a signal, and for
// the three events that an installer must act on a call (manager.go), which is
// repeated to a manager that starts anew (errands.go). A bus that goes away is
// waited for.
package dbus

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/agent/gateway"
)

// Client is the part of the client that this door uses.
type Client interface {
	gateway.Client
	// Subscribe collects events from now on, up to buffer of them unread.
	Subscribe(buffer int) *agent.Subscription
}

// Options are the parts a Gateway is made of.
type Options struct {
	Config agent.DBusConfig
	Getenv func(string) string // tells where the bus is, such as os.Getenv
	Log    *slog.Logger        // nil: slog.Default
}

// Gateway is the door on the bus.
type Gateway struct {
	client  Client
	cfg     agent.DBusConfig
	getenv  func(string) string
	log     *slog.Logger
	events  *agent.Subscription
	unsent  agent.Event // taken from events when the bus went away
	errands errands
	waits   *backoff.ExponentialBackOff // between attempts to reach the bus
	up      func()                      // called when the door is open; nil but in tests
}

// backlog is how many events wait while the bus is away or slow.
const backlog = 1000

// New makes the door and begins to collect events. It touches no bus yet.
func New(c Client, o Options) *Gateway {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval, waits.Multiplier = time.Second, time.Minute, 2
	return &Gateway{
		client: c, cfg: o.Config, getenv: o.Getenv, log: o.Log.With("gateway", "dbus"),
		events: c.Subscribe(backlog), waits: waits,
	}
}

// Serve talks on the bus until ctx or the client ends, which is nil. A bus
// that cannot be reached, or goes away, is tried again after 1 s, then less
// and less often, at least once in 90 s.
func (g *Gateway) Serve(ctx context.Context) error {
	defer g.events.Close()
	for told := ""; ; {
		err := g.session(ctx)
		if ctx.Err() != nil || errors.Is(err, agent.ErrStopped) {
			return nil
		}
		again := g.waits.NextBackOff()
		if text := err.Error(); text != told {
			told = text
			g.log.Warn("no bus, will try again", "err", err, "in", again.Round(time.Millisecond))
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil
		}
	}
}

// timeout is how long a peer may take, and the bus over one message.
func (g *Gateway) timeout() time.Duration { return time.Duration(g.cfg.Timeout) * time.Second }

// ended is a context for commands that nobody waits for.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// post puts a command into the client's queue and does not wait for it: the
// caller of a method hears at once that it was understood (client.md 5.4).
func (g *Gateway) post(c agent.Command) error {
	if _, err := g.client.Do(ended, c); !errors.Is(err, context.Canceled) {
		return err
	}
	if r, ok := c.(agent.SendUpdateReport); ok {
		g.errands.done(r.Report.Update)
	}
	return nil
}
