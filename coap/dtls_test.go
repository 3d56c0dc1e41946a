package coap

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// serveDTLS starts a coaps server and returns its address.
func (w *world) serveDTLS(t testing.TB, config DTLSConfig) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error { return w.srv.ServeDTLS(ctx, c, config) })
	return c.LocalAddr().String()
}

var errUnknownIdentity = errors.New("no such identity")

// keys is a server that knows one device by a key.
var keys = DTLSConfig{PSK: func(identity string) ([]byte, error) {
	if identity == "device1" {
		return []byte("secret"), nil
	}
	return nil, errUnknownIdentity
}}

func TestLibcoapFetchesFilesByPSK(t *testing.T) {
	for _, program := range []string{"coap-client-openssl", "coap-client-gnutls"} {
		t.Run(program, func(t *testing.T) {
			w := newWorld()
			fetchAll(t, w, "coaps://"+w.serveDTLS(t, keys), program, "-u", "device1", "-k", "secret")
			if got := coapClient(t, program, "-u", "device1", "-k", "secret", "coaps://"+w.serveDTLS(t, keys)+"/who"); string(got) != "1 device1" {
				t.Errorf("the handler saw %q", got)
			}
		})
	}
}

func TestClientByPSK(t *testing.T) {
	w := newWorld()
	addr := w.serveDTLS(t, keys)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := DialDTLS(ctx, addr, DTLSClientConfig{Identity: "device1", Key: []byte("secret")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := c.Get(ctx, "/who")
	if err != nil || string(m.Payload) != "1 device1" {
		t.Errorf("the handler saw %q, %v", m.Payload, err)
	}
	for _, bad := range []DTLSClientConfig{{Identity: "device1", Key: []byte("guess")}, {Identity: "device2", Key: []byte("secret")}} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if c, err := DialDTLS(ctx, addr, bad); err == nil {
			c.Close()
			t.Errorf("%s with the key %s got in", bad.Identity, bad.Key)
		}
		cancel()
	}
}

func TestLibcoapFetchesFilesByCertificate(t *testing.T) {
	ca := newAuthority(t)
	for _, program := range []string{"coap-client-openssl", "coap-client-gnutls"} {
		t.Run(program, func(t *testing.T) {
			w := newWorld()
			addr := w.serveDTLS(t, ca.config(t))
			args := ca.files(t, "device1")
			fetchAll(t, w, "coaps://"+addr, program, args...)
			if got := coapClient(t, program, append(args, "coaps://"+addr+"/who")...); string(got) != "2 device1" {
				t.Errorf("the handler saw %q", got)
			}
		})
	}
}

func TestClientByCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	w := newWorld()
	addr := w.serveDTLS(t, ca.config(t))
	cert := ca.issue(t, "device1")
	c, err := DialDTLS(t.Context(), addr, DTLSClientConfig{Certificate: &cert, RootCAs: ca.pool, ServerName: "server"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if m, err := c.Get(t.Context(), "/who"); err != nil || string(m.Payload) != "2 device1" {
		t.Errorf("the handler saw %q, %v", m.Payload, err)
	}
	stranger := other.issue(t, "device1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err = DialDTLS(ctx, addr, DTLSClientConfig{Certificate: &stranger, RootCAs: ca.pool, ServerName: "server"})
	if err == nil {
		defer c.Close()
		if _, err = c.Get(ctx, "/who"); err == nil {
			t.Error("a certificate of somebody else's was taken")
		}
	}
}

// A session with both kinds of proof on offer takes what the client has.
func TestKeysAndCertificatesOnOnePort(t *testing.T) {
	ca := newAuthority(t)
	w := newWorld()
	both := ca.config(t)
	both.PSK = keys.PSK
	addr := w.serveDTLS(t, both)
	cert := ca.issue(t, "device2")
	for want, config := range map[string]DTLSClientConfig{
		"1 device1": {Identity: "device1", Key: []byte("secret")},
		"2 device2": {Certificate: &cert, RootCAs: ca.pool, ServerName: "server"},
	} {
		c, err := DialDTLS(t.Context(), addr, config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if m, err := c.Get(t.Context(), "/who"); err != nil || string(m.Payload) != want {
			t.Errorf("the handler saw %q, %v, want %q", m.Payload, err, want)
		}
	}
}

// wandering is a socket whose address changes behind its user's back.
type wandering struct {
	net.PacketConn
	mu  sync.Mutex
	now net.PacketConn
}

func (w *wandering) current() net.PacketConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wandering) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c := w.current()
		n, addr, err := c.ReadFrom(b)
		if err == nil || c == w.current() {
			return n, addr, err
		}
	}
}

func (w *wandering) WriteTo(b []byte, addr net.Addr) (int, error) {
	return w.current().WriteTo(b, addr)
}

func (w *wandering) Close() error { return w.current().Close() }

func (w *wandering) SetReadDeadline(t time.Time) error { return w.current().SetReadDeadline(t) }

// move goes on with another address.
func (w *wandering) move(t *testing.T, to string) {
	next, err := net.ListenPacket("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { next.Close() })
	w.mu.Lock()
	old := w.now
	w.now = next
	w.mu.Unlock()
	old.Close()
}

func TestConnectionIDSurvivesAChangeOfAddress(t *testing.T) {
	w := newWorld()
	addr, err := net.ResolveUDPAddr("udp", w.serveDTLS(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	first, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sock := &wandering{PacketConn: first, now: first}
	c, err := NewDTLSClient(t.Context(), sock, addr, DTLSClientConfig{Identity: "device1", Key: []byte("secret"), ConnectionID: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 3 {
		if m, err := c.Get(ctx, "/who"); err != nil || string(m.Payload) != "1 device1" {
			t.Fatalf("the handler saw %q, %v", m.Payload, err)
		}
		sock.move(t, "127.0.0.1:0")
	}
}

// Nothing is kept for who says hello from addresses of others.
func TestForgedHellosCostNothing(t *testing.T) {
	rec := &recorder{}
	f := newDTLSFront(rec, nil, 10)
	f.begin = func(*dtlsConn) bool { t.Error("a session begins"); return false }
	hello := clientHelloOf(t)
	for i := range 1000 {
		f.receive(bytes.Clone(hello), route{peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(i))})
	}
	if len(f.byAddr)+len(f.byCID) != 0 || len(rec.sent) != 1000 {
		t.Errorf("%d sessions, %d answers", len(f.byAddr), len(rec.sent))
	}
	for _, answer := range rec.sent {
		if len(answer)/2 > len(hello) {
			t.Fatalf("%d bytes in answer to %d", len(answer)/2, len(hello))
		}
	}
}

// A cookie is good for one address, one client and one minute.
func TestCookies(t *testing.T) {
	c, now := newCookies(), time.Unix(1e9, 0)
	here, there := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:2")
	h := hello{msgSeq: 1, random: make([]byte, 32)}
	h.cookie = c.make(here, h.random, uint32(now.Unix()))
	other := h
	other.random = bytes.Repeat([]byte{1}, 32)
	if !c.check(here, &h, now.Add(time.Minute)) {
		t.Error("a fresh cookie was refused")
	}
	if c.check(there, &h, now) || c.check(here, &other, now) || c.check(here, &h, now.Add(61*time.Second)) || newCookies().check(here, &h, now) {
		t.Error("a cookie was taken from elsewhere, from somebody else, late, or from another server")
	}
}

// clientHelloOf is what a client sends first.
func clientHelloOf(t testing.TB) []byte {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = DialDTLS(ctx, c.LocalAddr().String(), DTLSClientConfig{Identity: "device1", Key: []byte("secret")})
	}()
	b := make([]byte, 2000)
	n, _, err := c.ReadFrom(b)
	cancel()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}
