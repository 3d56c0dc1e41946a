package rvi

import (
	"bytes"
	"container/heap"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/updraft-ota/updraft/ota"
)

// tiny is the size of chunks in the simulated world.
const tiny = 4

// parcel is a message under way, written out.
type parcel struct {
	at      time.Time
	number  int
	device  bool // it is for the device
	service Service
	params  []byte
}

type parcels []parcel

func (p parcels) Len() int      { return len(p) }
func (p parcels) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p parcels) Less(i, j int) bool {
	if p[i].at.Equal(p[j].at) {
		return p[i].number < p[j].number
	}
	return p[i].at.Before(p[j].at)
}
func (p *parcels) Push(x any) { *p = append(*p, x.(parcel)) }
func (p *parcels) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}

// world is a backend and a device with a bad link between them.
type world struct {
	t    *rapid.T
	now  time.Time
	link parcels
	sent int

	loss, twice int  // per cent
	reorder     bool // else the link keeps the order
	lastAt      [2]time.Time

	content []byte
	file    Start
	window  int
	from    Identity

	vehicle *Vehicle
	acked   Chunks        // by all acks the backend has received
	sends   map[Order]int // since the last progress
	held    int           // by the backend's last progress
	aborted bool

	device   *Device
	disk     map[int][]byte // what is durable
	whole    []byte         // what was installed
	reportAt time.Time
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, now: noon, device: &Device{ChunkSize: tiny}, vehicle: NewVehicle(), disk: map[int][]byte{}, sends: map[Order]int{}}
	w.content = []byte(fmt.Sprintf("%064d", rapid.Uint32().Draw(t, "content")))[:rapid.IntRange(0, 40).Draw(t, "size")]
	w.window = rapid.IntRange(1, 5).Draw(t, "window")
	w.from = Identity{VIN: vin}
	sums := sumsOf(w.content)
	w.file = Start{Unit: unit, Chunks: (len(w.content) + tiny - 1) / tiny, Checksum: sums.SHA1, SHA256: sums.SHA256, Size: -1}
	return w
}

func (w *world) begin() Turn {
	return w.vehicle.Begin([]File{{Unit: unit, Chunks: w.file.Chunks, Window: w.window}}, w.now)
}

// send puts a message on the link, which may lose it, keep it for up to twenty
// seconds, or bring it twice.
func (w *world) send(toDevice bool, m Message) {
	if percent(w.t, w.loss) {
		return
	}
	copies := 1
	if percent(w.t, w.twice) {
		copies = 2
	}
	for range copies {
		w.sent++
		at := w.now.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(w.t, "delay")) * time.Millisecond)
		way := 0
		if toDevice {
			way = 1
		}
		if !w.reorder && at.Before(w.lastAt[way]) {
			at = w.lastAt[way]
		}
		w.lastAt[way] = at
		heap.Push(&w.link, parcel{at: at, number: w.sent, device: toDevice, service: m.Service(), params: m.AppendParams(nil)})
	}
}

func percent(t *rapid.T, of int) bool { return rapid.IntRange(0, 99).Draw(t, "luck") < of }

// do sends what the backend has decided to.
func (w *world) do(turn Turn) {
	if held := w.progress(); held != w.held && !w.vehicle.Idle() {
		w.held = held
		for o := range w.sends {
			w.sends[o] = 1 // what is under way counts as sent once
		}
	}
	for _, o := range turn.Send {
		w.sends[o]++
		if w.sends[o] > Sends && o.Service != ServiceFinish {
			w.t.Fatalf("%v is sent for the %dth time", o, w.sends[o])
		}
		switch o.Service {
		case ServiceStart:
			w.send(true, w.file)
		case ServiceChunk:
			if w.acked.Has(o.Index) {
				w.t.Fatalf("chunk %d is sent after its ack", o.Index)
			}
			w.send(true, Chunk{Unit: o.Unit, Index: o.Index, Bytes: w.bytes(o.Index)})
		case ServiceFinish:
			w.send(true, Finish{Unit: o.Unit})
		case ServiceAbort:
			w.aborted = true
			w.checkAbort()
		}
	}
}

// progress changes with every answer that brought something.
func (w *world) progress() int {
	for _, p := range w.vehicle.Progress() {
		return int(p.State)*1000 + p.Held
	}
	return -1
}

func (w *world) checkAbort() {
	for o, n := range w.sends {
		if n == Sends && (o.Service == ServiceChunk || o.Service == ServiceStart) {
			return
		}
	}
	w.t.Fatalf("an abort after %v", w.sends)
}

func (w *world) bytes(index int) []byte {
	from := (index - 1) * tiny
	return w.content[from:min(from+tiny, len(w.content))]
}

