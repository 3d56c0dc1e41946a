package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What an idle link of a server may hold in heap and stacks after a collection.
const (
	idleTCP = 20 << 10
	idleTLS = 48 << 10
)

func inUse() int64 {
	runtime.GC()
	runtime.GC() // after the second, pools are empty
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestAnIdleLinkIsSmall(t *testing.T) {
	o := serverOptions(&log{})
	o.Announced = nil
	n := start(t, o)
	checkFootprint(t, n, n.ServeLink, idleTCP, func(c net.Conn, _ int) (net.Conn, string) { return c, hello })
}

func TestAnIdleLinkOverTLSIsSmall(t *testing.T) {
	a := newAuthority(t, 0)
	n := start(t, Options{Prefix: backend, Identity: a.identity(t, backendGrant), Audit: (&log{}).audit})
	checkFootprint(t, n, n.ServeTLS, idleTLS, func(c net.Conn, i int) (net.Conn, string) {
		id := a.identity(t, Grant{Receive: []string{vehicleName(i)}, Invoke: vehicleGrant.Invoke})
		return tls.Client(c, &tls.Config{Certificates: []tls.Certificate{id.Certificate}, InsecureSkipVerify: true}), string(appendAu(nil, id.Credentials))
	})
}

func vehicleName(i int) string { return fmt.Sprintf("genivi.org/vin/V%05d/", i) }

// checkFootprint links vehicles, each of which announces its six services and
// sends one large message, and then looks at what is held. What closing the
// links gives back is the server's part, unless stacks are kept for reuse: at
// least half of what both ends hold.
func checkFootprint(t *testing.T, n *Node, serve func(net.Listener) error, limit int64, dress func(net.Conn, int) (net.Conn, string)) {
	t.Helper()
	got := make(chan int, 1)
	if _, err := n.Handle("/sota/ack", func(_ context.Context, m Message) error { got <- len(m.Params); return nil }); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = serve(l) }()
	conns := make([]net.Conn, vehicles)
	link := func(i int) {
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		conn, au := dress(raw, i)
		conns[i] = conn
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		say(t, conn, au)
		await(t, conn, `"sa"`)
		var names []string
		for _, s := range []string{"notify", "start", "chunk", "finish", "getpackages", "abort"} {
			names = append(names, vehicleName(i)+"sota/"+s)
		}
		say(t, conn, string(appendSa(nil, true, names)))
		large := &parcel{service: backend + "sota/ack", params: []byte(`["` + strings.Repeat("A", 87_384) + `"]`), expires: time.Now().Add(time.Minute)}
		say(t, conn, rcv(large.service, string(large.params)))
		if size := <-got; size != len(large.params) {
			t.Fatalf("got %d bytes", size)
		}
	}
	link(0) // what the first one leaves behind is no link's
	before := inUse()
	for i := 1; i < vehicles; i++ {
		link(i)
	}
	if got := len(n.Links()); got != vehicles {
		t.Errorf("%d links", got)
	}
	full := inUse()
	_ = n.Close() // gives back what the links held, and leaves the vehicles' ends
	both, each := (full-before)/(vehicles-1), (full-inUse())/vehicles
	t.Logf("an idle link: %d bytes with the vehicle's end, %d given back", both, each)
	if min(both, max(each, both/2)) > limit+limit/slack {
		t.Errorf("an idle link holds too much")
	}
	runtime.KeepAlive(conns)
}

func say(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// await reads up to a text.
func await(t *testing.T, c net.Conn, s string) {
	t.Helper()
	var got []byte
	buf := make([]byte, 8192)
	for !bytes.Contains(got, []byte(s)) {
		k, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:k]...)
	}
}

// BenchmarkChunks sends full chunks over a real socket, each answered by an ack.
func BenchmarkChunks(b *testing.B) {
	quiet := func(Event) {}
	so, vo := serverOptions(&log{}), vehicleOptions(&log{})
	so.Audit, vo.Audit, so.Announced, vo.Announced = quiet, quiet, nil, nil
	s, v := start(b, so), start(b, vo)
	acked := make(chan struct{}, 1)
	ack := []byte(`[{"package":{"name":"ghc","version":"7.6.2"},"chunks":[1,2,3],"vin":"V"}]`)
	if _, err := s.Handle("/sota/ack", func(_ context.Context, m Message) error { acked <- struct{}{}; return nil }); err != nil {
		b.Fatal(err)
	}
	if _, err := v.Handle("/sota/chunk", func(ctx context.Context, m Message) error {
		var p []struct{ Bytes string }
		if err := json.Unmarshal(m.Params, &p); err != nil {
			return err
		}
		return v.Send(ctx, backend+"sota/ack", ack, time.Minute)
	}); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.ServeLink(l) }()
	go func() { _ = v.Connect(b.Context(), l.Addr().String()) }()
	chunk := []byte(`[{"package":{"name":"ghc","version":"7.6.2"},"index":1,"bytes":"` + strings.Repeat("A", 87_384) + `"}]`)
	b.SetBytes(65_536)
	for b.Loop() {
		if err := s.Send(b.Context(), vin+"sota/chunk", chunk, time.Minute); err != nil {
			b.Fatal(err)
		}
		<-acked
	}
}

// BenchmarkBareChunks is what BenchmarkChunks is measured against: the same
// messages, ready made, over a bare connection, decoded with encoding/json.
func BenchmarkBareChunks(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	type message struct {
		Cmd  string
		Data struct {
			Service    string
			Parameters []struct{ Bytes string }
		}
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		d := json.NewDecoder(c)
		for {
			var m message
			if d.Decode(&m) != nil {
				return
			}
			_, _ = c.Write([]byte(`{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":"genivi.org/backend/sota/ack","timeout":1445520390,"parameters":[{"package":{"name":"ghc","version":"7.6.2"},"chunks":[1,2,3],"vin":"V"}]}}`))
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	chunk := []byte(`{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":"genivi.org/vin/V/sota/chunk","timeout":1445520390,"parameters":[{"package":{"name":"ghc","version":"7.6.2"},"index":1,"bytes":"` + strings.Repeat("A", 87_384) + `"}]}}`)
	d := json.NewDecoder(c)
	b.SetBytes(65_536)
	for b.Loop() {
		if _, err := c.Write(chunk); err != nil {
			b.Fatal(err)
		}
		var m message
		if err := d.Decode(&m); err != nil {
			b.Fatal(err)
		}
	}
	_, _ = c.Close(), l.Close()
}
