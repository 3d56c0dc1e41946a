package resource

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// transfers remembers who is fetching what, so that a path that comes to mean
// another file does not mix the two: clients know ETags, but many do not look
// at them (coap-suit.md 2.2). It also tells how far each has come.
//
// Those longest untouched are forgotten first, and then their next block is of
// what the path means by then. Addresses that are not proven are remembered
// apart: forged ones make only each other forgotten.
type transfers struct {
	seed   maphash.Seed
	mu     sync.Mutex
	proven generations
	others generations
}

// transferKey is a peer and, as a hash, the path it asks for. An address may be
// that of one device after another, and of another namespace then.
type transferKey struct {
	peer netip.AddrPort
	ns   ota.Namespace
	path uint64
}

// transfer is what a peer has begun to fetch.
type transfer struct {
	book *book
	end  atomic.Int64              // of the blocks asked for so far: where the furthest one ends
	by   atomic.Pointer[following] // nil if the peer is not known to be a device that waits
}

// perGeneration bounds each of the generations, in transfers.
const perGeneration = 16384

// generations are two maps: once the young one is full it becomes the old one,
// and what was old is forgotten.
type generations struct{ young, old map[transferKey]*transfer }

func newTransfers() *transfers {
	made := func() generations {
		return generations{map[transferKey]*transfer{}, map[transferKey]*transfer{}}
	}
	return &transfers{seed: maphash.MakeSeed(), proven: made(), others: made()}
}

func (t *transfers) key(r *coap.Request, ns ota.Namespace) transferKey {
	return transferKey{r.Peer.Addr, ns, maphash.Bytes(t.seed, r.PathBytes())}
}

func (t *transfers) of(r *coap.Request) *generations {
	if r.Peer.Proven {
		return &t.proven
	}
	return &t.others
}

// find returns what the peer has begun to fetch under that path, nil if
// nothing is known.
func (t *transfers) find(r *coap.Request, ns ota.Namespace) *transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.look(r, t.key(r, ns))
}

// look also finds what a peer began before it had proven its address.
func (t *transfers) look(r *coap.Request, k transferKey) *transfer {
	if at := t.of(r).find(k); at != nil || !r.Peer.Proven {
		return at
	}
	return t.others.find(k)
}

// note notes that a block of a book goes out to a peer.
func (t *transfers) note(r *coap.Request, ns ota.Namespace, b *book, block coap.Block) *transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, k := t.of(r), t.key(r, ns)
	at := t.look(r, k)
	if at == nil || at.book != b {
		at = &transfer{book: b}
		g.put(k, at)
	}
	if block.Num == 0 {
		at.end.Store(0)
	}
	if end := min(block.Offset()+int64(block.Size()), b.size); end > at.end.Load() && block.Offset() < b.size {
		at.end.Store(end)
	}
	return at
}

func (g *generations) find(k transferKey) *transfer {
	if t, ok := g.young[k]; ok {
		return t
	}
	t, ok := g.old[k]
	if ok {
		g.put(k, t)
	}
	return t
}

func (g *generations) put(k transferKey, t *transfer) {
	if len(g.young) >= perGeneration {
		clear(g.old)
		g.young, g.old = g.old, g.young
	}
	g.young[k] = t
}
