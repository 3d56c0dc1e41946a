package coap

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// flood sends requests under forged addresses until stop is called, and
// returns how many it sent.
func flood(t testing.TB, server netip.AddrPort) (stop func() int) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	sock, err := newSocket(c)
	if err != nil {
		t.Fatal(err)
	}
	end, sent := make(chan struct{}), make(chan int)
	get := NewRequest(GET, "/file")
	raw := get.appendTo(nil)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-end:
				c.Close()
				sent <- n
				return
			default:
			}
			from := netip.AddrFrom4([4]byte{127, byte(1 + n>>16&63), byte(n >> 8), byte(n)})
			_ = sock.write(raw, route{peer: server, local: from})
		}
	}()
	return func() int {
		close(end)
		return <-sent
	}
}

// An honest peer is served beside a flood that takes all the server has.
func TestForgedFloodBesideAnHonestPeer(t *testing.T) {
	w := newWorld()
	w.file("/file", 1<<20)
	addr := w.serve(t)
	c := dial(t, addr.String())
	if _, _, err := c.Download(t.Context(), "/file", &at{}, 0); err != nil {
		t.Fatal(err)
	}
	before := heap()
	stop := flood(t, addr.AddrPort())
	start := time.Now()
	_, _, err := c.Download(t.Context(), "/file", &at{}, 0)
	took := time.Since(start)
	forged := stop()
	if err != nil || took > 30*time.Second { // what is lost costs 2 to 3 s
		t.Errorf("1024 blocks took %v beside %d forged requests, %v", took, forged, err)
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("%d forged requests leave %d KiB behind", forged, grown>>10)
	}
	if forged < 1000 {
		t.Errorf("only %d requests were forged", forged)
	}
	t.Logf("1024 blocks in %v beside %.0f forged requests a second", took, float64(forged)/took.Seconds())
}

// While too much waits, the unknown are heard only so often, the known always.
func TestOverloadIsForTheUnknown(t *testing.T) {
	b := newBench(t)
	b.srv.limits.Overload = 10
	b.from.behind = true
	ask := func() (answers int) {
		for range 100 {
			if b.send(t, "40011234b166") != "" {
				answers++
			}
		}
		return answers
	}
	if n := ask(); n != 20 {
		t.Errorf("%d answers to the unknown, want 20", n)
	}
	if b.send(t, "40001234") != "" {
		t.Error("a ping is answered")
	}
	b.prove()
	if n := ask(); n != 100 {
		t.Errorf("%d answers to the known, want 100", n)
	}
}
