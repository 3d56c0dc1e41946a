package rvi

import (
	"bytes"
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/updraft-ota/updraft/ota"
)

// storm is a backend and a device with several files, over a link that loses,
// doubles and reorders what it carries, and both sides crash at any moment. Each
// keeps only what it wrote down.
type storm struct {
	t    *rapid.T
	now  time.Time
	link parcels
	sent int

	loss, twice int // per cent
	reorder     bool
	cutOff      bool
	lastAt      [2]time.Time

	// The backend: its memory, and what it wrote down of each update.
	vehicle  *Vehicle
	updates  map[Unit]*update
	notifyAt time.Time
	lists    int // times the list of packages was asked for

	// The device: its memory, and its disk.
	device  *Device
	files   map[Unit]*onDisk
	reports map[Unit]time.Time // when to send it again
	crashes int                // points at which it may still crash while it writes
}

// update is what the backend remembers for ever.
type update struct {
	content []byte
	start   Start
	window  int
	stage   string // pending, begun, sent or done
	sentAt  time.Time
}

// onDisk is what the device remembers for ever.
type onDisk struct {
	start    Start
	accepted bool
	begun    bool // there is a start
	chunks   map[int][]byte
	stage    Stage
	installs int
}

func newStorm(t *rapid.T) *storm {
	w := &storm{t: t, now: noon, vehicle: NewVehicle(), updates: map[Unit]*update{}, device: &Device{ChunkSize: tiny},
		files: map[Unit]*onDisk{}, reports: map[Unit]time.Time{}, notifyAt: noon}
	for i := range rapid.IntRange(1, 6).Draw(t, "files") {
		u := Unit{Package: ota.PackageID{Name: fmt.Sprint("p", i), Version: "1"}}
		content := bytes.Repeat([]byte{byte('a' + i)}, rapid.IntRange(0, 40).Draw(t, "size"))
		sums := sumsOf(content)
		start := Start{Unit: u, Chunks: (len(content) + tiny - 1) / tiny, Checksum: sums.SHA1, SHA256: sums.SHA256, Size: -1}
		w.updates[u] = &update{content: content, start: start, window: rapid.IntRange(1, 5).Draw(t, "window"), stage: "pending"}
	}
	return w
}

// units are all of them, in order, as maps are not.
func (w *storm) units() []Unit { return ordered(slices.Collect(maps.Keys(w.updates))) }

