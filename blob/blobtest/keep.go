package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

func collectOld(t *testing.T, w world) {
	used, unused := content(20, 1000), content(21, 2000)
	dUsed, dUnused := w.put(t, used), w.put(t, unused)
	w.clock.advance(time.Hour)
	border := w.clock.now()
	fresh := content(22, 3000)
	dFresh := w.put(t, fresh)

	if freed := w.collect(t, border, dUsed); freed != 2000 {
		t.Errorf("freed %d bytes, want 2000", freed)
	}
	w.expect(t, dUsed, used)
	w.expect(t, dFresh, fresh)
	w.expectRefused(t, dUnused, ota.KindNotFound, "missing_blob")
	if freed := w.collect(t, border, dUsed); freed != 0 {
		t.Errorf("freed %d bytes the second time", freed)
	}
}

func collectLeftovers(t *testing.T, w world) {
	b := content(23, 1000)
	d := w.put(t, b)
	w.Crash(t, 500)
	w.Crash(t, 0)
	if freed := w.collect(t, w.clock.now(), d); freed != 500 {
		t.Errorf("freed %d bytes, want 500", freed)
	}
	w.expect(t, d, b)
	w.expectTraces(t, 1)
}

// collectDuringPut collects, with nothing in use and everything old, between
// every two reads of a put.
func collectDuringPut(t *testing.T, w world) {
	b := content(24, mib)
	rest := bytes.NewReader(b)
	slow := readerFunc(func(p []byte) (int, error) {
		w.collect(t, w.clock.now().Add(time.Hour))
		return rest.Read(p[:min(len(p), 100_000)])
	})
	sums, err := w.Blobs.Put(t.Context(), slow, mib)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(t, sums.SHA256, b)
}

func putDuringCollect(t *testing.T, w world) {
	b := content(25, 1000)
	d := w.put(t, b)
	w.clock.advance(time.Hour)
	asked := 0
	freed, err := w.Blobs.Collect(t.Context(), w.clock.now(), func(ota.Digest) (bool, error) {
		asked++
		w.put(t, b)
		return false, nil // true when asked, and overtaken by the put
	})
	if err != nil || freed != 0 || asked != 1 {
		t.Errorf("freed %d bytes after %d questions, %v", freed, asked, err)
	}
	w.expect(t, d, b)
}

// putCollectRace lets several put the same content and rely on it, while a
// collector removes whatever was put before its last look at the clock.
func putCollectRace(t *testing.T, w world) {
	b := content(26, 1000)
	done := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				w.collect(t, w.clock.now())
				w.clock.advance(time.Second)
			}
		}
	})
	var putters sync.WaitGroup
	for range 4 {
		putters.Go(func() {
			for range 50 {
				start := w.clock.now()
				sums, err := w.Blobs.Put(t.Context(), bytes.NewReader(b), mib)
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				got, err := w.Blobs.Open(t.Context(), sums.SHA256)
				if err != nil && w.clock.now().Equal(start) { // too new to be collected
					t.Errorf("open what was just put: %v", err)
				}
				if err == nil {
					got.Close()
				}
			}
		})
	}
	putters.Wait()
	close(done)
	collector.Wait()
	w.expect(t, w.put(t, b), b)
	w.expectTraces(t, 1)
}

func collectError(t *testing.T, w world) {
	broken := errors.New("database is gone")
	d := w.put(t, content(27, 1000))
	freed, err := w.Blobs.Collect(t.Context(), w.clock.now().Add(time.Hour), func(ota.Digest) (bool, error) { return false, broken })
	if !errors.Is(err, broken) || freed != 0 {
		t.Errorf("freed %d bytes, %v", freed, err)
	}
	w.expect(t, d, content(27, 1000))
}

func openOutlivesCollect(t *testing.T, w world) {
	want := content(28, mib)
	b, err := w.Blobs.Open(t.Context(), w.put(t, want))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	w.collect(t, w.clock.now().Add(time.Hour))
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read after removal: %d bytes, %v", len(got), err)
	}
}

func scrubTells(t *testing.T, w world) {
	good, bad := w.put(t, content(29, 1000)), w.put(t, content(30, 1000))
	w.Damage(t, bad)
	var told []ota.Digest
	err := w.Blobs.Scrub(t.Context(), func(d ota.Digest, err error) {
		expectError(t, err, ota.KindCorrupt, "corrupt_blob")
		told = append(told, d)
	})
	if err != nil || len(told) != 1 || told[0] != bad {
		t.Errorf("told of %v, %v; want %v alone", told, err, bad)
	}
	w.expect(t, good, content(29, 1000))
	w.expectRefused(t, bad, ota.KindCorrupt, "corrupt_blob")
}

func scrubEnds(t *testing.T, w world) {
	w.put(t, content(31, 1000))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Blobs.Scrub(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
