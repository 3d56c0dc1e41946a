package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// subscriber is one open websocket.
type subscriber struct {
	conn   *websocket.Conn
	client Teller
	events *agent.Subscription
	accept time.Duration
}

const (
	// writeTime is how long a peer may take to accept what is sent to it.
	writeTime = 10 * time.Second
	// maxWaiting is how many commands of one subscriber may wait for their
	// turn, here; more of them wait in the client's queue.
	maxWaiting = 100
)

// serve talks with the peer until it leaves, is taken for dead, or ctx ends.
// Always one of its goroutines reads: a library answers pings there.
func (s subscriber) serve(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	commands := make(chan agent.Command, maxWaiting)
	all.Go(func() error { return s.read(ctx, commands) })
	all.Go(func() error { return s.run(ctx, commands) })
	all.Go(func() error { return s.tell(ctx) })
	return all.Wait()
}

// tell sends every event as it happens.
func (s subscriber) tell(ctx context.Context) error {
	for {
		e, missed, err := s.events.Next(ctx)
		if err != nil {
			return err
		}
		if missed > 0 {
			if err := s.complain(ctx, fmt.Sprintf("Websocket Error: missed %d events", missed)); err != nil {
				return err
			}
		}
		if err := s.send(ctx, e); err != nil {
			return err
		}
	}
}

// read hands commands on, but for Shutdown, which waits for nothing.
func (s subscriber) read(ctx context.Context, commands chan<- agent.Command) error {
	for {
		kind, data, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			err = ota.Invalid("Failed to parse JSON: a command comes in a text frame, not in a binary one")
		}
		var command agent.Command
		if err == nil {
			command, err = DecodeCommand(data)
		}
		if _, last := command.(agent.Shutdown); last {
			_, err := s.client.Do(ctx, command)
			return err
		}
		if err == nil {
			err = queue(command, commands)
		}
		if err == nil {
			continue
		}
		if err := s.complain(ctx, err.Error()); err != nil {
			return err
		}
	}
}

func queue(c agent.Command, commands chan<- agent.Command) error {
	select {
	case commands <- c:
		return nil
	default:
		return ota.Fail(ota.KindTooMany, "queue_full", "Websocket Error: %d of your commands are waiting already", maxWaiting)
	}
}

// run has commands interpreted in their order. Their events reach the peer
// like all others.
func (s subscriber) run(ctx context.Context, commands <-chan agent.Command) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-commands:
			if _, err := s.client.Do(ctx, c); err != nil && ctx.Err() == nil {
				if err := s.complain(ctx, err.Error()); err != nil {
					return err
				}
			}
		}
	}
}

func (s subscriber) complain(ctx context.Context, text string) error {
	return s.send(ctx, agent.Error{Text: text})
}

func (s subscriber) send(ctx context.Context, e agent.Event) error {
	b, err := EncodeEvent(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.accept)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, b)
}
