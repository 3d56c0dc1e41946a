package coap

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// proofs knows which UDP addresses have shown that they receive what is sent
// to them, by returning an Echo option (RFC 9175 2). A value to be returned is
// made from address and time under a key, so that nothing is remembered about
// who has not proven anything; who has is remembered for a while.
type proofs struct {
	key  [32]byte
	max  int
	life time.Duration

	mu     sync.RWMutex
	proven map[netip.AddrPort]*list.Element // of byAge
	byAge  list.List                        // of proof, the next to expire first
	hosts  map[netip.Addr]int               // how many each has
}

type proof struct {
	addr  netip.AddrPort
	until time.Time
}

// echoLife is how long an Echo value may take to come back.
const echoLife = 2 * time.Minute

func newProofs(l Limits) *proofs {
	p := &proofs{max: l.Proven, life: l.ProvenFor, proven: make(map[netip.AddrPort]*list.Element), hosts: make(map[netip.Addr]int)}
	_, _ = rand.Read(p.key[:]) // never fails
	return p
}

// echo is the value that proves addr if it comes back.
func (p *proofs) echo(addr netip.AddrPort, now time.Time) [12]byte {
	return p.value(addr, uint32(now.Unix()))
}

// value is the time and eight bytes of a keyed hash. What is hashed has a
// fixed length, so that the key in front of it suffices.
func (p *proofs) value(addr netip.AddrPort, unix uint32) (v [12]byte) {
	var in [32 + 16 + 2 + 4]byte
	a := addr.Addr().As16()
	copy(in[:], p.key[:])
	copy(in[32:], a[:])
	binary.BigEndian.PutUint16(in[48:], addr.Port())
	binary.BigEndian.PutUint32(in[50:], unix)
	sum := sha256.Sum256(in[:])
	binary.BigEndian.PutUint32(v[:], unix)
	copy(v[4:], sum[:8])
	return v
}

// prove reports whether value is a fresh Echo value for addr. If so, it is
// remembered, unless its host has enough that are: that one proves itself again
// with each request, and not all others in its place.
func (p *proofs) prove(addr netip.AddrPort, value []byte, now time.Time) bool {
	if len(value) != 12 {
		return false
	}
	unix := binary.BigEndian.Uint32(value)
	age := uint32(now.Unix()) - unix
	want := p.value(addr, unix)
	if age > uint32(echoLife/time.Second) || subtle.ConstantTimeCompare(value, want[:]) != 1 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remember(addr, now)
	return true
}

func (p *proofs) remember(addr netip.AddrPort, now time.Time) {
	p.forget(p.proven[addr])
	for first := p.byAge.Front(); first != nil && !now.Before(first.Value.(proof).until); first = p.byAge.Front() {
		p.forget(first)
	}
	host := hostOf(addr.Addr())
	if p.hosts[host] >= max(p.max/8, 1) {
		return
	}
	if len(p.proven) >= p.max {
		p.forget(p.byAge.Front())
	}
	p.proven[addr] = p.byAge.PushBack(proof{addr, now.Add(p.life)})
	p.hosts[host]++
}

func (p *proofs) forget(e *list.Element) {
	if e == nil {
		return
	}
	addr := p.byAge.Remove(e).(proof).addr
	delete(p.proven, addr)
	host := hostOf(addr.Addr())
	if p.hosts[host]--; p.hosts[host] == 0 {
		delete(p.hosts, host)
	}
}

// has reports whether addr has proven itself lately.
func (p *proofs) has(addr netip.AddrPort, now time.Time) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	e, ok := p.proven[addr]
	return ok && now.Before(e.Value.(proof).until)
}

// buckets limit how many bytes are sent beyond what was received, for each
// network. There is a fixed number of them, which networks share by their
// hash: memory does not grow with the number of forged addresses.
type buckets struct {
	rate int // bytes a second; twice as many may come at once
	seed maphash.Seed

	mu  sync.Mutex
	all [4096]bucket
}

type bucket struct {
	left int
	at   time.Time
}

// take takes n of rate a second, of which those of two seconds may be taken
// at once.
func (k *bucket) take(n, rate int, now time.Time) bool {
	passed := min(now.Sub(k.at), 2*time.Second)
	k.left = min(2*rate, k.left+int(passed*time.Duration(rate)/time.Second))
	k.at = now
	if k.left < n {
		return false
	}
	k.left -= n
	return true
}

func newBuckets(rate int) *buckets { return &buckets{rate: rate, seed: maphash.MakeSeed()} }

// take takes n bytes, if they are there.
func (b *buckets) take(addr netip.Addr, n int, now time.Time) bool {
	addr = addr.Unmap()
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	network, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all[maphash.Comparable(b.seed, network)%uint64(len(b.all))].take(n, b.rate, now)
}
