package resource_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// until waits until something is so; what does it is another goroutine.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("%s: that did not come", what)
}

func (w *world) comes(d ota.Device, u ota.UpdateID, want string) {
	w.t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = w.update(d, u); got == want {
			return
		}
	}
	w.t.Fatalf("the update is %q, want %q", got, want)
}

// fake is what devices answer that are told something.
type fake struct {
	mu    sync.Mutex
	told  []string
	slots map[string]int // by target; others know of no slots
	fails error
}

func (f *fake) Post(_ context.Context, target, text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, target+" "+text)
	return f.fails
}

func (f *fake) Slot(_ context.Context, target string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, ok := f.slots[target]; ok {
		return n, nil
	}
	return 0, ota.Fail(ota.KindConflict, "refused_by_device", "4.04")
}

func (f *fake) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

func (f *fake) said() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.told)
}

func (f *fake) heard() int { return len(f.said()) }

// poke has the door look at a device again, as time passing would.
func (w *world) poke(d ota.Device) {
	w.t.Helper()
	if err := w.WantList(w.ctx, ns, d.ID); err != nil {
		w.t.Fatal(err)
	}
}

func TestATriggeredDeviceFetchesAndReports(t *testing.T) {
	w := newWorld(t, trusting)
	image := noise(8, 4000)
	text, _ := manifest(t, 3, image)
	p := w.publish("app", "manifest", text, "file1", image)
	fetch := make(chan string, 1)
	node := device(t, func(wr coap.ResponseWriter, r *coap.Request) {
		if r.Path() == "/suit/trigger" {
			fetch <- string(r.Payload)
			return
		}
		wr.SetCode(coap.NotFound)
	})
	n := named("node")
	n.Address = node
	d, _ := w.add(n)
	u := w.send(d, p)
	url := <-fetch
	wantString(t, "told", url, "coap://"+w.addr+"/m/"+short(text))
	w.comes(d, u, "InFlight")

	until(t, "its answer", func() bool { return w.door.Trusted(netip.MustParseAddrPort(node)) })
	if m := w.node(); len(m.block("/app/file1", 0)) != 64 {
		t.Error("it gets no blocks")
	} else if m.szx = 6; len(m.block("/app/file1", 1)) != 1024 { // more than an address gets that has not proven itself
		t.Error("it answered where it was told, and is not trusted")
	}
	c := w.dial() // from the address that was told
	c.Block = 256
	wantString(t, "manifest", w.get(c, strings.TrimPrefix(url, "coap://"+w.addr)), "2.05 "+text)
	wantString(t, "image", w.get(c, "/app/file1"), "2.05 "+image)
	w.comes(d, u, "InFlight (sent)")
	links := w.door.Links()
	if len(links) != 1 || len(links[0].Transfers) != 2 || links[0].Transfers[0].Held != 4000 || links[0].Transfers[0].State != "fetched" || links[0].Transfers[0].Update != u {
		t.Errorf("%+v", links)
	}
	wantString(t, "report", w.tells(c, "/r/node", "a3 01 00 02 00 03 03"), "2.04 ")
	w.comes(d, u, "Finished: unauthenticated report (sent)")
	until(t, "nothing under way", func() bool { w.poke(d); return len(w.door.Links()) == 0 })
}

func TestADeviceThatDoesNotAnswerIsTriedAgain(t *testing.T) {
	f := &fake{fails: ota.Fail(ota.KindUnreachable, "no_answer", "the device does not answer")}
	w := newWorld(t, trusting)
	w.with(f)
	n := named("node")
	n.Address = "[fd00::1]:5683"
	d, _ := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m"))
	wait := []time.Duration{5, 10, 20, 40, 60, 60, 60, 60, 60}
	for i, minutes := range wait {
		w.comes(d, u, "Pending: the device does not answer")
		if f.heard() != i+1 {
			t.Fatalf("after %d tries it was told %d times", i+1, f.heard())
		}
		w.advance(minutes*time.Minute - time.Second)
		w.poke(d)
		w.advance(time.Second)
		w.poke(d)
		until(t, fmt.Sprint("try ", i+2), func() bool { return f.heard() == i+2 })
	}
	w.comes(d, u, "Failed: unreachable: the device does not answer")
	if got := f.said()[0]; got != "[fd00::1]:5683/suit/trigger coap://"+w.addr+"/m/"+short("m") {
		t.Errorf("told %s", got)
	}
	if s, err := w.Device(w.ctx, ns, d.ID); err != nil || s.Block.Blocked() {
		t.Errorf("it is blocked: %+v, %v", s, err)
	}
}

