package agent

import (
	"context"
	"sync"
)

// bus hands every event to every subscriber, in the same order, and never
// waits for any of them. The latest stay in its log.
type bus struct {
	log    eventLog
	mu     sync.Mutex
	subs   map[*Subscription]struct{}
	closed bool
}

// Subscription is one listener's queue of events.
type Subscription struct {
	bus    *bus
	size   int
	wake   chan struct{} // holds a token when there is something to look at
	events []Event       // guarded by bus.mu, like the rest
	missed int
	closed bool
}

// subscribe starts to collect up to size events, at least one.
func (b *bus) subscribe(size int) *Subscription {
	s := &Subscription{bus: b, size: max(size, 1), wake: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = make(map[*Subscription]struct{})
	}
	b.subs[s] = struct{}{}
	s.closed = b.closed
	return s
}

// send gives e to all. A full subscriber loses its oldest event: what is new
// says more about how things stand.
func (b *bus) send(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log.add(e)
	for s := range b.subs {
		if len(s.events) == s.size {
			s.events = s.events[1:]
			s.missed++
		}
		s.events = append(s.events, e)
		s.nudge()
	}
}

// close ends all subscriptions once they have been read to their end.
func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subs {
		s.closed = true
		s.nudge()
	}
}

func (s *Subscription) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next waits for the next event, and says how many were lost just before it
// because the buffer was full. It fails with ctx's error, or with ErrStopped
// once the client has ended, or Close was called, and all is read.
func (s *Subscription) Next(ctx context.Context) (e Event, missed int, err error) {
	for {
		if e, missed, err = s.take(); e != nil || err != nil {
			return e, missed, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

func (s *Subscription) take() (Event, int, error) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if len(s.events) == 0 {
		if s.closed {
			s.nudge() // for others that wait on the same subscription
			return nil, 0, ErrStopped
		}
		return nil, 0, nil
	}
	e, missed := s.events[0], s.missed
	s.events, s.missed = s.events[1:], 0
	if len(s.events) > 0 {
		s.nudge()
	}
	return e, missed, nil
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	delete(s.bus.subs, s)
	s.closed = true
	s.nudge()
}
