package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/updraft-ota/updraft/ota"
)

func putAndOpen(t *testing.T, w world) {
	for _, n := range []int{1, 1000, mib, mib + 1} {
		b := content(1, n)
		w.expect(t, w.put(t, b), b)
	}
	b := content(2, 3000)
	sums, err := w.Blobs.Put(t.Context(), iotest.OneByteReader(bytes.NewReader(b)), mib)
	if err != nil || sums != sumsOf(b) {
		t.Fatalf("put byte by byte: %+v, %v", sums, err)
	}
	w.expect(t, sums.SHA256, b)
	w.expectTraces(t, 5)
}

func emptyBlob(t *testing.T, w world) { w.expect(t, w.put(t, nil), nil) }

func readAnywhere(t *testing.T, w world) {
	want := content(3, mib)
	b, err := w.Blobs.Open(t.Context(), w.put(t, want))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if end, err := b.Seek(0, io.SeekEnd); err != nil || end != mib {
		t.Errorf("seek to the end: %d, %v", end, err)
	}
	if _, err := b.Seek(500_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(rest, want[500_000:]) {
		t.Errorf("read from the middle: %d bytes, %v", len(rest), err)
	}
	piece := make([]byte, 100)
	if _, err := b.ReadAt(piece, 77); err != nil || !bytes.Equal(piece, want[77:177]) {
		t.Errorf("read at 77: %v", err)
	}
}

func exactSize(t *testing.T, w world) {
	b := content(4, mib)
	if _, err := w.Blobs.Put(t.Context(), bytes.NewReader(b), mib); err != nil {
		t.Errorf("put of exactly the allowed size: %v", err)
	}
}

func tooLarge(t *testing.T, w world) {
	_, err := w.Blobs.Put(t.Context(), bytes.NewReader(content(4, mib+1)), mib)
	expectError(t, err, ota.KindTooLarge, "too_large")
	w.expectTraces(t, 0)
}

func truncatedUpload(t *testing.T, w world) {
	for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("connection reset")} {
		for _, n := range []int{0, 10, mib} {
			r := io.MultiReader(bytes.NewReader(content(5, n)), iotest.ErrReader(broken))
			if _, err := w.Blobs.Put(t.Context(), r, 2*mib); !errors.Is(err, broken) {
				t.Errorf("%v after %d bytes: got %v", broken, n, err)
			}
			w.expectTraces(t, 0)
		}
	}
}

func canceledUpload(t *testing.T, w world) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := readerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})
	if _, err := w.Blobs.Put(ctx, endless, 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.expectTraces(t, 0)
}

func putTwice(t *testing.T, w world) {
	b := content(6, mib)
	w.put(t, b)
	w.expect(t, w.put(t, b), b)
	w.expectTraces(t, 1)
}

func putAtOnce(t *testing.T, w world) {
	b := content(7, mib)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			sums, err := w.Blobs.Put(t.Context(), bytes.NewReader(b), mib)
			if err != nil || sums != sumsOf(b) {
				t.Errorf("put: %+v, %v", sums, err)
				return
			}
			got, err := w.Blobs.Open(t.Context(), sums.SHA256)
			if err != nil {
				t.Errorf("open what was just put: %v", err)
				return
			}
			got.Close()
		})
	}
	all.Wait()
	w.expect(t, sumsOf(b).SHA256, b)
	w.expectTraces(t, 1)
}
