package rvi

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

func fileOf(chunks int) Start {
	return Start{Unit: unit, Chunks: chunks, Checksum: strings.Repeat("a", 40), Size: -1}
}

// receiving is a device with a file of so many chunks of four bytes, some of
// which it holds.
func receiving(t *testing.T, s Start, held ...int) *Device {
	t.Helper()
	d := &Device{ChunkSize: 4}
	if fresh, err := d.Start(s, noon); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	for _, i := range held {
		d.Stored(unit, i, noon)
	}
	return d
}

func piece(index int, bytes string) Chunk {
	return Chunk{Unit: unit, Index: index, Bytes: []byte(bytes)}
}

func TestOnlyWhatIsDurableIsAcknowledged(t *testing.T) {
	d := receiving(t, fileOf(3), 1)
	place, err := d.Chunk(piece(3, "z"), noon)
	if err != nil || place != (Place{Write: true, Offset: 8}) {
		t.Fatal(place, err)
	}
	if got := d.Held(unit); !got.Equal(ChunkSet(1)) {
		t.Error(got)
	}
	d.Stored(unit, 3, noon)
	if got := d.Held(unit); !got.Equal(ChunkSet(1, 3)) {
		t.Error(got)
	}
	if place, err := d.Chunk(piece(1, "aaaa"), noon); err != nil || place.Write {
		t.Error("a duplicate is not written again", place, err)
	}
}

func TestChunksThatDoNotFit(t *testing.T) {
	sized := fileOf(3)
	sized.Size = 9
	wrong := piece(1, "aaaa")
	wrong.SHA256 = ota.Digest(strings.Repeat("0", 64))
	for _, c := range []struct {
		file   Start
		chunk  Chunk
		reason string
	}{
		{fileOf(3), piece(0, "aaaa"), "index_out_of_range"},
		{fileOf(3), piece(4, "aaaa"), "index_out_of_range"},
		{fileOf(0), piece(1, "a"), "index_out_of_range"},
		{fileOf(3), piece(2, "aaa"), "bad_chunk_size"},
		{fileOf(3), piece(3, "aaaaa"), "bad_chunk_size"},
		{fileOf(3), piece(3, ""), "bad_chunk_size"},
		{sized, piece(3, "aa"), "bad_chunk_size"},
		{fileOf(3), wrong, "bad_chunk_digest"},
		{sized, piece(3, "a"), ""},
		{fileOf(3), piece(3, "aaaa"), ""},
		{fileOf(1), piece(1, ""), ""},
	} {
		d := receiving(t, c.file)
		if _, err := d.Chunk(c.chunk, noon); ota.CodeOf(err) != c.reason {
			t.Errorf("%+v: %v, want %s", c.chunk, err, c.reason)
		}
		if got := d.Held(unit); got.Len() != 0 {
			t.Error("nothing was stored, but", got)
		}
	}
}

func TestAStartOfTheSameFileGoesOn(t *testing.T) {
	d := receiving(t, fileOf(3), 1, 2)
	if fresh, err := d.Start(fileOf(3), at(5)); fresh || err != nil || !d.Held(unit).Equal(ChunkSet(1, 2)) {
		t.Error(fresh, err, d.Held(unit))
	}
	other := fileOf(3)
	other.Checksum = strings.Repeat("b", 40)
	if fresh, err := d.Start(other, at(6)); !fresh || err != nil || d.Held(unit).Len() != 0 {
		t.Error(fresh, err, d.Held(unit))
	}
}

func TestWhatWasStoredSurvivesARestart(t *testing.T) {
	var d Device
	d.Restore(fileOf(3), ChunkSet(0, 1, 3, 7), Checking, noon)
	if got := d.Held(unit); !got.Equal(ChunkSet(1, 3)) {
		t.Error(got)
	}
}

