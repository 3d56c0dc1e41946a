package coap

import (
	"net/netip"
	"testing"
	"time"
)

// Whoever has a whole /64 is one.
func TestTurnsOfANetwork(t *testing.T) {
	turns := newTurns(16)
	for i, want := range []bool{true, true, false, false} {
		a := netip.MustParseAddr("2001:db8::1").As16()
		a[15] = byte(i)
		if turns.take(netip.AddrFrom16(a)) != want {
			t.Errorf("turn %d of one network is given: %v, want %v", i+1, !want, want)
		}
	}
	turns.give(netip.MustParseAddr("2001:db8::77"))
	if !turns.take(netip.MustParseAddr("2001:db8::78")) || !turns.take(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("a turn is refused that is there")
	}
}

// However many ports a host proves, it makes others prove themselves no more
// often, and is itself still served.
func TestProofsAreShared(t *testing.T) {
	p := newProofs(Limits{Proven: 16}.withDefaults())
	now := time.Unix(1e9, 0)
	prove := func(a netip.AddrPort) bool {
		v := p.echo(a, now)
		return p.prove(a, v[:], now)
	}
	honest := netip.MustParseAddrPort("192.0.2.1:5683")
	if !prove(honest) {
		t.Fatal("a proof is refused")
	}
	many := netip.MustParseAddr("198.51.100.1")
	for port := range uint16(1000) {
		if !prove(netip.AddrPortFrom(many, port)) {
			t.Fatal("a proof is refused")
		}
	}
	if !p.has(honest, now) || len(p.proven) != 1+2 {
		t.Errorf("%d are remembered, the honest one: %v", len(p.proven), p.has(honest, now))
	}
	for i := range byte(200) {
		prove(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, i}), 1))
	}
	if len(p.proven) != 16 || len(p.hosts) > 16 {
		t.Errorf("%d addresses of %d hosts are remembered, want 16", len(p.proven), len(p.hosts))
	}
	now = now.Add(time.Hour)
	if !prove(netip.AddrPortFrom(many, 1)) || p.has(honest, now) {
		t.Error("proofs do not run out")
	}
}

// A host cannot have all handlers by having many ports.
func TestHandlersAreShared(t *testing.T) {
	s := &Server{Limits: Limits{Handlers: 8}, Handler: panics{}}
	s.init()
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	taken := 0
	for range 8 {
		if _, ok := s.occupy(one, true); ok {
			taken++
		}
	}
	release, ok := s.occupy(other, true)
	if taken != 4 || !ok {
		t.Errorf("one host has %d handlers of 8, another gets one: %v", taken, ok)
	}
	release()
	if _, ok := s.occupy(one, true); ok {
		t.Error("what another gave back went to who has enough")
	}
	if s.occupy(other, false); len(s.slots.by) != 2 || len(s.unproven.by) != 1 {
		t.Errorf("%v, %v", s.slots.by, s.unproven.by)
	}
}
