//go:build soak

package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

func TestSoakAThousandTransfersStandStill(t *testing.T) {
	for name, secure := range map[string]bool{"tcp": false, "tls": true} {
		t.Run(name, func(t *testing.T) { checkActive(t, stalledVehicles(t, 1000, secure, false), aWindow) })
	}
}

// hostility are ways to misbehave, of a vehicle that may announce name.
var hostility = []func(c net.Conn, name string){
	func(c net.Conn, _ string) { // garbage
		b := make([]byte, 100_000)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		_, _ = c.Write(b)
	},
	func(c net.Conn, _ string) { _, _ = io.WriteString(c, hello+`{"cmd":"`+strings.Repeat("x", 90_000)) }, // half a frame
	func(c net.Conn, name string) { // a name after the other
		for i := range 10_000 {
			_, _ = io.WriteString(c, hello+string(appendSa(nil, true, []string{fmt.Sprint(name, "x", i)})))
		}
	},
	func(c net.Conn, name string) { // here and gone
		s := string(appendSa(nil, true, []string{name + "sota/chunk"})) + string(appendSa(nil, false, []string{name + "sota/chunk"}))
		_, _ = io.WriteString(c, hello+strings.Repeat(s, 5000))
	},
	func(c net.Conn, _ string) { // pieces of messages that never come
		_, _ = io.WriteString(c, hello)
		for i := range 1000 {
			_, _ = fmt.Fprintf(c, `{"frg":[%d,1048576,%d,"x"]}`, i%maxPieces, 2*i+1)
		}
	},
	func(c net.Conn, name string) { // it wants chunks, and does not read
		_, _ = io.WriteString(c, hello+string(appendSa(nil, true, []string{name + "sota/chunk"})))
	},
}

// A thousand peers misbehave for as long as a good one needs for its file.
func TestSoakAThousandHostilePeers(t *testing.T) {
	o := serverOptions(&log{})
	o.Announced, o.Audit = func(Announcement) {}, func(Event) {}
	n := start(t, o)
	acked := make(chan struct{}, 1)
	if _, err := n.Handle("/sota/ack", func(context.Context, Message) error { acked <- struct{}{}; return nil }); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = n.ServeLink(l) }()
	good, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	say(t, good, hello+sa("av", vin+"sota/chunk"))
	await(t, good, "sota/ack")
	before := inUse()
	gathered := make(chan struct{})
	go func() { defer close(gathered); gather(t, n, l.Addr().String()) }()
	chunk, most, slowest, buf := chunkOf(nil), int64(0), time.Duration(0), make([]byte, 64<<10)
	for i, all := 0, false; i < 1000 || !all; i++ {
		began := time.Now()
		if err := n.Send(t.Context(), vin+"sota/chunk", chunk, time.Minute); err != nil {
			t.Fatal(err)
		}
		for end := false; !end; {
			_ = good.SetReadDeadline(time.Now().Add(20 * time.Second))
			k, err := good.Read(buf)
			if err != nil {
				t.Fatalf("chunk %d: %v", i, err)
			}
			end = bytes.HasSuffix(buf[:k], []byte("}]}}"))
		}
		say(t, good, rcv(backend+"sota/ack", `[{}]`))
		<-acked
		slowest = max(slowest, time.Since(began))
		if i%500 == 0 {
			most = max(most, inUse()-before)
		}
		select {
		case <-gathered:
			all = true
		default:
		}
	}
	t.Logf("the slowest chunk took %v; the crowd, both ends, holds at most %d MiB", slowest, most>>20)
	if most > 256<<20 || slowest > ackPatience {
		t.Error("that is too much")
	}
	_ = good.Close()
}

// ackPatience is how long a backend waits before it sends a chunk again.
const ackPatience = 30 * time.Second

// gather links a thousand that misbehave.
func gather(t *testing.T, n *Node, addr string) {
	for i := range 1000 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
		name := vehicleName(i)
		go hostility[i%len(hostility)](c, name)
		// Many of these names nobody announces, or not for long.
		_ = n.SendFunc(context.Background(), name+"sota/chunk", func(b []byte) ([]byte, error) { return chunkOf(b), nil }, time.Minute)
	}
}