func (w *storm) send(toDevice bool, m Message) {
	if w.cutOff || percent(w.t, w.loss) {
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

// The backend.

func (w *storm) do(turn Turn) {
	for _, u := range turn.Returned {
		w.updates[u].stage = "pending"
		w.notifyAt = earlier(w.notifyAt, w.now.Add(5*time.Minute))
	}
	for _, u := range turn.Unreported {
		w.t.Fatalf("%v was never reported", u)
	}
	for _, o := range turn.Send {
		switch o.Service {
		case ServiceAbort:
			w.send(true, Abort{})
		case ServiceGetPackages:
			w.lists++
		default:
			w.order(o, w.updates[o.Unit])
		}
	}
	busy := 0
	for _, p := range w.vehicle.Progress() {
		if p.State < AwaitingReport {
			busy++
		}
	}
	if busy > Transfers {
		w.t.Fatalf("%d transfers at a time", busy)
	}
}

func (w *storm) order(o Order, u *update) {
	switch o.Service {
	case ServiceStart:
		w.send(true, u.start)
	case ServiceChunk:
		from := (o.Index - 1) * tiny
		w.send(true, Chunk{Unit: o.Unit, Index: o.Index, Bytes: u.content[from:min(from+tiny, len(u.content))]})
	case ServiceFinish:
		u.stage, u.sentAt = "sent", w.now
		w.send(true, Finish{Unit: o.Unit})
	}
}

func (w *storm) notify() {
	var m Notify
	m.Services, w.notifyAt = DefaultBackend(), time.Time{}
	for _, u := range w.units() {
		if w.updates[u].stage == "pending" {
			m.Packages = append(m.Packages, OfferedPackage{Package: u.Package})
		}
	}
	if len(m.Packages) > 0 {
		w.notifyAt = w.now.Add(5 * time.Minute)
		w.send(true, m)
	}
}

func (w *storm) hear(m BackendMessage) {
	switch m := m.(type) {
	case BackendStart:
		var files []File
		for _, unit := range m.Units {
			if u := w.updates[unit]; u.stage == "pending" || u.stage == "begun" {
				u.stage = "begun"
				files = append(files, File{Unit: unit, Chunks: u.start.Chunks, Window: u.window})
			}
		}
		w.do(w.vehicle.Begin(files, w.now))
	case Ack:
		if turn, err := w.vehicle.Ack(m.Unit, m.Chunks, w.now); err == nil {
			w.do(turn)
		}
	case Report:
		if u := w.updates[m.Unit]; u.stage != "done" {
			u.stage = "done"
			w.do(w.vehicle.Report(m.Unit, w.now))
		}
	}
}

// crashBackend leaves it with what it wrote down.
func (w *storm) crashBackend() {
	w.vehicle = NewVehicle()
	var files []File
	for _, unit := range w.units() {
		switch u := w.updates[unit]; u.stage {
		case "sent":
			w.vehicle.Await(File{Unit: unit, Chunks: u.start.Chunks, Window: u.window}, u.sentAt)
		case "begun":
			files = append(files, File{Unit: unit, Chunks: u.start.Chunks, Window: u.window})
		}
	}
	w.vehicle.Gone()
	w.do(w.vehicle.Begin(files, w.now))
}

// The device.

func (w *storm) obey(m DeviceMessage) {
	switch m := m.(type) {
	case Notify:
		for _, p := range m.Packages {
			w.accept(Unit{Package: p.Package})
		}
	case Start:
		w.begin(m)
	case Chunk:
		w.store(m)
	case Finish:
		w.finish(m)
	case Abort:
		for _, u := range w.device.Abort() {
			delete(w.files, u)
		}
	}
}

func (w *storm) accept(u Unit) {
	f := w.files[u]
	if f != nil && f.stage == Reported {
		w.report(u) // it was lost
		return
	}
	if f == nil {
		w.files[u] = &onDisk{accepted: true, chunks: map[int][]byte{}}
	}
	if f == nil || f.stage == Receiving { // also one whose abort was lost: it has to be asked for again
		w.device.Ask(u, w.now)
		w.ask(u)
	}
}

func (w *storm) ask(u Unit) {
	w.send(false, BackendStart{From: Identity{VIN: vin}, Units: []Unit{u}, Services: ServicesOf(Identity{VIN: vin})})
}

func (w *storm) ack(u Unit) {
	w.send(false, Ack{From: Identity{VIN: vin}, Unit: u, Chunks: w.device.Held(u)})
}

func (w *storm) report(u Unit) {
	w.reports[u] = w.now.Add(time.Minute)
	w.send(false, Report{From: Identity{VIN: vin}, Unit: u, Results: []ota.OperationResult{{}}})
}

func (w *storm) begin(s Start) {
	fresh, err := w.device.Start(s, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	if fresh {
		w.files[s.Unit] = &onDisk{start: s, begun: true, chunks: map[int][]byte{}}
		if w.crashDevice() {
			return
		}
	}
	w.ack(s.Unit)
}

func (w *storm) store(c Chunk) {
	place, err := w.device.Chunk(c, w.now)
	if err != nil {
		return
	}
	if place.Write {
		w.files[c.Unit].chunks[int(place.Offset)/tiny+1] = bytes.Clone(c.Bytes)
		if w.crashDevice() {
			return // written, but not told
		}
		w.device.Stored(c.Unit, c.Index, w.now)
	}
	w.ack(c.Unit)
}

func (w *storm) finish(m Finish) {
	ending, err := w.device.Finish(m, w.now)
	switch {
	case ota.CodeOf(err) == "incomplete_transfer":
		w.ack(m.Unit)
	case err == nil && ending == Again:
		w.report(m.Unit)
	case err == nil && ending == Check:
		if !w.crashDevice() {
			w.install(m.Unit)
		}
	}
}

func (w *storm) install(u Unit) {
	f := w.files[u]
	var file []byte
	for i := 1; i <= f.start.Chunks; i++ {
		file = append(file, f.chunks[i]...)
	}
	if !bytes.Equal(file, w.updates[u].content) {
		w.t.Fatalf("%v came as %q, not %q", u, file, w.updates[u].content)
	}
	if err := w.device.Checked(u, sumsOf(file)); err != nil {
		w.t.Fatal(err)
	}
	if f.stage = Installing; w.crashDevice() {
		return
	}
	w.installed(u)
}

func (w *storm) installed(u Unit) {
	f := w.files[u]
	if f.installs++; f.installs > 1 {
		w.t.Fatalf("%v is installed twice", u)
	}
	f.stage, f.chunks = Reported, nil
	w.device.Reported(u, w.now)
	w.report(u)
}

// crashDevice crashes it, if it is time to, and starts it again.
func (w *storm) crashDevice() bool {
	if w.crashes == 0 || !percent(w.t, 20) {
		return false
	}
	w.crashes--
	w.restartDevice()
	return true
}

func (w *storm) restartDevice() {
	w.device = &Device{ChunkSize: tiny}
	for _, u := range w.units() {
		f := w.files[u]
		switch {
		case f == nil:
		case f.begun:
			w.device.Restore(f.start, ChunkSet(slices.Collect(maps.Keys(f.chunks))...), f.stage, w.now)
			if f.stage == Installing { // what was begun is done to its end
				w.installed(u)
			}
		case f.accepted:
			w.device.Ask(u, w.now)
			w.ask(u)
		}
	}
}

// cut breaks the link and mends it after a while.
func (w *storm) cut(what string) {
	w.link, w.cutOff = nil, true
	w.vehicle.Gone()
	switch what {
	case "backend":
		w.crashBackend()
	case "device":
		w.restartDevice()
	}
	end := w.now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(w.t, "away")) * time.Second)
	for next := w.next(); !next.IsZero() && next.Before(end) && !w.done(); next = w.next() {
		w.step()
	}
	w.now, w.cutOff, w.lastAt = end, false, [2]time.Time{}
	for _, u := range w.device.Back(w.now) {
		w.ack(u)
	}
	w.do(w.vehicle.Back(w.now))
	w.notify()
}

func (w *storm) done() bool {
	for _, u := range w.updates {
		if u.stage != "done" {
			return false
		}
	}
	return true
}

func (w *storm) next() time.Time {
	next := earlier(earlier(w.vehicle.Deadline(), w.device.Deadline()), w.notifyAt)
	for _, at := range w.reports {
		next = earlier(next, at)
	}
	if len(w.link) > 0 {
		next = earlier(next, w.link[0].at)
	}
	if !next.IsZero() && next.Before(w.now) {
		return w.now
	}
	return next
}

func (w *storm) step() {
	if w.now = w.next(); w.now.IsZero() {
		w.t.Fatal("nobody does anything any more")
	}
	for len(w.link) > 0 && !w.link[0].at.After(w.now) {
		p := heap.Pop(&w.link).(parcel)
		m, err := readAs(p.device, p.service.Local(), p.params)
		if err != nil {
			w.t.Fatal(err)
		}
		switch m := m.(type) {
		case DeviceMessage:
			w.obey(m)
		case BackendMessage:
			w.hear(m)
		}
	}
	w.do(w.vehicle.Tick(w.now))
	if !w.notifyAt.IsZero() && !w.notifyAt.After(w.now) {
		w.notify()
	}
	due := w.device.Tick(w.now)
	for _, u := range due.Ask {
		w.ask(u)
	}
	for _, u := range due.Ack {
		w.ack(u)
	}
	for _, u := range due.Drop {
		delete(w.files, u)
	}
	for _, u := range w.units() {
		if at, ok := w.reports[u]; ok && !at.After(w.now) {
			if delete(w.reports, u); w.updates[u].stage != "done" {
				w.report(u)
			}
		}
	}
}

// After whatever storm there was, everything arrives, and is installed once.
func TestAfterTheStormAllFilesAreThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newStorm(t)
		w.loss, w.twice = rapid.IntRange(0, 60).Draw(t, "loss"), rapid.IntRange(0, 30).Draw(t, "twice")
		w.reorder = rapid.Bool().Draw(t, "reorder")
		w.crashes = rapid.IntRange(0, 5).Draw(t, "crashes")
		for range rapid.IntRange(0, 8).Draw(t, "cuts") {
			for range rapid.IntRange(0, 40).Draw(t, "steps") {
				if !w.done() {
					w.step()
				}
			}
			w.cut(rapid.SampledFrom([]string{"link", "backend", "device"}).Draw(t, "cut"))
		}
		w.loss, w.twice, w.reorder, w.crashes = 0, 0, false, 0
		calm := w.now
		for steps := 0; !w.done(); steps++ {
			if w.step(); steps > 3000 {
				t.Fatalf("it does not end: %+v", w.vehicle.Progress())
			}
		}
		if took := w.now.Sub(calm); took > time.Hour {
			t.Fatalf("it took %v in calm weather", took)
		}
		for u, f := range w.files {
			if f.stage != Reported || f.installs != 1 {
				t.Fatalf("%v: %+v", u, f)
			}
		}
		if !w.vehicle.Idle() || len(w.files) != len(w.updates) {
			t.Fatalf("something is left: %+v", w.vehicle.Progress())
		}
	})
}
