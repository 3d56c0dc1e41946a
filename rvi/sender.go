package rvi

import (
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// State is how far a backend is with one file (rvi.md 4.6).
type State uint8

const (
	AwaitingAck    State = iota // start was sent
	Sending                     // chunks are under way
	AwaitingReport              // finish was sent
	GivenUp                     // the device does not answer
	Unreported                  // it never told how it went
)

func (s State) String() string {
	return [...]string{"awaiting ack", "sending", "awaiting report", "given up", "unreported"}[s%5]
}

// Order is a message a backend is to send now. Of a chunk it tells the index;
// the bytes are from (Index-1)*ChunkSize on.
type Order struct {
	Service Service
	Unit    Unit // none for abort and getpackages
	Index   int
}

// Progress is what an operator may want to see of a transfer.
type Progress struct {
	Unit    Unit
	State   State
	Chunks  int // of the file
	Held    int // acknowledged
	Resends int
}

// Sender is a backend's side of one transfer (rvi.md 4.6).
type Sender struct {
	unit   Unit
	chunks int
	window int

	state    State
	held     Chunks // what the device said it holds, since its last start
	flight   []int  // chunks sent and not acknowledged
	sends    int    // of what is unanswered
	resends  int
	restarts int       // because the device had lost chunks
	since    time.Time // of the last send or progress
}

// NewSender makes the transfer of a file with so many chunks, of which at most
// window are under way at a time. Start begins it.
func NewSender(u Unit, chunks, window int) *Sender {
	return &Sender{unit: u, chunks: chunks, window: min(max(window, 1), MaxWindow)}
}

// State is how far the transfer is.
func (s *Sender) State() State { return s.state }

// Progress tells how it goes.
func (s *Sender) Progress() Progress {
	return Progress{Unit: s.unit, State: s.state, Chunks: s.chunks, Held: s.held.Len(), Resends: s.resends}
}

func (s *Sender) order(of Service) Order { return Order{Service: of, Unit: s.unit} }

// Start begins the transfer, or begins it again: what the device holds is known
// from its first ack. It may be called in every state.
func (s *Sender) Start(now time.Time) []Order {
	s.state, s.held, s.flight, s.sends, s.since = AwaitingAck, Chunks{}, nil, 1, now
	return []Order{s.order(ServiceStart)}
}

// Ack takes what the device says it holds. The first ack after a start counts as
// it is; later ones may overtake each other, and only add. An index outside the
// file fails with KindConflict, code index_out_of_range, and changes nothing.
func (s *Sender) Ack(c Chunks, now time.Time) ([]Order, error) {
	if s.chunks > 0 && !c.Within(s.chunks) {
		return nil, ota.Fail(ota.KindConflict, "index_out_of_range", "the ack lists a chunk outside 1 to %d", s.chunks)
	}
	switch s.state {
	case AwaitingAck:
		s.state, s.held = Sending, c.Clone()
		return s.progress(now), nil
	case Sending:
		if s.held.Join(c) {
			return s.progress(now), nil
		}
		return s.again(now), nil
	case AwaitingReport:
		return s.late(c, now), nil
	}
	return nil, nil
}

// progress sends what fits into the window, or finish.
func (s *Sender) progress(now time.Time) []Order {
	s.sends, s.since = 1, now
	if s.held.Covers(s.chunks) {
		return s.finish(now)
	}
	s.flight = slices.DeleteFunc(s.flight, s.held.Has)
	var orders []Order
	for next := s.held.Missing(1); next <= s.chunks && len(s.flight) < s.window; next = s.held.Missing(next + 1) {
		if !slices.Contains(s.flight, next) {
			s.flight = append(s.flight, next)
			orders = append(orders, Order{Service: ServiceChunk, Unit: s.unit, Index: next})
		}
	}
	return orders
}

// again sends the first missing chunk once more for an ack that brought nothing
// new: the device is there, and did not get it. Right after the chunk was sent
// the ack is a duplicate. It counts as an unanswered send.
func (s *Sender) again(now time.Time) []Order {
	if now.Sub(s.since) < Quiet || s.sends >= Sends {
		return nil
	}
	s.sends++
	s.resends++
	s.since = now
	return []Order{{Service: ServiceChunk, Unit: s.unit, Index: s.held.Missing(1)}}
}

func (s *Sender) finish(now time.Time) []Order {
	s.state, s.flight, s.since = AwaitingReport, nil, now
	return []Order{s.order(ServiceFinish)}
}

// late takes an ack after finish. Of all chunks: finish was lost, as it is never
// repeated otherwise (rvi.md 6.1, Q12). Of fewer, and too late to be one that
// was overtaken: the device has lost some, and starts again.
func (s *Sender) late(c Chunks, now time.Time) []Order {
	whole := s.chunks == 0 || c.Covers(s.chunks)
	switch age := now.Sub(s.since); {
	case whole && age >= Quiet:
		s.resends++
		return s.finish(now)
	case !whole && age >= AckTimeout && s.restarts < Sends:
		s.restarts++
		return s.Start(now)
	}
	return nil
}

// Deadline is when Tick has something to do; zero if never.
func (s *Sender) Deadline() time.Time {
	switch s.state {
	case AwaitingAck, Sending:
		return s.since.Add(AckTimeout)
	case AwaitingReport:
		return s.since.Add(ReportLimit)
	}
	return time.Time{}
}

// Tick repeats what was not answered. After the fifth send it gives up, and the
// order is an abort.
func (s *Sender) Tick(now time.Time) []Order {
	if d := s.Deadline(); d.IsZero() || now.Before(d) {
		return nil
	}
	if s.state == AwaitingReport {
		s.state = Unreported
		return nil
	}
	if s.sends >= Sends {
		s.state, s.flight = GivenUp, nil
		return []Order{{Service: ServiceAbort}}
	}
	s.sends++
	s.resends++
	s.since = now
	if s.state == AwaitingAck {
		return []Order{s.order(ServiceStart)}
	}
	var orders []Order
	for _, i := range s.flight {
		orders = append(orders, Order{Service: ServiceChunk, Unit: s.unit, Index: i})
	}
	return orders
}
