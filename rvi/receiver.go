package rvi

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Stage is how far a device is with one file (rvi.md 4.7).
type Stage uint8

const (
	Receiving Stage = iota
	Checking        // finish came; the file is being checked
	Installing
	Reported
)

func (s Stage) String() string {
	return [...]string{"receiving", "checking", "installing", "reported"}[s%4]
}

// Receiver is a device's side of one transfer (rvi.md 4.7). What it holds is
// what its caller said is durable, and nothing else is acknowledged.
type Receiver struct {
	start     Start
	chunkSize int

	stage Stage
	held  Chunks // durable
	// told is what acks list: held, or, to a backend that did not understand a
	// first ack with chunks (rvi.md 6.1, Q9), what it has sent since.
	told   Chunks
	afresh bool // told is not held

	heard   time.Time     // when the backend was last heard of
	refused bool          // a finish came too early
	resumed bool          // the last ack was the first after a start, and not empty
	nudge   time.Duration // until the next ack that nobody asked for; 0 if none is due
	nudged  time.Time
}

func newReceiver(s Start, durable Chunks, chunkSize int, now time.Time) *Receiver {
	r := &Receiver{start: s, held: durable, chunkSize: chunkSize}
	r.begin(now)
	return r
}

// begin takes a start of the file that is being received.
func (r *Receiver) begin(now time.Time) {
	r.hear(now)
	r.afresh, r.refused = false, false
	r.resumed = r.held.Len() > 0 && r.start.SHA256 == ""
}

func (r *Receiver) hear(now time.Time) {
	r.heard, r.nudged, r.nudge = now, now, AckTimeout
}

// list is what an ack lists.
func (r *Receiver) list() Chunks {
	if r.afresh {
		return r.told.Clone()
	}
	return r.held.Clone()
}

func (r *Receiver) complete() bool { return r.held.Covers(r.start.Chunks) }

// Place says where a chunk goes in the file.
type Place struct {
	Write  bool  // false if it is there already, or empty: only acknowledge it
	Offset int64 // in bytes
}

// chunk checks a chunk against the file (rvi.md 4.7). It fails with
// KindConflict, code index_out_of_range, bad_chunk_size or bad_chunk_digest.
func (r *Receiver) chunk(c Chunk, now time.Time) (Place, error) {
	if r.start.Chunks == 0 && c.Index == 1 && len(c.Bytes) == 0 {
		r.accept(1, now) // the original backend sends it for an empty file (rvi.md 4.8)
		return Place{}, nil
	}
	if c.Index < 1 || c.Index > r.start.Chunks {
		return Place{}, ota.Fail(ota.KindConflict, "index_out_of_range", "the file has chunks 1 to %d, not %d", r.start.Chunks, c.Index)
	}
	if !r.fits(c.Index, len(c.Bytes)) {
		return Place{}, badSize()
	}
	if sum := sha256.Sum256(c.Bytes); c.SHA256 != "" && hex.EncodeToString(sum[:]) != string(c.SHA256) {
		return Place{}, ota.Fail(ota.KindConflict, "bad_chunk_digest", "the chunk does not have its sha256")
	}
	p := Place{Write: !r.held.Has(c.Index) && r.stage == Receiving, Offset: int64(c.Index-1) * int64(r.chunkSize)}
	if !p.Write {
		r.accept(c.Index, now)
	}
	return p, nil
}

// fits reports whether a chunk may have so many bytes.
func (r *Receiver) fits(index, bytes int) bool {
	last := index == r.start.Chunks
	switch {
	case !last:
		return bytes == r.chunkSize
	case r.start.Size >= 0:
		return int64(bytes) == r.start.Size-int64(index-1)*int64(r.chunkSize)
	}
	return bytes <= r.chunkSize && (bytes > 0 || index == 1)
}

// accept notes that a chunk is durable.
func (r *Receiver) accept(index int, now time.Time) {
	r.hear(now)
	r.resumed = false
	if r.stage == Receiving {
		r.held.Add(index)
	}
	r.told.Add(index)
}

// check compares a whole file with what its start told (rvi.md 4.4, 6.3).
func (r *Receiver) check(file ota.Sums) error {
	switch {
	case file.SHA1 != r.start.Checksum,
		r.start.SHA256 != "" && file.SHA256 != r.start.SHA256,
		r.start.Size >= 0 && file.Size != r.start.Size:
		return ota.Fail(ota.KindCorrupt, "checksum_mismatch", MismatchText)
	}
	return nil
}

// deadline is when tick has something to do.
func (r *Receiver) deadline(idle time.Duration) time.Time {
	if r.stage == Checking || r.stage == Installing {
		return time.Time{}
	}
	d := r.heard.Add(idle)
	if r.stage == Receiving {
		d = earlier(d, r.nextNudge())
		if r.resumed {
			d = earlier(d, r.heard.Add(Silence))
		}
	}
	return d
}

// nextNudge is when an ack is to be repeated unasked: a backend whose finish
// was lost, or whose finish we refused, has no timer of its own for that.
func (r *Receiver) nextNudge() time.Time {
	if !r.complete() && !r.refused {
		return time.Time{}
	}
	return r.nudged.Add(r.nudge)
}

// tick does what is due. ack asks for an ack, drop for the end of the transfer.
func (r *Receiver) tick(idle time.Duration, now time.Time) (ack, drop bool) {
	if d := r.deadline(idle); d.IsZero() || now.Before(d) {
		return false, false
	}
	if !now.Before(r.heard.Add(idle)) {
		return false, true
	}
	if r.resumed && !now.Before(r.heard.Add(Silence)) {
		r.resumed, r.afresh, r.told = false, true, Chunks{}
		return true, false
	}
	r.nudged, r.nudge = now, min(2*r.nudge, longestNudge)
	return true, false
}

// earlier is the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
