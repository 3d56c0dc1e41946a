package rvi

import (
	"maps"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// MaxFiles is how many transfers a device has at a time, installed ones that it
// remembers included.
const MaxFiles = 64

// Device is a device's side of all transfers (rvi.md 4.7). Its caller owns the
// files: it makes chunks durable before it tells Stored, and gives back what is
// durable when it starts again (Restore). It is not for use by several
// goroutines at a time.
type Device struct {
	// Idle is how long chunks are kept without a word from the backend;
	// IdleTransfer if zero. It must exceed five times AckTimeout.
	Idle time.Duration
	// ChunkSize is that of the backend; the package's if zero.
	ChunkSize int

	files map[Unit]*Receiver
	asked map[Unit]asked
}

// asked is what was accepted and has not begun to come.
type asked struct {
	at    time.Time
	times int
}

// Due is what a device does because nothing happened.
type Due struct {
	Ask   []Unit // send BackendStart again
	Ack   []Unit // send an Ack of Held
	Drop  []Unit // forget their chunks
	Quiet []Unit // asked for five times: wait for the next notify
}

func (d *Device) idle() time.Duration {
	if d.Idle > 0 {
		return d.Idle
	}
	return IdleTransfer
}

func (d *Device) put(s Start, durable Chunks, now time.Time) *Receiver {
	if d.files == nil {
		d.files = map[Unit]*Receiver{}
	}
	size := d.ChunkSize
	if size == 0 {
		size = ChunkSize
	}
	r := newReceiver(s, durable, size, now)
	d.files[s.Unit] = r
	return r
}

// Ask notes that BackendStart was sent for a unit. One that was installed, or
// failed, and reported comes anew: it was offered and accepted again.
func (d *Device) Ask(u Unit, now time.Time) {
	if r, ok := d.files[u]; ok && r.stage == Reported {
		delete(d.files, u)
	}
	if d.asked == nil {
		d.asked = map[Unit]asked{}
	}
	d.asked[u] = asked{at: now, times: 1}
}

// Restore takes a transfer from before a restart, with the chunks that are
// durable; those the file cannot have are left out. One that is being installed,
// or was reported, is restored as that, so that neither a start nor a finish
// that comes again makes it come twice; its chunks may be gone. What was being
// checked is restored as Receiving.
func (d *Device) Restore(s Start, durable Chunks, stage Stage, now time.Time) {
	var held Chunks
	if stage == Installing || stage == Reported {
		held = Upto(s.Chunks)
	} else {
		stage = Receiving
	}
	for i := range durable.All() {
		if 1 <= i && i <= s.Chunks {
			held.Add(i)
		}
	}
	r := d.put(s, held, now)
	r.stage, r.resumed = stage, false
}

// Back says that the way to the backend is there again after a while. It
// returns the units to acknowledge: those whose finish may have been lost.
func (d *Device) Back(now time.Time) []Unit {
	var list []Unit
	for u, r := range d.files {
		if r.stage == Receiving && (r.complete() || r.refused) {
			r.nudged, r.nudge = now, AckTimeout
			list = append(list, u)
		}
	}
	return ordered(list)
}

// Start takes a start. fresh tells that the file is a new one: the caller
// removes what it has of the unit, and makes room, before it acknowledges Held.
// Otherwise the transfer goes on. It fails with KindTooMany, code
// too_many_transfers.
func (d *Device) Start(s Start, now time.Time) (fresh bool, err error) {
	r, ok := d.files[s.Unit]
	if ok && r.start.Same(s) {
		r.begin(now)
		delete(d.asked, s.Unit)
		return false, nil
	}
	if ok && (r.stage == Checking || r.stage == Installing) {
		return false, ota.Fail(ota.KindConflict, "install_running", "%s is being installed", s.Unit)
	}
	if !ok && len(d.files) >= MaxFiles && !d.forgetOldest() {
		return false, ota.Fail(ota.KindTooMany, "too_many_transfers", "there are %d transfers already", MaxFiles)
	}
	delete(d.asked, s.Unit)
	d.put(s, Chunks{}, now)
	return true, nil
}

// forgetOldest makes room by forgetting the transfer that was reported longest ago.
func (d *Device) forgetOldest() bool {
	var oldest *Receiver
	for _, r := range d.files {
		if r.stage == Reported && (oldest == nil || r.heard.Before(oldest.heard)) {
			oldest = r
		}
	}
	if oldest != nil {
		delete(d.files, oldest.start.Unit)
	}
	return oldest != nil
}

func unknownTransfer(u Unit) error {
	return ota.Fail(ota.KindNotFound, "unknown_transfer", "there is no transfer of %s", u)
}

// Held is what an ack of the unit lists.
func (d *Device) Held(u Unit) Chunks {
	if r, ok := d.files[u]; ok {
		return r.list()
	}
	return Chunks{}
}

// Chunk checks a chunk. If it is to be written the caller does so, durably, and
// tells Stored; then, or if it is not, it acknowledges Held. It fails with
// KindNotFound, code unknown_transfer, or KindConflict: index_out_of_range,
// bad_chunk_size or bad_chunk_digest. No ack follows an error.
func (d *Device) Chunk(c Chunk, now time.Time) (Place, error) {
	r, ok := d.files[c.Unit]
	if !ok {
		return Place{}, unknownTransfer(c.Unit)
	}
	return r.chunk(c, now)
}

// Stored notes that a chunk is durable.
func (d *Device) Stored(u Unit, index int, now time.Time) {
	if r, ok := d.files[u]; ok {
		r.accept(index, now)
	}
}

// Ending is what a finish asks for.
type Ending uint8

const (
	Check Ending = iota // sum up the file and tell Checked
	Wait                // that is under way; nothing to do
	Again               // it was installed: send the last report again
)

// Finish takes a finish. It fails with KindNotFound, code unknown_transfer, or
// with KindConflict, code incomplete_transfer; after the latter the caller
// acknowledges Held, and reports nothing.
func (d *Device) Finish(f Finish, now time.Time) (Ending, error) {
	r, ok := d.files[f.Unit]
	switch {
	case !ok:
		return Wait, unknownTransfer(f.Unit)
	case r.stage == Reported:
		r.hear(now)
		return Again, nil
	case r.stage != Receiving:
		return Wait, nil
	case !r.complete():
		r.hear(now)
		r.refused = true
		return Wait, ota.Fail(ota.KindConflict, "incomplete_transfer", "chunk %d is missing", r.held.Missing(1))
	}
	r.stage = Checking
	return Check, nil
}

// Checked compares the whole file with what the start told. If it fails
// (KindCorrupt, code checksum_mismatch) the transfer has ended: the caller drops
// the chunks and reports ota.ValidationFailed with MismatchText.
func (d *Device) Checked(u Unit, file ota.Sums) error {
	r, ok := d.files[u]
	if !ok {
		return unknownTransfer(u)
	}
	if err := r.check(file); err != nil {
		delete(d.files, u)
		return err
	}
	r.stage = Installing
	return nil
}

// Reported notes that a unit was installed, or not, and reported. It is
// remembered for as long as chunks are, to answer a finish that comes again.
func (d *Device) Reported(u Unit, now time.Time) {
	if r, ok := d.files[u]; ok {
		r.stage = Reported
		r.hear(now)
	}
}

// Forget drops what is known of a unit, whatever its stage: nobody waits for it
// any more, or its chunks are lost and it is to come again.
func (d *Device) Forget(u Unit) {
	delete(d.asked, u)
	delete(d.files, u)
}

// Abort ends what has not begun to be installed (rvi.md 4.7), and tells which
// units' chunks are to be dropped.
func (d *Device) Abort() []Unit {
	dropped := slices.Collect(maps.Keys(d.asked))
	d.asked = nil
	for u, r := range d.files {
		if r.stage == Receiving {
			delete(d.files, u)
			dropped = append(dropped, u)
		}
	}
	return slices.Compact(ordered(dropped)) // what was asked for again is both
}

// Deadline is when Tick has something to do; zero if never.
func (d *Device) Deadline() time.Time {
	var first time.Time
	for _, a := range d.asked {
		first = earlier(first, a.at.Add(StartTimeout))
	}
	for _, r := range d.files {
		first = earlier(first, r.deadline(d.idle()))
	}
	return first
}

// Tick tells what is due.
func (d *Device) Tick(now time.Time) Due {
	var due Due
	for u, a := range d.asked {
		switch {
		case now.Before(a.at.Add(StartTimeout)):
		case a.times >= Asks:
			delete(d.asked, u)
			due.Quiet = append(due.Quiet, u)
		default:
			d.asked[u] = asked{at: now, times: a.times + 1}
			due.Ask = append(due.Ask, u)
		}
	}
	for u, r := range d.files {
		switch ack, drop := r.tick(d.idle(), now); {
		case drop:
			delete(d.files, u)
			due.Drop = append(due.Drop, u)
		case ack:
			due.Ack = append(due.Ack, u)
		}
	}
	ordered(due.Ask)
	ordered(due.Ack)
	ordered(due.Drop)
	ordered(due.Quiet)
	return due
}
