package coap

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Records in the clear that anybody can send under a client's address, each of
// which pion would end a session for, or a handshake.
var forgedRecords = map[string]string{
	"data in the clear":                "17fefd 0000000000000099 0001 00",
	"a change of cipher that is none":  "14fefd 0000000000000099 0001 02",
	"an alert":                         "15fefd 0000000000000099 0002 0228",
	"half an alert":                    "15fefd 0000000000000099 0001 02",
	"an unknown type":                  "63fefd 0000000000000099 0001 00",
	"a CID in the clear":               "16fefd 0001000000000099 0001 00 19fefd 0000000000000099 0102030405060708 0001 00",
	"half a record":                    "17fefd 0000000000000099 0100 00",
	"a record that cannot be read":     "17fefd 0001000000000099 0001 00",
	"a message of the handshake":       "16fefd 0000000000000099 000c 010000000000000000000000",
	"a handshake that is none":         "16fefd 0000000000000099 0003 010000",
	"data behind a record of no sense": "17fefd 0001000000000099 0001 00 17fefd 0000000000000099 0001 00",
}

// A session survives whatever is sent from its client's address by others.
func TestForgedRecordsEndNoSession(t *testing.T) {
	for _, cid := range []bool{false, true} {
		w := newWorld()
		server, err := net.ResolveUDPAddr("udp", w.serveDTLS(t, keys))
		if err != nil {
			t.Fatal(err)
		}
		sock, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		config := device1
		config.ConnectionID = cid
		c, err := NewDTLSClient(t.Context(), sock, server, config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for name, record := range forgedRecords {
			if _, err := sock.WriteTo(unhex(t, record), server); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			if m, err := c.Get(ctx, "/who"); err != nil || string(m.Payload) != "1 device1" {
				t.Fatalf("with a CID: %v, after %s: %q, %v", cid, name, m.Payload, err)
			}
			cancel()
		}
	}
}

// A client hears nobody but its server, which nobody can end a session for.
func TestForgedRecordsEndNoClient(t *testing.T) {
	w := newWorld()
	server, err := net.ResolveUDPAddr("udp", w.serveDTLS(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewDTLSClient(t.Context(), sock, server, device1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stranger, err := net.Dial("udp", sock.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	for name, record := range forgedRecords {
		if _, err := stranger.Write(unhex(t, record)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		if m, err := c.Get(ctx, "/who"); err != nil || string(m.Payload) != "1 device1" {
			t.Fatalf("after %s: %q, %v", name, m.Payload, err)
		}
		cancel()
	}
}

// What of a datagram gets to pion.
func TestSift(t *testing.T) {
	const (
		hello     = "16fefd 0000000000000001 0002 0102"
		change    = "14fefd 0000000000000002 0001 01"
		alert     = "15fefd 0000000000000003 0002 0228"
		encrypted = "17fefd 0001000000000001 0003 010203"
		byCID     = "19fefd 0001000000000001 0102030405060708 0003 010203"
	)
	for _, c := range []struct {
		name, in, before, after, cid string
	}{
		{"a handshake that ends", hello + change + encrypted, hello + change + encrypted, encrypted, ""},
		{"an alert", alert, alert, "", ""},
		{"a Connection ID", byCID + encrypted, byCID + encrypted, byCID + encrypted, "\x01\x02\x03\x04\x05\x06\x07\x08"},
		{"the Connection ID of another", byCID + encrypted, encrypted, encrypted, "other"},
		{"cut off", encrypted + "17fefd 0001000000", encrypted, encrypted, ""},
		{"nothing", "", "", "", ""},
	} {
		for secured, want := range map[bool]string{false: c.before, true: c.after} {
			if got := sift(unhex(t, c.in), secured, c.cid); string(got) != string(unhex(t, want)) {
				t.Errorf("%s: kept %x, want %s", c.name, got, want)
			}
		}
	}
}

// However much a client sends in its handshake, it is bounded.
func TestLongHandshakesAreCutOff(t *testing.T) {
	f := newDTLSFront(mute{}, nil, 10)
	c := newDTLSConn(f, hello{}, route{}, "")
	fragment := unhex(t, "16fefd 0000000000000001 0400"+strings.Repeat("00", 1024))
	taken := 0
	for range 1000 {
		c.deliver(fragment, route{})
		select {
		case d := <-c.in:
			taken += len(d.b)
		default:
		}
	}
	if taken > maxHandshake || taken < maxHandshake/2 {
		t.Errorf("%d bytes of a handshake were taken, want %d", taken, maxHandshake)
	}
	c.secure("device1")
	c.deliver(unhex(t, "17fefd 0001000000000001 0003 010203"), route{})
	if len(c.in) != 1 {
		t.Error("what comes after a handshake is cut off too")
	}
}

// Who is not known is not told so: it looks like a wrong key.
func TestIdentitiesCannotBeGuessed(t *testing.T) {
	w := newWorld()
	addr := w.serveDTLS(t, keys)
	for _, bad := range []DTLSClientConfig{{Identity: "device1", Key: []byte("guess")}, {Identity: "device2", Key: []byte("guess")}} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := DialDTLS(ctx, addr, bad)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s is told %v", bad.Identity, err)
		}
		cancel()
	}
}

// Handshakes that fail leave no goroutine behind.
func TestFailedHandshakesLeaveNothing(t *testing.T) {
	w := newWorld()
	w.srv.Limits.Handshake = 100 * time.Millisecond
	addr := w.serveDTLS(t, keys)
	before := runtime.NumGoroutine()
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := DialDTLS(ctx, addr, DTLSClientConfig{Identity: "device1", Key: []byte("guess")}); err == nil {
			t.Fatal("a wrong key got in")
		}
		cancel()
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+2 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines more than before", runtime.NumGoroutine()-before)
		}
		runtime.Gosched()
	}
}
