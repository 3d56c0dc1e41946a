package coap

import (
	"net/netip"
	"sync"
)

// turns are shared by all hosts, of which none has more than each.
type turns struct {
	max, each int

	mu    sync.Mutex
	taken int
	by    map[netip.Addr]int
}

// newTurns gives no host more than an eighth: a whole network may hide behind
// one address.
func newTurns(n int) *turns { return newShares(n, n/8) }

func newShares(n, each int) *turns {
	return &turns{max: n, each: max(each, 1), by: make(map[netip.Addr]int)}
}

// take takes a turn, if there is one, to be given back.
func (t *turns) take(a netip.Addr) bool {
	a = hostOf(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken >= t.max || t.by[a] >= t.each {
		return false
	}
	t.taken++
	t.by[a]++
	return true
}

func (t *turns) give(a netip.Addr) {
	a = hostOf(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	if t.by[a]--; t.by[a] == 0 {
		delete(t.by, a)
	}
}

// hostOf is what counts as one host: an IPv4 address, or the /64 that everybody
// with IPv6 has at least.
func hostOf(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); !a.Is6() {
		return a
	}
	network, _ := a.Prefix(64) // of IPv6 without zone: never fails
	return network.Addr()
}