// step lets the next thing happen.
func (w *world) step() {
	next := earlier(earlier(w.vehicle.Deadline(), w.device.Deadline()), w.reportAt)
	if len(w.link) > 0 {
		next = earlier(next, w.link[0].at)
	}
	if next.IsZero() {
		w.t.Fatal("nobody does anything any more")
	}
	if next.After(w.now) {
		w.now = next
	}
	for len(w.link) > 0 && !w.link[0].at.After(w.now) {
		w.deliver(heap.Pop(&w.link).(parcel))
	}
	w.do(w.vehicle.Tick(w.now))
	for range w.device.Tick(w.now).Ack {
		w.ack()
	}
	if !w.reportAt.IsZero() && !w.reportAt.After(w.now) {
		w.report()
	}
}

func (w *world) deliver(p parcel) {
	m, err := readAs(p.device, p.service.Local(), p.params)
	if err != nil {
		w.t.Fatal(err)
	}
	switch m := m.(type) {
	case Ack:
		if turn, err := w.vehicle.Ack(m.Unit, m.Chunks, w.now); err == nil {
			w.acked.Join(m.Chunks)
			w.do(turn)
		}
	case Report:
		w.vehicle.Report(m.Unit, w.now)
	case Start:
		if fresh, err := w.device.Start(m, w.now); err != nil {
			w.t.Fatal(err)
		} else if fresh {
			clear(w.disk)
		}
		w.ack()
	case Chunk:
		w.store(m)
	case Finish:
		w.finish(m)
	}
}

func (w *world) ack() { w.send(false, Ack{From: w.from, Unit: unit, Chunks: w.device.Held(unit)}) }

func (w *world) report() {
	w.send(false, Report{From: w.from, Unit: unit, Results: []ota.OperationResult{{}}})
	w.device.Reported(unit, w.now)
	w.reportAt = w.now.Add(time.Minute)
}

func (w *world) store(c Chunk) {
	place, err := w.device.Chunk(c, w.now)
	if err != nil {
		return
	}
	if place.Write {
		w.disk[int(place.Offset)/tiny+1] = bytes.Clone(c.Bytes)
		w.device.Stored(unit, c.Index, w.now)
	}
	w.ack()
}

func (w *world) finish(f Finish) {
	ending, err := w.device.Finish(f, w.now)
	switch {
	case ota.CodeOf(err) == "incomplete_transfer":
		w.ack()
	case err == nil && ending == Check:
		var file []byte
		for i := 1; i <= w.file.Chunks; i++ {
			file = append(file, w.disk[i]...)
		}
		if err := w.device.Checked(unit, sumsOf(file)); err != nil {
			w.t.Fatal("the file came broken")
		}
		w.whole = append([]byte{}, file...)
		w.reportAt = w.now
	}
}

// run goes on until the backend has its report or has given up.
func (w *world) run() {
	for range 5000 {
		if w.aborted {
			return
		}
		if w.vehicle.Idle() {
			if w.whole == nil || !bytes.Equal(w.whole, w.content) {
				w.t.Fatalf("it ended with %q instead of %q", w.whole, w.content)
			}
			return
		}
		w.step()
	}
	w.t.Fatal("it does not end")
}

func TestALossyLinkEndsWithTheFileOrAnAbort(t *testing.T) {
	ended := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.loss, w.twice, w.reorder = rapid.IntRange(0, 70).Draw(t, "loss"), rapid.IntRange(0, 30).Draw(t, "twice"), true
		w.do(w.begin())
		w.run()
		ended[w.aborted]++
	})
	if ended[true] == 0 || ended[false] == 0 {
		t.Errorf("both endings should have been seen: %v", ended)
	}
}

func TestAGoodLinkEndsWithTheFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.twice, w.reorder = 30, true
		w.do(w.begin())
		w.run()
		if w.aborted {
			t.Fatal("it was given up")
		}
	})
}

// TestCutsAndRestarts cuts the link and kills either side at any moment. The
// link keeps the order, as TCP does.
func TestCutsAndRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.loss = rapid.IntRange(0, 20).Draw(t, "loss")
		w.twice = rapid.IntRange(0, 30).Draw(t, "twice")
		w.do(w.begin())
		for range rapid.IntRange(1, 10).Draw(t, "cuts") {
			for range rapid.IntRange(0, 8).Draw(t, "steps") {
				if !w.aborted && !w.vehicle.Idle() {
					w.step()
				}
			}
			if w.aborted || w.vehicle.Idle() {
				break
			}
			w.cut(rapid.SampledFrom([]string{"link", "backend", "device"}).Draw(t, "cut"))
		}
		w.run()
	})
}

// cut loses what is under way, and what the one that is killed did not write down.
func (w *world) cut(what string) {
	w.link = nil
	w.vehicle.Gone()
	w.now = w.now.Add(time.Hour)
	w.sends = map[Order]int{}
	switch {
	case what == "backend" && w.whole == nil:
		w.vehicle = NewVehicle()
		w.do(w.begin())
		return
	case what == "device" && w.whole == nil && len(w.disk) > 0:
		var durable Chunks
		for i := range w.disk {
			durable.Add(i)
		}
		w.device = &Device{ChunkSize: tiny}
		w.device.Restore(w.file, durable, Receiving, w.now)
	}
	for range w.device.Back(w.now) {
		w.ack()
	}
	w.do(w.vehicle.Back(w.now))
}