func TestASleeperIsToldWhenItComes(t *testing.T) {
	f := &fake{fails: ota.Fail(ota.KindUnreachable, "no_answer", "the device does not answer")}
	w := newWorld(t, trusting)
	w.with(f)
	n := named("node")
	n.Address = "127.0.0.1:1"
	d, _ := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m"))
	w.comes(d, u, "Pending: the device does not answer")
	f.change(func() { f.fails = nil })
	wantString(t, "it registers", w.tells(w.dial(), "/rd?ep=node&base=coap://127.0.0.1:7", "")[:4], "2.01")
	w.comes(d, u, "InFlight: the device does not answer") // the last time
	until(t, "it is told", func() bool { return f.heard() == 2 })
	if !strings.HasPrefix(f.said()[1], "127.0.0.1:7/suit/trigger ") {
		t.Errorf("told %q", f.said())
	}
	w.advance(3 * time.Minute)
	w.tells(w.dial(), "/rd?ep=node&base=coap://127.0.0.1:8", "") // it has restarted
	until(t, "it is told anew", func() bool { return f.heard() == 3 })
	w.advance(time.Hour - time.Second)
	w.poke(d)
	w.comes(d, u, "InFlight: the device does not answer")
	w.advance(time.Second)
	w.poke(d)
	w.comes(d, u, "Pending: it was told, and then fetched nothing for 1h0m0s")
}

// RIOT never reports: that it runs from the other slot tells.
func TestTheOutcomeBySlot(t *testing.T) {
	f := &fake{slots: map[string]int{"127.0.0.1:1": 1}}
	w := newWorld(t)
	w.with(f)
	n := named("node")
	n.Address, n.Plain = "127.0.0.1:1", true
	d, _ := w.add(n)
	p := w.publish("fw/app/board", "app-slot0.riot.suit.5.bin", "m0", "app-slot1.riot.suit.5.bin", "m1", "app-slot1.5.riot.bin", "image one")
	u := w.send(d, p)
	w.comes(d, u, "InFlight")
	until(t, "it was told", func() bool { return f.heard() == 1 })
	wantString(t, "told", f.said()[0], "127.0.0.1:1/suit/trigger coap://"+w.addr+"/m/"+short("m1"))
	c := w.dial()
	w.get(c, "/m/"+short("m1"))
	wantString(t, "fetched", w.get(c, "/fw/app/board/app-slot1.5.riot.bin"), "2.05 image one")
	w.comes(d, u, "InFlight (sent)")
	w.advance(time.Minute)
	w.poke(d)
	w.comes(d, u, "InFlight (sent)")
	f.change(func() { f.slots["127.0.0.1:1"] = 0 })
	w.advance(time.Minute)
	w.poke(d)
	w.comes(d, u, "Finished: unauthenticated report (sent)")
}

// What a device runs then is what it was told of, and so is its sequence number.
func TestTheSequenceNumberBySlot(t *testing.T) {
	f := &fake{slots: map[string]int{"127.0.0.1:1": 1}}
	w := newWorld(t)
	w.with(f)
	n := named("node")
	n.Address, n.Plain = "127.0.0.1:1", true
	d, _ := w.add(n)
	m0, _ := manifestAt(t, 5, "/fw/app/board/app-slot0.5.riot.bin", "image zero")
	m1, _ := manifestAt(t, 5, "/fw/app/board/app-slot1.5.riot.bin", "image one")
	u := w.send(d, w.publish("fw/app/board", "app-slot0.riot.suit.5.bin", m0, "app-slot1.riot.suit.5.bin", m1,
		"app-slot0.5.riot.bin", "image zero", "app-slot1.5.riot.bin", "image one"))
	until(t, "it was told", func() bool { return f.heard() == 1 })
	wantString(t, "fetched", w.get(w.dial(), "/fw/app/board/app-slot1.5.riot.bin"), "2.05 image one")
	w.comes(d, u, "InFlight (sent)")
	f.change(func() { f.slots["127.0.0.1:1"] = 0 })
	w.advance(time.Minute)
	w.poke(d)
	w.comes(d, u, "Finished: unauthenticated report (sent)")
	if got, err := w.Constrained(w.ctx, ns, "node"); err != nil || got.Constrained.Sequence != 5 {
		t.Errorf("%+v, %v", got.Constrained, err)
	}
}

// hung answers only for one device; the others keep whoever asks waiting.
type hung struct {
	fake
	live string
}

func (h *hung) Slot(ctx context.Context, target string) (int, error) {
	if target == h.live {
		return h.fake.Slot(ctx, target)
	}
	<-ctx.Done()
	return 0, ota.Fail(ota.KindUnreachable, "no_answer", "the device does not answer")
}

func TestManyDeadDevicesHoldUpNobody(t *testing.T) {
	w := newWorld(t)
	w.with(&hung{live: "192.0.2.1:1"})
	p := w.publish("app", "manifest", "m")
	for i := range 200 {
		n := named(fmt.Sprint("dead", i))
		n.Address = fmt.Sprint("127.0.0.1:", i+1)
		d, _ := w.add(n)
		w.send(d, p)
	}
	n := named("live")
	n.Address = "192.0.2.1:1"
	d, _ := w.add(n)
	u := w.send(d, p)
	w.comes(d, u, "InFlight")
	until(t, "it is told", func() bool { return (*w.trigger.Load()).(*hung).heard() == 1 })
}

