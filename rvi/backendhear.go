package rvi

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// heard takes a message that the node in this process brings. The error says why
// it was not taken, for the node's audit.
func (b *Backend) heard(ctx context.Context, m node.Message) error {
	said, err := ReadAtBackend(m.Service, m.Params)
	if err == nil {
		err = CheckSender(said, m.Peer.Prefix)
	}
	if err == nil {
		// That the link breaks is no reason to forget what it brought.
		err = b.admit(context.WithoutCancel(ctx), m.Peer.Prefix, said)
	}
	return refusal(err)
}

func (b *Backend) admit(ctx context.Context, prefix string, m BackendMessage) error {
	t, err := b.enter(prefix)
	if err != nil {
		return err
	}
	defer t.mu.Unlock()
	defer t.settle()
	t.catchUp(ctx)
	return t.hear(ctx, m)
}

// taken takes a message from the program's end of another process's node, which
// is to be answered before anything is done about it.
func (b *Backend) taken(_ context.Context, m node.Message) error {
	said, err := ReadAtBackend(m.Service, m.Params)
	if err != nil {
		return refusal(err)
	}
	prefix := said.Sender().Prefix()
	if err := CheckSender(said, prefix); err != nil {
		return refusal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.talkWith(prefix, true)
	if t == nil {
		return refusal(errClosed())
	}
	if len(t.news.said) >= maxSaid {
		return refusal(ota.Fail(ota.KindTooMany, "queue_full", "too much of %s is waiting", prefix))
	}
	b.note(t, func(n *news) { n.said = append(n.said, said) })
	return nil
}

// maxSaid is how many messages of one vehicle wait at a node in another process.
const maxSaid = 64

func errClosed() error { return ota.Fail(ota.KindUnavailable, "closed", "the server is shutting down") }

// refusal is the error of a message that was not taken, as rvi.md 7 has it.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	o := RefusedAtBackend(err)
	return &node.Refusal{Code: o.Code, Reason: o.Reason, Err: err}
}

// hear does what a message says.
func (t *talk) hear(ctx context.Context, m BackendMessage) error {
	stranger := t.device == ""
	if err := t.known(ctx); err != nil {
		return err
	}
	t.push.Heard()
	switch {
	case t.b.external && !t.here:
		t.arrived(ctx) // its node need not have told
	case stranger && t.here:
		t.greeting(ctx) // it was registered meanwhile
	}
	if d := m.Dialect(); d != t.last() && m.Service() != ServiceAck {
		c := t.contact
		c.Dialect = d.String()
		if err := t.learn(ctx, c); err != nil {
			return err
		}
	}
	switch m := m.(type) {
	case BackendStart:
		return t.accepted(ctx, m)
	case Ack:
		return t.acknowledged(ctx, m)
	case Report:
		return t.reported(ctx, m)
	case Packages:
		return t.listed(ctx, m.Inventory())
	}
	return nil
}

// accepted begins what the vehicle wants, in the order of its queue. What it has
// no update for is skipped, and the first of that is the error.
func (t *talk) accepted(ctx context.Context, m BackendStart) error {
	c := contact{Dialect: m.Dialect().String(), Window: min(m.Window, t.b.maxWindow())}
	if m.Services != t.usual() {
		c.Services = &m.Services
	}
	if err := t.learn(ctx, c); err != nil {
		return err
	}
	queue, err := t.push.Queue(ctx)
	if err != nil {
		return err
	}
	t.prune(queue)
	found := newest(queue, m.Dialect())
	wanted := map[Unit]bool{}
	var unknown error
	for _, u := range m.Units {
		if _, ok := found[u]; ok {
			wanted[u] = true
		} else if unknown == nil {
			unknown = UnknownPackage(u)
		}
	}
	var entries []ota.QueueEntry
	for _, e := range queue {
		if u := unitIn(m.Dialect(), e.Update); wanted[u] && found[u].Update.ID == e.Update.ID {
			entries = append(entries, e)
		}
	}
	t.begin(ctx, entries, m.Dialect())
	return unknown
}

// usual are the names of services a vehicle has if it says nothing else.
func (t *talk) usual() DeviceServices {
	at := func(s Service) string { return t.prefix + s.Local()[1:] }
	return DeviceServices{Start: at(ServiceStart), Chunk: at(ServiceChunk), Abort: at(ServiceAbort),
		Finish: at(ServiceFinish), GetPackages: at(ServiceGetPackages)}
}

// unitIn is what an update is called in a dialect.
func unitIn(d Dialect, u ota.Update) Unit {
	if d == Dialect2015 {
		return Unit{Package: u.Package}
	}
	return Unit{Update: u.ID}
}

// newest finds updates by their units; of several with the same package the
// newest (rvi.md 4.12, A7).
func newest(queue []ota.QueueEntry, d Dialect) map[Unit]ota.QueueEntry {
	found := make(map[Unit]ota.QueueEntry, len(queue))
	for _, e := range queue {
		u := unitIn(d, e.Update)
		if old, ok := found[u]; !ok || e.Update.CreatedAt.After(old.Update.CreatedAt) {
			found[u] = e
		}
	}
	return found
}

func (t *talk) acknowledged(ctx context.Context, m Ack) error {
	if t.vehicle == nil {
		return unknownTransfer(m.Unit)
	}
	now, s := t.b.opt.Now(), t.vehicle.active[m.Unit]
	counts, held := s != nil && s.state == Sending, 0 // the first ack tells what was there before
	if counts {
		held = s.held.Len()
	}
	turn, err := t.vehicle.Ack(m.Unit, m.Chunks, now)
	if f := t.files[m.Unit]; f != nil && counts {
		f.pace.moved(s.held.Len()-held, now)
	}
	t.act(ctx, turn)
	return err
}

// reported passes on how an update ended; of a transfer that is forgotten too.
func (t *talk) reported(ctx context.Context, m Report) error {
	id := m.Unit.Update
	if f := t.files[m.Unit]; f != nil {
		id = f.update
	}
	if id == "" {
		queue, err := t.push.Queue(ctx)
		if err != nil {
			return err
		}
		e, ok := newest(queue, Dialect2015)[m.Unit]
		if !ok {
			return UnknownUpdate(m.Unit)
		}
		id = e.Update.ID
	}
	err := t.push.Report(ctx, m.Of(id))
	if ota.KindOf(err) == ota.KindNotFound && err != nil {
		return UnknownUpdate(m.Unit)
	}
	if err != nil && ota.KindOf(err) != ota.KindConflict {
		return err // what is under way stays, as the report may come again
	}
	if t.vehicle != nil {
		turn := t.vehicle.Report(m.Unit, t.b.opt.Now())
		t.discard(m.Unit)
		t.act(ctx, turn)
	}
	return err
}
