package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// activeTransfer is what one transfer under way may hold beside its idle link.
const activeTransfer = 160 << 10

// chunkOf is the parameters of a full chunk.
func chunkOf(b []byte) []byte {
	b = append(b, `[{"package":{"name":"ghc","version":"7.6.2"},"index":1,"bytes":"`...)
	b = append(b, strings.Repeat("A", 87_384)...)
	return append(b, `"}]`...)
}

func eagerly(n *Node, service string) error {
	return n.Send(context.Background(), service, chunkOf(nil), time.Minute)
}

// aWindow is the largest window of chunks.
func aWindow(n *Node, service string) error {
	for range 16 {
		err := n.SendFunc(context.Background(), service, func(b []byte) ([]byte, error) { return chunkOf(b), nil }, time.Minute)
		if err != nil {
			return err
		}
	}
	return nil
}

// The worst a vehicle can do in a transfer is to stop reading in the middle of
// a chunk.
func TestATransferThatStandsStillIsSmall(t *testing.T) {
	for _, c := range []struct {
		name    string
		tls     bool
		msgpack bool
		send    func(*Node, string) error
	}{
		{"tcp", false, false, eagerly}, {"tcp window", false, false, aWindow}, {"tcp msgpack", false, true, eagerly},
		{"tls", true, false, eagerly}, {"tls window", true, false, aWindow}, {"tls msgpack", true, true, aWindow},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkActive(t, stalledVehicles(t, activeVehicles, c.tls, c.msgpack), c.send)
		})
	}
}

// fleet is vehicles linked to a node that do not read any more.
type fleet struct {
	n     *Node
	names []string
	conns []net.Conn
}

func checkActive(t *testing.T, f *fleet, send func(*Node, string) error) {
	t.Helper()
	before := inUse()
	for _, name := range f.names {
		if err := send(f.n, name); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, func() bool { // all are stuck
		stuck := 0
		for _, l := range f.n.Links() {
			if l.Queued > 0 {
				stuck++
			}
		}
		return stuck == len(f.names) && f.n.writers() == len(f.names)
	})
	each := (inUse() - before) / int64(len(f.names))
	t.Logf("a transfer that stands still: %d bytes", each)
	if each > activeTransfer+activeTransfer/slack {
		t.Errorf("that is too much")
	}
	runtime.KeepAlive(f)
}

// writers counts links whose letter is on its way to the network.
func (n *Node) writers() (count int) {
	buf := make([]byte, 1<<20)
	for {
		k := runtime.Stack(buf, true)
		if k < len(buf) {
			return bytes.Count(buf[:k], []byte("net.(*Buffers).WriteTo"))
		}
		buf = make([]byte, 2*len(buf))
	}
}

func waitUntil(t *testing.T, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ready(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// small keeps little in the system's buffers, so that a chunk gets stuck.
type small struct{ net.Listener }

func (s small) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func stalledVehicles(t *testing.T, count int, secure, msgpack bool) *fleet {
	t.Helper()
	o := serverOptions(&log{})
	o.Announced = nil
	a := newAuthority(t, 0)
	if secure {
		o = Options{Prefix: backend, Identity: a.identity(t, backendGrant), Audit: (&log{}).audit}
	}
	f := &fleet{n: start(t, o)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		serve := f.n.ServeLink
		if secure {
			serve = f.n.ServeTLS
		}
		_ = serve(small{l})
	}()
	for i := range count {
		f.names = append(f.names, vehicleName(i)+"sota/chunk")
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		_ = raw.(*net.TCPConn).SetReadBuffer(4 << 10)
		conn, au := raw, hello
		if secure {
			id := a.identity(t, Grant{Receive: []string{vehicleName(i)}, Invoke: vehicleGrant.Invoke})
			conn, au = tls.Client(raw, &tls.Config{Certificates: []tls.Certificate{id.Certificate}, InsecureSkipVerify: true}), string(appendAu(nil, id.Credentials))
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		f.conns = append(f.conns, conn)
		say(t, conn, au)
		await(t, conn, `"sa"`)
		names := string(appendSa(nil, true, []string{f.names[i]}))
		if msgpack {
			names = string(toMsgpack(nil, []byte(names)))
		}
		say(t, conn, names)
	}
	waitUntil(t, func() bool { return len(f.n.state().Routes) == count })
	return f
}
