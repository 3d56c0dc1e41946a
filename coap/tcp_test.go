package coap

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// serveTCP starts a server over TCP, or TLS, and returns its address.
func (w *world) serveTCP(t testing.TB, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	background(t, func(ctx context.Context) error { return w.srv.ServeTCP(ctx, l) })
	return addr
}

func (a *authority) tls(t testing.TB) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, "server")}, ClientCAs: a.pool,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"coap"},
	}
}

func TestLibcoapFetchesFilesOverTCP(t *testing.T) {
	w := newWorld()
	fetchAll(t, w, "coap+tcp://"+w.serveTCP(t, nil), "coap-client-notls")
}

func TestLibcoapFetchesFilesOverTLS(t *testing.T) {
	ca := newAuthority(t)
	for _, program := range []string{"coap-client-openssl", "coap-client-gnutls"} {
		t.Run(program, func(t *testing.T) {
			w := newWorld()
			addr := w.serveTCP(t, ca.tls(t))
			args := ca.files(t, "device1")
			fetchAll(t, w, "coaps+tcp://"+addr, program, args...)
			if got := coapClient(t, program, append(args, "coaps+tcp://"+addr+"/who")...); string(got) != "2 device1" {
				t.Errorf("the handler saw %q", got)
			}
		})
	}
}

func TestClientOverTCPAndTLS(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "device1")
	for name, server := range map[string]*tls.Config{"TCP": nil, "TLS": ca.tls(t)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			want := w.file("/f", 5001)
			var config *tls.Config
			if server != nil {
				config = &tls.Config{RootCAs: ca.pool, ServerName: "server", Certificates: []tls.Certificate{cert}}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, err := DialTCP(ctx, w.serveTCP(t, server), config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var got at
			if n, _, err := c.Download(ctx, "/f", &got, 0); err != nil || n != 5001 || !bytes.Equal(got.b, want) {
				t.Errorf("downloaded %d bytes, %v", n, err)
			}
			if m, err := c.Post(ctx, "/post", OctetStream, want); err != nil || string(m.Payload) != "5001 bytes" {
				t.Errorf("posted: %q, %v", m.Payload, err)
			}
			for m, err := range c.Observe(ctx, "/state") {
				if err != nil {
					t.Fatal(err)
				}
				if string(m.Payload) == "second" {
					break
				}
				w.set("second")
			}
		})
	}
}

// What a stream gets to hear that breaks the rules of RFC 8323.
func TestBadStreams(t *testing.T) {
	for _, c := range []struct {
		name string
		send []byte
		want Code // of the last signal before the end; Empty for none
	}{
		{"no CSM first", []byte{0x00, byte(GET)}, abort},
		{"token of 9 bytes", []byte{0x00, byte(csm), 0x09, byte(GET), 1, 2, 3, 4, 5, 6, 7, 8, 9}, abort},
		{"a longer message than allowed", []byte{0x00, byte(csm), 0xE0, 0xFF, 0xFF, byte(POST)}, abort},
		{"4 GiB", []byte{0x00, byte(csm), 0xF0, 0xFF, 0xFF, 0xFF, 0xFF, byte(POST)}, abort},
		{"an option cut off", []byte{0x00, byte(csm), 0x10, byte(GET), 0xBD}, abort},
		{"an unknown critical option in a CSM", []byte{0x10, byte(csm), 0x30}, abort},
		{"release", []byte{0x00, byte(csm), 0x00, byte(release)}, Empty},
		{"abort", []byte{0x00, byte(csm), 0x00, byte(abort)}, Empty},
		{"ping, then release", []byte{0x00, byte(csm), 0x01, byte(ping), 7, 0x00, byte(release)}, pong},
		{"half a message", []byte{0x00, byte(csm), 0x50, byte(GET), 0xB1}, Empty},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			conn, err := net.Dial("tcp", w.serveTCP(t, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(c.send); err != nil {
				t.Fatal(err)
			}
			_ = conn.(*net.TCPConn).CloseWrite()
			if got := lastSignal(t, conn); got != c.want {
				t.Errorf("the last signal was %v, want %v", got, c.want)
			}
		})
	}
}

// lastSignal reads until the connection ends.
func lastSignal(t *testing.T, conn net.Conn) (last Code) {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	s := newStream(conn, 1<<16, time.Minute)
	for {
		m, err := readFrame(s.r, s.frame)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("the connection does not end")
		}
		if err != nil {
			return last
		}
		if m.Code != csm {
			last = m.Code
		}
	}
}
