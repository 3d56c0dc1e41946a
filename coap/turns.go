package coap

import (
	"net/netip"
	"sync"
)

// turns are shared by all addresses, and no address has more than an eighth
// of them: a whole network may hide behind one.
type turns struct {
	max int

	mu    sync.Mutex
	taken int
	by    map[netip.Addr]int
}

func newTurns(max int) *turns { return &turns{max: max, by: make(map[netip.Addr]int)} }

// take takes a turn, if there is one, to be given back.
func (t *turns) take(a netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken >= t.max || t.by[a] >= max(t.max/8, 1) {
		return false
	}
	t.taken++
	t.by[a]++
	return true
}

func (t *turns) give(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	if t.by[a]--; t.by[a] == 0 {
		delete(t.by, a)
	}
}
