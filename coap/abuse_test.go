package coap

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

// mute is a socket that sends nothing.
type mute struct{}

func (mute) receive(int, func([]byte, route)) error { select {} }
func (mute) write([]byte, route) error              { return nil }

// prove lets the bench's peer be one with a proven address.
func (b *bench) prove() {
	now := time.Now()
	v := b.srv.proofs.echo(b.from.peer, now)
	if !b.srv.proofs.prove(b.from.peer, v[:], now) {
		panic("an Echo value of our own is refused")
	}
}

func TestNoMemoryPerBlock(t *testing.T) {
	for _, peer := range []string{"proven", "unproven"} {
		b := newBench(t)
		b.file("/fw/app/file1", 1<<20)
		b.u.layer.sock = mute{}
		if peer == "proven" {
			b.prove()
		}
		m := NewRequest(GET, "/fw/app/file1")
		m.Options.AddUint(Block2, Block{Num: 100, SZX: 6}.value())
		m.Token = []byte{1, 2, 3, 4}
		raw := m.appendTo(nil)
		if n := testing.AllocsPerRun(1000, func() { b.u.layer.receive(b.s, raw, b.from) }); n != 0 {
			t.Errorf("%s: %v allocations per block", peer, n)
		}
	}
}

// Who has not proven its address gets little, and no state.
func TestUnprovenAddresses(t *testing.T) {
	const long = "40011234 b4 6c6f6e67" // GET /long
	b := newBench(t)
	b.file("/long", 2000)
	challenge := b.send(t, long)
	if !strings.HasPrefix(challenge, "60811234dcef") || len(challenge) != 2*(4+2+12) {
		t.Fatalf("sent %s, want 4.01 with Echo", challenge)
	}
	if got := b.send(t, "40011235 b4 6c6f6e67 c102"); !strings.HasPrefix(got, "60451235") {
		t.Errorf("a block of 64 bytes is answered by %s", got)
	}
	if got := b.send(t, "40011236 b4 6c6f6e67 c103"); !strings.HasPrefix(got, "60811236") {
		t.Errorf("a block of 128 bytes is answered by %s, want 4.01", got)
	}
	if got := b.send(t, "40011237 60 55 7374617465"); !strings.HasPrefix(got, "60811237") || b.srv.observers.count() != 0 {
		t.Errorf("an observation is answered by %s, want 4.01", got)
	}
	if got := b.send(t, "40021238 b4 706f7374 d1030a ff 6869"); !strings.HasPrefix(got, "60811238") || len(b.srv.bodies.all) != 0 {
		t.Errorf("a first block is answered by %s, want 4.01", got)
	}
	echo := challenge[12:]
	elsewhere := b.from
	b.from.peer = netip.MustParseAddrPort("192.0.2.1:5684")
	if got := b.send(t, "40011239 b4 6c6f6e67 dce4"+echo); !strings.HasPrefix(got, "60811239") {
		t.Errorf("the Echo of another port is answered by %s, want 4.01", got)
	}
	b.from = elsewhere
	if got := b.send(t, "4001123a b4 6c6f6e67 dce4"+echo); !strings.HasPrefix(got, "6045123a") || len(got) < 2*1024 {
		t.Errorf("with the Echo sent %.40s, want 1024 bytes", got)
	}
	if got := b.send(t, "4001123b b4 6c6f6e67"); !strings.HasPrefix(got, "6045123b") {
		t.Errorf("after the Echo sent %.40s, want 1024 bytes", got)
	}
}

func TestUnprovenNetworksHaveABudget(t *testing.T) {
	b := newBuckets(1000)
	now := time.Unix(1e9, 0)
	sent := 0
	for i := range 1000 {
		if b.take(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 10, now) {
			sent += 10
		}
	}
	if sent != 2000 {
		t.Errorf("%d bytes at once, want 2000", sent)
	}
	if b.take(netip.MustParseAddr("192.0.2.1"), 500, now.Add(400*time.Millisecond)) || !b.take(netip.MustParseAddr("192.0.2.1"), 500, now.Add(500*time.Millisecond)) {
		t.Error("after half a second there are to be 500 bytes more")
	}
	if !b.take(netip.MustParseAddr("::ffff:198.51.100.1"), 10, now) || !b.take(netip.MustParseAddr("fe80::1%eth0"), 10, now) {
		t.Error("other networks pay too")
	}
}

