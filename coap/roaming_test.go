package coap

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

func at1(ip string, port uint16) route {
	return route{peer: netip.AddrPortFrom(netip.MustParseAddr(ip), port)}
}

// frontOf is a front where sessions begin at once.
func frontOf(n int) *dtlsFront {
	f := newDTLSFront(mute{}, nil, n)
	f.begin = func(c *dtlsConn) bool { c.secure("device1"); return true }
	return f
}

// A host that begins more sessions than it may have ends its own.
func TestSessionsAreShared(t *testing.T) {
	f := frontOf(16)
	f.start(hello{}, at1("192.0.2.1", 1))
	honest := f.byAddr[at1("192.0.2.1", 1).peer]
	for port := range uint16(100) {
		f.start(hello{}, at1("198.51.100.1", port))
		for _, c := range f.byCID {
			if c.closed() {
				f.remove(c) // as its goroutine does
			}
		}
	}
	if honest.closed() || len(f.byCID) != 1+2 {
		t.Errorf("%d sessions, the honest one is closed: %v", len(f.byCID), honest.closed())
	}
	f.remove(honest)
	if len(f.hosts) != 1 {
		t.Errorf("%d hosts are remembered", len(f.hosts))
	}
}

// Behind one address there may be one device after another. Who calls its
// session by a Connection ID keeps it when another has its address, unless it
// is the other.
func TestAddressesPassOn(t *testing.T) {
	for _, c := range []struct {
		cid   bool
		other string
		ends  bool
	}{{false, "device2", true}, {false, "device1", true}, {true, "device2", false}, {true, "device1", true}} {
		f := frontOf(16)
		here := at1("192.0.2.1", 1)
		f.start(hello{}, here)
		first := f.byAddr[here.peer]
		if c.cid {
			f.receive(append(unhex(t, "19fefd 0001000000000001"), append([]byte(first.cid), 0, 1, 0)...), here)
		}
		f.begin = func(next *dtlsConn) bool { next.secure(c.other); return true }
		f.start(hello{}, here)
		if first.closed() != c.ends {
			t.Errorf("%+v: the first session is closed: %v", c, first.closed())
		}
		second := f.byAddr[here.peer]
		if f.remove(first); f.byAddr[here.peer] != second {
			t.Error("the second session went with the first")
		}
	}
}

// Who sends under the address of another does not get what is for that one.
func TestMovingTakesNoAddress(t *testing.T) {
	f := frontOf(16)
	a, b := at1("192.0.2.1", 1), at1("192.0.2.2", 2)
	f.start(hello{}, a)
	f.start(hello{}, b)
	one, other := f.byAddr[a.peer], f.byAddr[b.peer]
	if f.move(one, b.peer); f.byAddr[b.peer] != other || one.here().peer != b.peer {
		t.Errorf("the address belongs to the one that moved: %v, which is at %v", f.byAddr[b.peer] == one, one.here().peer)
	}
	f.remove(one)
	if f.byAddr[b.peer] != other || len(f.byAddr) != 1 {
		t.Error("the session whose address it is was forgotten")
	}
}

// Where a session has moved to is not proven yet (RFC 9146 6).
func TestNewAddressesGetLittle(t *testing.T) {
	f, rec := frontOf(16), &recorder{}
	f.sock = rec
	proven := false
	f.proven = func(netip.AddrPort) bool { return proven }
	f.start(hello{}, at1("192.0.2.1", 1))
	c := f.byAddr[at1("192.0.2.1", 1).peer]
	c.offset = 0
	send := func(ip string, n int) int {
		if _, err := c.WriteTo(append([]byte{23}, make([]byte, n)...), net.UDPAddrFromAddrPort(at1(ip, 9).peer)); err != nil {
			t.Fatal(err)
		}
		return len(rec.take()) / 2
	}
	for _, w := range []struct {
		to   string
		n    int
		sent bool
	}{{"192.0.2.1", 1000, true}, {"198.51.100.1", 1000, false}, {"198.51.100.1", 100, true}, {"192.0.2.1", 1000, true}} {
		if got := send(w.to, w.n) > 0; got != w.sent {
			t.Errorf("%d bytes to %s are sent: %v", w.n, w.to, got)
		}
		if c.here().peer.Addr().String() != w.to {
			t.Errorf("the session is at %v, want %s", c.here().peer, w.to)
		}
	}
	if proven = true; send("198.51.100.1", 1000) == 0 {
		t.Error("nothing is sent to an address that has been proven")
	}
}

// A device that comes back from elsewhere proves that, and goes on.
func TestConnectionIDSurvivesAChangeOfNetwork(t *testing.T) {
	w := newWorld()
	w.srv.init()
	want := w.file("/f", 5001)
	addr, err := net.ResolveUDPAddr("udp", w.serveDTLS(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	first, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sock := &wandering{PacketConn: first, now: first}
	config := device1
	config.ConnectionID = true
	c, err := NewDTLSClient(t.Context(), sock, addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sock.move(t, "127.0.0.2:0")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if m, err := c.Get(ctx, "/who"); err != nil || string(m.Payload) != "1 device1" {
		t.Fatalf("the handler saw %q, %v", m.Payload, err)
	}
	var got at
	if _, _, err := c.Download(ctx, "/f", &got, 0); err != nil || !bytes.Equal(got.b, want) {
		t.Errorf("got %d bytes, %v", len(got.b), err)
	}
	if !w.srv.proofs.has(netip.MustParseAddrPort(sock.current().LocalAddr().String()), time.Now()) {
		t.Error("the new address was not to be proven")
	}
}
