package rvi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// activeTransfer is what a transfer under way may hold beside its idle link, in
// heap and stacks after a collection.
const activeTransfer = 160 << 10

// narrow keeps little in the system's buffers, so that chunks get stuck in ours.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// A vehicle that asks for a window and then reads no more: the whole server's
// side of its transfer, the node's and the backend's.
func TestAnActiveTransferIsSmall(t *testing.T) {
	const vehicles = 40
	p := benched{&pushed{file: ota.Artifact{Sums: ota.Sums{Size: 16 * ChunkSize, SHA1: strings.Repeat("a", 40), SHA256: ota.Digest(strings.Repeat("b", 64))}}}}
	b := NewBackend(BackendOptions{Devices: p, Feed: p})
	n, err := node.New(node.Options{Prefix: BackendPrefix, Plain: node.Vehicles(BackendPrefix), Announced: b.Announced, Audit: func(node.Event) {},
		Rights: node.Rights{{Receive: []string{BackendPrefix + "sota/"}, Invoke: []string{"genivi.org/vin/"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.AttachNode(n); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = b.Run(ctx) }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = n.ServeLink(narrow{l}) }()
	defer func() { cancel(); _ = n.Close(); <-ended }()

	cars := make([]*reader, vehicles)
	for i := range cars {
		cars[i] = comes(t, l.Addr().String(), Identity{VIN: fmt.Sprintf("VIN%014d", i)})
		defer func() { _ = cars[i].conn.Close() }()
	}
	before := held()
	for _, c := range cars {
		c.say(BackendStart{From: c.who, Units: []Unit{{Package: ghc}}, Services: ServicesOf(c.who), Window: MaxWindow})
		c.await("/sota/start\"")
		c.say(Ack{From: c.who, Unit: Unit{Package: ghc}})
	}
	for end := time.Now().Add(20 * time.Second); stuck(n) < vehicles; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("only %d are stuck", stuck(n))
		}
	}
	each := (held() - before) / vehicles
	t.Logf("an active transfer: %d bytes", each)
	if each > activeTransfer {
		t.Error("that is too much")
	}
	runtime.KeepAlive(cars)
}

func held() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// stuck counts links that have been sent a start, and have more waiting.
func stuck(n *node.Node) (count int) {
	for _, l := range n.Links() {
		if l.Queued > 1 {
			count++
		}
	}
	return count
}

// reader is a vehicle that reads only when it wants to.
type reader struct {
	t    *testing.T
	conn net.Conn
	who  Identity
}

func comes(t *testing.T, addr string, who Identity) *reader {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &reader{t, conn, who}
	c.write(`{"cmd":"au","creds":[]}`)
	for _, s := range AtDevice {
		c.write(fmt.Sprintf(`{"cmd":"sa","stat":"av","svcs":["%ssota/%s"]}`, who.Prefix(), s))
	}
	c.await("update_available\":", "packages\":")
	return c
}

func (c *reader) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *reader) say(m BackendMessage) {
	c.t.Helper()
	c.write(fmt.Sprintf(`{"cmd":"rcv","tid":1,"mod":"proto_json_rpc","data":{"service":"%ssota/%s","timeout":%d,"parameters":%s}}`,
		BackendPrefix, m.Service(), time.Now().Unix()+60, m.AppendParams(nil)))
}

// await reads up to one of the texts.
func (c *reader) await(texts ...string) {
	c.t.Helper()
	var got []byte
	for buf := make([]byte, 512); ; {
		k, err := c.conn.Read(buf)
		if err != nil {
			c.t.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:k]...)
		for _, s := range texts {
			if bytes.Contains(got, []byte(s)) {
				return
			}
		}
	}
}
