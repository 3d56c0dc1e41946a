package dbus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/agent/gateway"
)

// session is one connection to the bus.
type session struct {
	door     *Gateway
	ctx      context.Context // ends with the connection
	conn     *godbus.Conn
	manager  godbus.BusObject
	appeared chan struct{} // holds a token when the manager is there anew
	calls    sync.WaitGroup
}

var errGone = errors.New("the bus went away")

// session connects and talks until ctx, the bus or the client ends. It always
// fails, with agent.ErrStopped in the last case.
func (g *Gateway) session(ctx context.Context) error {
	at, err := address(g.cfg.Bus, g.getenv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	raw, err := dial(ctx, at)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	s := &session{door: g, ctx: ctx, appeared: make(chan struct{}, 1)}
	s.conn, err = godbus.NewConn(newWire(raw, g.timeout(), g.log), godbus.WithHandler(g), godbus.WithSignalHandler(s))
	if err != nil {
		raw.Close()
		return err
	}
	defer s.conn.Close()
	defer raw.Close() // first, since the library waits for writes that wait for the bus
	raw.SetReadDeadline(time.Now().Add(g.timeout()))
	if err := s.open(); err != nil {
		return err
	}
	raw.SetReadDeadline(time.Time{})
	defer context.AfterFunc(s.conn.Context(), cancel)()
	return s.talk(cancel)
}

// open proves who we are, takes our name and watches the manager's.
func (s *session) open() error {
	s.manager = s.conn.Object(s.door.cfg.SoftwareManager, godbus.ObjectPath(s.door.cfg.SoftwareManagerPath))
	if err := s.conn.Auth([]godbus.Auth{godbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		return fmt.Errorf("the bus does not let us in: %w", err)
	}
	if err := s.conn.Hello(); err != nil {
		return fmt.Errorf("the bus does not let us in: %w", err)
	}
	if err := s.conn.AddMatchSignal(godbus.WithMatchSender(busName), godbus.WithMatchInterface(busName),
		godbus.WithMatchMember("NameOwnerChanged"), godbus.WithMatchArg(0, s.door.cfg.SoftwareManager)); err != nil {
		return err
	}
	reply, err := s.conn.RequestName(s.door.cfg.Name, godbus.NameFlagReplaceExisting)
	if err != nil {
		return fmt.Errorf("take the name %s (on the system bus a policy must allow it): %w", s.door.cfg.Name, err)
	}
	if reply == godbus.RequestNameReplyInQueue {
		s.door.log.Warn("another program has our name on the bus and keeps it; it becomes ours when that ends", "name", s.door.cfg.Name)
	}
	var there bool
	if err := s.conn.BusObject().CallWithContext(s.ctx, busName+".NameHasOwner", 0, s.door.cfg.SoftwareManager).Store(&there); err != nil {
		return err
	}
	s.door.errands.orphan()
	if there {
		s.arrived()
	}
	return nil
}

const busName = "org.freedesktop.DBus"

// talk tells events until the connection ends.
func (s *session) talk(cancel context.CancelFunc) error {
	s.door.waits.Reset()
	s.door.log.Info("on the bus", "bus", s.door.cfg.Bus, "name", s.door.cfg.Name)
	if s.door.up != nil {
		s.door.up()
	}
	defer s.calls.Wait()
	defer cancel()
	s.calls.Go(s.repeat)
	return s.relay()
}

// relay tells events as they come.
func (s *session) relay() error {
	for {
		e, err := s.next()
		if err != nil {
			return err
		}
		if err := s.signal(e); err != nil {
			s.door.unsent = e
			return fmt.Errorf("%w: %w", errGone, err)
		}
		s.call(s.door.errands.follow(e, s.door.cfg.CompatOrder))
	}
}

// next waits for an event, beginning with one that the last session failed to
// tell.
func (s *session) next() (agent.Event, error) {
	if e := s.door.unsent; e != nil {
		s.door.unsent = nil
		return e, nil
	}
	e, missed, err := s.door.events.Next(s.ctx)
	if missed > 0 {
		s.door.log.Warn("events are lost, the bus was away or slow", "events", missed)
	}
	if err != nil && s.ctx.Err() != nil {
		return nil, errGone
	}
	return e, err
}

// signal tells everyone on the bus of an event.
func (s *session) signal(e agent.Event) error {
	b, err := gateway.EncodeEvent(e)
	if err != nil || len(b) > maxMessage {
		s.door.log.Warn("an event cannot be told", "event", e.Name(), "bytes", len(b), "err", err)
		return nil
	}
	return s.conn.Emit(godbus.ObjectPath(s.door.cfg.Path), s.door.cfg.Interface+"."+event, e.Name(), string(b))
}

// repeat runs all errands for every manager that arrives.
func (s *session) repeat() {
	for {
		select {
		case <-s.appeared:
			for _, e := range s.door.errands.all() {
				s.call(e)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// DeliverSignal hears from the bus that names change hands.
func (s *session) DeliverSignal(iface, member string, sig *godbus.Signal) {
	if iface != busName || sig.Sender != busName {
		return
	}
	texts := make([]string, len(sig.Body))
	for i, v := range sig.Body {
		texts[i], _ = v.(string)
	}
	switch {
	case member == "NameOwnerChanged" && len(texts) == 3 && texts[0] == s.door.cfg.SoftwareManager:
		if texts[1] != "" {
			s.door.errands.orphan()
		}
		if texts[2] != "" {
			s.arrived()
		}
	case member == "NameAcquired" && len(texts) == 1 && texts[0] == s.door.cfg.Name:
		s.door.log.Info("our name on the bus is ours", "name", texts[0])
	case member == "NameLost" && len(texts) == 1 && texts[0] == s.door.cfg.Name:
		s.door.log.Warn("our name on the bus was taken by another program", "name", texts[0])
	}
}

func (s *session) arrived() {
	select {
	case s.appeared <- struct{}{}:
	default:
	}
}