func TestWhatWasInstalledBeforeARestartDoesNotComeTwice(t *testing.T) {
	for stage, want := range map[Stage]Ending{Installing: Wait, Reported: Again} {
		var d Device
		d.Restore(fileOf(3), Chunks{}, stage, noon)
		if fresh, err := d.Start(fileOf(3), noon); fresh || err != nil || !d.Held(unit).Equal(Upto(3)) {
			t.Error(stage, fresh, err, d.Held(unit))
		}
		if e, err := d.Finish(Finish{Unit: unit}, noon); e != want || err != nil {
			t.Error(stage, e, err)
		}
	}
}

func TestWhenTheLinkIsBackWholeFilesAreAcknowledged(t *testing.T) {
	d := receiving(t, fileOf(2), 1)
	if list := d.Back(at(1)); len(list) != 0 {
		t.Error(list)
	}
	d.Stored(unit, 2, at(2))
	if diff := cmp.Diff([]Unit{unit}, d.Back(at(1000))); diff != "" {
		t.Error(diff)
	}
	if due := d.Tick(at(1029)); len(due.Ack) != 0 {
		t.Error("it was acknowledged just now", due)
	}
}

func TestAnEmptyFile(t *testing.T) {
	d := receiving(t, fileOf(0))
	if place, err := d.Chunk(piece(1, ""), noon); err != nil || place.Write || !d.Held(unit).Equal(ChunkSet(1)) {
		t.Error(place, err)
	}
	if e, err := d.Finish(Finish{Unit: unit}, noon); e != Check || err != nil {
		t.Error(e, err)
	}
}

func TestAFileWithTheWrongSumsIsDropped(t *testing.T) {
	start := fileOf(1)
	start.Size, start.SHA256 = 4, ota.Digest(strings.Repeat("d", 64))
	right := ota.Sums{Size: 4, SHA1: start.Checksum, SHA256: start.SHA256}
	for i, sums := range []ota.Sums{
		{Size: 4, SHA1: strings.Repeat("0", 40), SHA256: right.SHA256},
		{Size: 4, SHA1: right.SHA1, SHA256: ota.Digest(strings.Repeat("0", 64))},
		{Size: 3, SHA1: right.SHA1, SHA256: right.SHA256},
	} {
		d := receiving(t, start, 1)
		d.Finish(Finish{Unit: unit}, noon)
		err := d.Checked(unit, sums)
		if ota.CodeOf(err) != "checksum_mismatch" || err.Error() != MismatchText {
			t.Error(i, err)
		}
		if _, err := d.Chunk(piece(1, "aaaa"), noon); ota.CodeOf(err) != "unknown_transfer" {
			t.Error(err)
		}
	}
	d := receiving(t, start, 1)
	d.Finish(Finish{Unit: unit}, noon)
	if err := d.Checked(unit, right); err != nil {
		t.Error(err)
	}
}

func TestAFinishThatComesAgain(t *testing.T) {
	d := receiving(t, fileOf(1))
	finish := func() (Ending, string) {
		e, err := d.Finish(Finish{Unit: unit}, noon)
		return e, ota.CodeOf(err)
	}
	for _, step := range []struct {
		do   func()
		want Ending
		code string
	}{
		{func() {}, Wait, "incomplete_transfer"},
		{func() { d.Stored(unit, 1, noon) }, Check, ""},
		{func() {}, Wait, ""},
		{func() { d.Checked(unit, ota.Sums{SHA1: fileOf(1).Checksum}) }, Wait, ""},
		{func() { d.Reported(unit, noon) }, Again, ""},
		{func() { d.Start(fileOf(1), noon) }, Again, ""},
	} {
		step.do()
		if e, code := finish(); e != step.want || code != step.code {
			t.Error(e, code, step)
		}
	}
	if got := d.Held(unit); !got.Equal(ChunkSet(1)) {
		t.Error("what was installed is acknowledged whole, not", got)
	}
}

