package fleet

import "sync"

// bell wakes everyone who waits for something to happen. It carries no news:
// whoever wakes reads the event log.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *bell) init() { b.ch = make(chan struct{}) }

// heard returns a channel that is closed at the next ring. Take it before
// looking at the log, or a ring in between is missed.
func (b *bell) heard() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}