func TestNoReportForADay(t *testing.T) {
	w := newWorld(t)
	w.with(&fake{})
	n := named("node")
	n.PSK = true
	d, key := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m", "file1", "image"))
	c := w.mustDialDTLS(key)
	w.get(c, "/u/node") // which is enough to be followed, however little time has passed
	w.get(c, "/app/manifest")
	w.comes(d, u, "InFlight")
	w.get(c, "/app/file1")
	w.comes(d, u, "InFlight (sent)")
	w.advance(24 * time.Hour)
	w.poke(d)
	until(t, "the end", func() bool { return strings.HasPrefix(w.update(d, u), "Failed: no report") })
}

// What a device fetches counts from the moment it asked what to install, however
// much else there is to look at.
func TestWhatIsFetchedAtOnceCounts(t *testing.T) {
	w := newWorld(t)
	w.with(&fake{})
	n := named("node")
	n.Plain = true
	d, _ := w.add(n)
	letGo := w.door.Hold()
	u := w.send(d, w.publish("app", "manifest", "m", "file1", "image"))
	c := w.dial()
	w.get(c, "/u/node")
	w.get(c, "/app/file1?d="+string(d.ID))
	letGo()
	w.comes(d, u, "InFlight (sent)")
}

// What is fetched in a device's name moves its update only if it is believed
// without proof.
func TestHintsOfWhoFetches(t *testing.T) {
	w := newWorld(t)
	w.with(&fake{})
	open, keyed := named("open"), named("keyed")
	open.Plain, keyed.PSK = true, true
	a, _ := w.add(open)
	b, _ := w.add(keyed)
	p := w.publish("app", "manifest", noise(10, 700), "file1", noise(11, 700))
	ua, ub := w.send(a, p), w.send(b, p)
	until(t, "they wait", func() bool { return w.door.Waiting() == 2 })
	for _, d := range []ota.Device{b, a} {
		c := w.dial()
		w.get(c, "/app/file1?d="+string(d.ID))
	}
	w.comes(a, ua, "InFlight (sent)")
	wantString(t, "the other", w.update(b, ub), "Pending")
}

// A device is not told of a URL that is none.
func TestWithoutAURLNobodyIsTold(t *testing.T) {
	f := &fake{}
	w := newWorld(t)
	w.with(f)
	w.CoAPRoot = func() string { return "" }
	n := named("node")
	n.Address = "127.0.0.1:1"
	d, _ := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m"))
	until(t, "it waits", func() bool { return w.door.Waiting() == 1 })
	w.poke(d)
	w.end()
	wantString(t, "update", w.update(d, u), "Pending")
	if f.heard() != 0 {
		t.Errorf("told %q", f.said())
	}
}

// Asking for a block that there is not is no progress.
func TestBeyondTheEndNothingWasFetched(t *testing.T) {
	w := newWorld(t)
	w.with(&fake{})
	n := named("node")
	n.Plain, n.Address = true, "127.0.0.1:1"
	d, _ := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m", "file1", noise(11, 700)))
	w.comes(d, u, "InFlight")
	fetching := w.node()
	fetching.block("/app/file1", 0)
	wantString(t, "beyond the end", fetching.block("/app/file1", 4000), "4.00")
	if got := w.door.Links(); len(got) != 1 || got[0].Transfers[0].Held != 64 || got[0].Transfers[0].State != "fetching" {
		t.Errorf("%+v", got)
	}
}

// with has devices told by another.
func (w *world) with(f ota.Trigger) { w.trigger.Store(&f) }

// Who observes hears at once that an operator holds the queue, lets it go, or
// that what was to be installed cannot be any more.
func TestWhoObservesHearsWhatOperatorsDo(t *testing.T) {
	w := newWorld(t)
	n := named("node")
	n.Plain = true
	d, _ := w.add(n)
	first, second := w.publish("one", "manifest", "m1"), w.publish("two", "manifest", "m2")
	heard := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for m, err := range w.dial().Observe(ctx, "/u/node") {
			if err == nil {
				heard <- string(m.Payload)
			}
		}
	}()
	hears := func(what, part string) {
		t.Helper()
		for {
			select {
			case got := <-heard:
				if part == "" && got == "\xa0" || part != "" && strings.Contains(got, part) {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s: that was not told", what)
			}
		}
	}
	hears("nothing to do", "")
	u := w.send(d, first)
	hears("sent", "/m/"+short("m1"))
	if err := w.Block(w.ctx, ns, d.ID); err != nil {
		t.Fatal(err)
	}
	hears("blocked", "")
	if err := w.Unblock(w.ctx, ns, d.ID); err != nil {
		t.Fatal(err)
	}
	hears("unblocked", "/m/"+short("m1"))
	w.send(d, second)
	up := w.Uplink(d.ID)
	if err := up.Begin(w.ctx, u); err != nil {
		t.Fatal(err)
	}
	if err := up.Sent(w.ctx, u); err != nil {
		t.Fatal(err)
	}
	hears("it has all of it", "/m/"+short("m1"))
	w.advance(25 * time.Hour)
	w.tells(w.dial(), "/rd?ep=node", "") // which is looked at
	hears("the first was never reported", "/m/"+short("m2"))
}