func TestAnAbortLeavesWhatIsBeingInstalled(t *testing.T) {
	d := receiving(t, fileOf(1), 1)
	other := fileOf(2)
	other.Unit.Package.Name = "other"
	d.Start(other, noon)
	asked := Unit{Update: someUpdate}
	d.Ask(asked, noon)
	d.Finish(Finish{Unit: unit}, noon)
	if diff := cmp.Diff([]Unit{other.Unit, asked}, d.Abort()); diff != "" {
		t.Error(diff)
	}
	if err := d.Checked(unit, ota.Sums{SHA1: fileOf(1).Checksum}); err != nil {
		t.Error(err)
	}
	if again := d.Abort(); len(again) != 0 {
		t.Error(again)
	}
}

func TestADeviceAsksFiveTimes(t *testing.T) {
	var d Device
	d.Ask(unit, noon)
	for i := 1; i < Asks; i++ {
		if due := d.Tick(at(60*i - 1)); len(due.Ask) != 0 {
			t.Error(due)
		}
		if due := d.Tick(at(60 * i)); len(due.Ask) != 1 {
			t.Error(i, due)
		}
	}
	if diff := cmp.Diff(Due{Quiet: []Unit{unit}}, d.Tick(at(300))); diff != "" || !d.Deadline().IsZero() {
		t.Error(diff)
	}
}

func TestABackendThatDoesNotKnowResuming(t *testing.T) {
	d := receiving(t, fileOf(4), 1, 2)
	d.Start(fileOf(4), noon)
	if due := d.Tick(at(44)); len(due.Ack) != 0 {
		t.Error(due)
	}
	if due := d.Tick(at(45)); len(due.Ack) != 1 || d.Held(unit).Len() != 0 {
		t.Error(due, d.Held(unit))
	}
	if place, err := d.Chunk(piece(1, "aaaa"), at(46)); err != nil || place.Write || !d.Held(unit).Equal(ChunkSet(1)) {
		t.Error("the list has no gaps, and nothing is written twice", place, err, d.Held(unit))
	}

	ours := fileOf(4)
	ours.SHA256 = ota.Digest(strings.Repeat("d", 64)) // as only our servers say
	d = receiving(t, ours, 1, 2)
	d.Start(ours, noon)
	if due := d.Tick(at(46)); len(due.Ack) != 0 {
		t.Error(due)
	}
}

func TestAFinishThatWasLostIsAskedForWithAnAck(t *testing.T) {
	d := receiving(t, fileOf(1), 1)
	var acks []time.Time
	for now := noon; now.Before(at(600)); now = d.Deadline() {
		if due := d.Tick(now); len(due.Ack) > 0 {
			acks = append(acks, now)
		}
	}
	if diff := cmp.Diff([]time.Time{at(30), at(90), at(210), at(450)}, acks); diff != "" {
		t.Error(diff)
	}
}

func TestIdleTransfersAreDropped(t *testing.T) {
	d := receiving(t, fileOf(4), 1)
	d.Idle = 10 * time.Minute
	if diff := cmp.Diff(at(600), d.Deadline()); diff != "" {
		t.Error(diff)
	}
	d.Chunk(piece(1, "aaaa"), at(300))
	if due := d.Tick(at(600)); len(due.Drop) != 0 {
		t.Error(due)
	}
	if diff := cmp.Diff(Due{Drop: []Unit{unit}}, d.Tick(at(900))); diff != "" {
		t.Error(diff)
	}
}

func TestADeviceHasNoMoreThanSoManyTransfers(t *testing.T) {
	var d Device
	start := func(i int) error {
		s := fileOf(1)
		s.Unit.Package.Version = time.Duration(i).String()
		_, err := d.Start(s, at(i))
		return err
	}
	for i := range MaxFiles {
		if err := start(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := start(MaxFiles); ota.CodeOf(err) != "too_many_transfers" {
		t.Error(err)
	}
	first := fileOf(1).Unit
	first.Package.Version = time.Duration(0).String()
	d.Reported(first, at(99))
	if err := start(MaxFiles); err != nil {
		t.Error("what was reported makes room:", err)
	}
}