// A flood of forged requests of all kinds leaves little behind, and what an
// honest peer was told is remembered.
func TestForgedFloodIsBounded(t *testing.T) {
	b := newBench(t)
	b.file("/long", 2000)
	b.u.layer.sock = mute{}
	b.prove()
	honest := b.from
	post := func() { // the same message again and again
		raw, _ := hex.DecodeString("41021234aab4706f7374ff6869")
		b.u.layer.receive(b.s, raw, honest)
		b.u.wg.Wait()
	}
	var kinds [][]byte
	for _, datagram := range []string{"40011234b46c6f6e67", "40021234b4706f7374ff6869", "400112346055" + "7374617465", "40021234b4706f7374d1030aff6869", "40001234", "40011234bd"} {
		raw, err := hex.DecodeString(datagram)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, raw)
	}
	post()
	before := heap()
	for i := range 300_000 {
		a := [4]byte{198, byte(i >> 16), byte(i >> 8), byte(i)}
		b.u.layer.receive(b.s, kinds[i%len(kinds)], route{peer: netip.AddrPortFrom(netip.AddrFrom4(a), uint16(i))})
		if i%1000 == 0 {
			b.u.wg.Wait()
		}
	}
	b.u.wg.Wait()
	b.posts = nil
	if grown := heap() - before; grown > 24<<20 {
		t.Errorf("300000 forged requests leave %d KiB behind", grown>>10)
	}
	if post(); len(b.posts) != 0 {
		t.Error("an honest peer's request was forgotten and handled again")
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A peer whose handlers are slow waits for itself only.
func TestSlowHandlerSlowsNobody(t *testing.T) {
	b := newBench(t)
	slow := make(chan struct{})
	b.srv.content = nil
	b.srv.Handler = HandlerFunc(func(w ResponseWriter, r *Request) {
		if r.Path() == "/slow" {
			<-slow
		}
		fmt.Fprint(w, "done")
	})
	receive := func(datagram string) {
		raw, err := hex.DecodeString(datagram)
		if err != nil {
			t.Fatal(err)
		}
		b.u.layer.receive(b.s, raw, b.from)
	}
	for i := range 8 {
		receive(fmt.Sprintf("4002%04xb4736c6f77", i))
	}
	receive("40021234b4736c6f77")
	if got := b.rec.take(); got != "60a31234d10102" {
		t.Errorf("the ninth slow request is answered by %s, want 5.03 with Max-Age 2", got)
	}
	receive("40020001b4736c6f77")
	if got := b.rec.take(); got != "" {
		t.Errorf("a repetition is answered by %s before there is an answer", got)
	}
	b.from.peer = netip.MustParseAddrPort("192.0.2.9:5683")
	receive("40024321b466617374")
	for b.rec.empty() {
		runtime.Gosched()
	}
	if got := b.rec.take(); !strings.HasPrefix(got, "60444321") {
		t.Errorf("another peer is told %s", got)
	}
	close(slow)
	b.u.wg.Wait()
	if got := strings.Fields(b.rec.take()); len(got) != 8 {
		t.Errorf("%d slow answers, want 8", len(got))
	}
}

func (r *recorder) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent) == 0
}

// However many blocks a peer has asked for, the next costs the same, and
// other peers get theirs in between.
func TestManySmallBlocksSlowNobody(t *testing.T) {
	w := newWorld()
	w.file("/big", 1<<20)
	w.file("/file", 64<<10)
	addr := w.serve(t).String()
	many := dial(t, addr)
	many.Block = 16
	done := make(chan error, 1)
	go func() {
		_, _, err := many.Download(t.Context(), "/big", &at{}, 0) // 65536 blocks
		done <- err
	}()
	few := dial(t, addr)
	for range 4 {
		if _, _, err := few.Download(t.Context(), "/file", &at{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-done:
		t.Errorf("256 blocks took as long as 65536 (%v)", err)
	default:
	}
	many.Close()
	<-done
}
