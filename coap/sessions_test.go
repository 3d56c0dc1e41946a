package coap

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

var device1 = DTLSClientConfig{Identity: "device1", Key: []byte("secret")}

// A device that has restarted says hello from the address its old session
// has, and gets a new one.
func TestDeviceRestarts(t *testing.T) {
	w := newWorld()
	server, err := net.ResolveUDPAddr("udp", w.serveDTLS(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	first, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := first.LocalAddr().String()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		// Without a farewell: the device has lost its power.
		c, err := NewDTLSClient(ctx, silentEnd{first}, server, device1)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := c.Get(ctx, "/who"); err != nil || string(m.Payload) != "1 device1" {
			t.Fatalf("the handler saw %q, %v", m.Payload, err)
		}
		first.Close()
		cancel()
		if first, err = net.ListenPacket("udp", addr); err != nil {
			t.Fatal(err)
		}
	}
	first.Close()
}

// silentEnd is a socket that stays open when it is closed.
type silentEnd struct{ net.PacketConn }

func (silentEnd) Close() error { return nil }

// When a host has too many sessions the one that was silent longest ends.
func TestSessionsAreBounded(t *testing.T) {
	w := newWorld()
	w.srv.Limits.Sessions = 16 // two of one host
	addr := w.serveDTLS(t, keys)
	var clients []*Client
	for range 3 {
		c, err := DialDTLS(t.Context(), addr, device1)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Get(t.Context(), "/who"); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	end := time.Now().Add(10 * time.Second)
	for ended := false; !ended; { // it ends beside what the third is told
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		m, err := clients[0].Get(ctx, "/who")
		cancel()
		if ended = err != nil; !ended && time.Now().After(end) {
			t.Fatalf("the first of three sessions is answered %q", m.Payload)
		}
	}
	for i, c := range clients[1:] {
		if _, err := c.Get(t.Context(), "/who"); err != nil {
			t.Errorf("session %d: %v", i+1, err)
		}
	}
}

func TestTurns(t *testing.T) {
	turns := newTurns(16)
	one := netip.MustParseAddr("192.0.2.1")
	for i, want := range []bool{true, true, false} {
		if turns.take(one) != want {
			t.Errorf("turn %d of one address is given: %v, want %v", i+1, !want, want)
		}
	}
	for i := range 14 {
		if !turns.take(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})) {
			t.Errorf("turn %d is refused", i+3)
		}
	}
	if turns.take(netip.MustParseAddr("203.0.113.1")) {
		t.Error("a seventeenth turn was given")
	}
	turns.give(one)
	if !turns.take(netip.MustParseAddr("203.0.113.1")) {
		t.Error("what was given back is not there")
	}
}

// A record longer than any request is ignored, as such a datagram is.
func TestLongRecordsEndNoSession(t *testing.T) {
	w := newWorld()
	c, err := DialDTLS(t.Context(), w.serveDTLS(t, keys), device1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.wire.(*udpClient).conn.Write(make([]byte, 2*maxDatagram)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if m, err := c.Get(ctx, "/who"); err != nil || string(m.Payload) != "1 device1" {
		t.Errorf("%q, %v", m.Payload, err)
	}
}
