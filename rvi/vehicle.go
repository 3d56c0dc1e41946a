package rvi

import (
	"maps"
	"slices"
	"time"
)

// File is what a vehicle is to get for one unit.
type File struct {
	Unit   Unit
	Chunks int
	Window int
}

// Turn is what a backend does next: messages to send, in this order, and
// updates whose fate is decided.
type Turn struct {
	Send       []Order
	Returned   []Unit // ended by an abort; their updates are Pending again
	Unreported []Unit // finished, and not reported within a day; Failed
}

// Vehicle is a backend's side of all transfers to one vehicle. It is made when
// the vehicle accepts something, and holds nothing worth keeping once Idle. It
// is not for use by several goroutines at a time.
type Vehicle struct {
	active  map[Unit]*Sender
	waiting []File
	away    bool // the vehicle's node is known not to be there
}

// NewVehicle makes a vehicle without transfers.
func NewVehicle() *Vehicle { return &Vehicle{active: map[Unit]*Sender{}} }

// Idle reports whether there is no transfer and no report to wait for.
func (v *Vehicle) Idle() bool { return len(v.active) == 0 && len(v.waiting) == 0 }

// Begin transfers files, in the order given: three at a time, the others wait.
// One that is under way is started anew (rvi.md 4.6); that one and the same
// BackendStart comes twice in a moment changes nothing.
func (v *Vehicle) Begin(files []File, now time.Time) Turn {
	var t Turn
	for _, f := range files {
		s, ok := v.active[f.Unit]
		switch {
		case ok && s.state == AwaitingAck && now.Sub(s.since) < Quiet:
		case ok:
			t.Send = append(t.Send, s.Start(now)...)
		case !slices.ContainsFunc(v.waiting, func(w File) bool { return w.Unit == f.Unit }):
			v.waiting = append(v.waiting, f)
		}
	}
	v.fill(&t, now)
	return t
}

// Await takes a transfer from before a restart of which finish was sent, and
// when: only the report is missing.
func (v *Vehicle) Await(f File, finished time.Time) {
	s := NewSender(f.Unit, f.Chunks, f.Window)
	s.state, s.held, s.since = AwaitingReport, Upto(f.Chunks), finished
	v.active[f.Unit] = s
}

// fill starts what waits while there is room. A file that was sent makes room,
// even if it is not installed yet.
func (v *Vehicle) fill(t *Turn, now time.Time) {
	busy := 0
	for _, s := range v.active {
		if s.state < AwaitingReport {
			busy++
		}
	}
	for ; busy < Transfers && len(v.waiting) > 0 && !v.away; busy++ {
		f := v.waiting[0]
		v.waiting = v.waiting[1:]
		s := NewSender(f.Unit, f.Chunks, f.Window)
		v.active[f.Unit] = s
		t.Send = append(t.Send, s.Start(now)...)
	}
}

// Ack takes an ack; see Sender.Ack. One of no transfer fails with KindNotFound,
// code unknown_transfer.
func (v *Vehicle) Ack(u Unit, c Chunks, now time.Time) (Turn, error) {
	s, ok := v.active[u]
	if !ok {
		return Turn{}, unknownTransfer(u)
	}
	orders, err := s.Ack(c, now)
	t := Turn{Send: orders}
	v.fill(&t, now)
	return t, err
}

// Report ends the transfer of a unit, as the device told how it went. After the
// last one the list of packages is asked for.
func (v *Vehicle) Report(u Unit, now time.Time) Turn {
	known := len(v.active) + len(v.waiting)
	t := v.Forget(u, now)
	if known > 0 && v.Idle() {
		t.Send = append(t.Send, Order{Service: ServiceGetPackages})
	}
	return t
}

// Forget ends the transfer of a unit without a word to the vehicle, as the file
// cannot be sent.
func (v *Vehicle) Forget(u Unit, now time.Time) Turn {
	var t Turn
	delete(v.active, u)
	v.waiting = slices.DeleteFunc(v.waiting, func(f File) bool { return f.Unit == u })
	v.fill(&t, now)
	return t
}

// Abort ends all transfers of the vehicle (rvi.md 4.9).
func (v *Vehicle) Abort() Turn {
	t := Turn{Returned: v.units()}
	v.active, v.waiting = map[Unit]*Sender{}, nil
	if len(t.Returned) > 0 {
		t.Send = []Order{{Service: ServiceAbort}}
	}
	return t
}

// units are all that have a transfer, or wait for one, in a fixed order.
func (v *Vehicle) units() []Unit {
	list := ordered(slices.Collect(maps.Keys(v.active)))
	for _, f := range v.waiting {
		list = append(list, f.Unit)
	}
	return list
}

// Gone says that the vehicle's node is known to be away: time stands still.
func (v *Vehicle) Gone() { v.away = true }

// Back says that the vehicle's services are there again after Gone. Every file
// that was not wholly sent begins with a start, as the device itself may have
// restarted. That they are there is often told more than once (rvi.md 2.4, 3.4);
// it changes nothing then.
func (v *Vehicle) Back(now time.Time) Turn {
	var t Turn
	if !v.away {
		return t
	}
	v.away = false
	for _, u := range v.units() {
		if s, ok := v.active[u]; ok && s.state < AwaitingReport {
			t.Send = append(t.Send, s.Start(now)...)
		}
	}
	v.fill(&t, now)
	return t
}

// Deadline is when Tick has something to do; zero if never.
func (v *Vehicle) Deadline() time.Time {
	var first time.Time
	for _, s := range v.active {
		if v.away && s.state < AwaitingReport {
			continue
		}
		if d := s.Deadline(); first.IsZero() || d.Before(first) {
			first = d
		}
	}
	return first
}

// Tick does what is due. If a device does not answer five sends of one message
// all its transfers end, with an abort.
func (v *Vehicle) Tick(now time.Time) Turn {
	var t Turn
	for _, u := range v.units() {
		s, ok := v.active[u]
		if !ok || v.away && s.state < AwaitingReport {
			continue
		}
		t.Send = append(t.Send, s.Tick(now)...)
		switch s.state {
		case GivenUp:
			end := v.Abort()
			end.Unreported = t.Unreported
			return end
		case Unreported:
			delete(v.active, u)
			t.Unreported = append(t.Unreported, u)
		}
	}
	v.fill(&t, now)
	return t
}

// Progress tells how each transfer under way goes.
func (v *Vehicle) Progress() []Progress {
	var list []Progress
	for _, u := range v.units() {
		if s, ok := v.active[u]; ok {
			list = append(list, s.Progress())
		}
	}
	return list
}
