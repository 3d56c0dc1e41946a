package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

func missing(t *testing.T, w world) {
	for _, d := range []ota.Digest{
		sumsOf([]byte("never put")).SHA256,
		"", "ab", "../../etc/passwd",
		ota.Digest(bytes.Repeat([]byte("../"), 21)) + "x",
		ota.Digest(bytes.ToUpper([]byte(sumsOf(nil).SHA256))),
	} {
		w.expectRefused(t, d, ota.KindNotFound, "missing_blob")
	}
}

func damaged(t *testing.T, w world) {
	d := w.put(t, content(10, mib))
	w.Damage(t, d)
	for range 2 { // the second answer may be a remembered one
		w.expectRefused(t, d, ota.KindCorrupt, "corrupt_blob")
	}
}

func damagedLater(t *testing.T, w world) {
	b := content(11, mib)
	d := w.put(t, b)
	w.expect(t, d, b)
	w.Damage(t, d)
	w.expectRefused(t, d, ota.KindCorrupt, "corrupt_blob")
}

func truncated(t *testing.T, w world) {
	d := w.put(t, content(12, mib))
	w.Truncate(t, d)
	w.expectRefused(t, d, ota.KindCorrupt, "corrupt_blob")
}

func healed(t *testing.T, w world) {
	b := content(13, mib)
	d := w.put(t, b)
	w.Damage(t, d)
	w.expectRefused(t, d, ota.KindCorrupt, "corrupt_blob")
	w.put(t, b)
	w.expect(t, d, b)
}

// openAtOnce damages and un-damages the blob first, so that it needs a check.
func openAtOnce(t *testing.T, w world) {
	want := content(14, mib)
	d := w.put(t, want)
	w.Damage(t, d)
	w.Damage(t, d)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			b, err := w.Blobs.Open(t.Context(), d)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer b.Close()
			if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, want) {
				t.Errorf("read: %d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
}

func openerLeaves(t *testing.T, w world) {
	want := content(15, mib)
	d := w.put(t, want)
	w.Damage(t, d)
	w.Damage(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, err := w.Blobs.Open(ctx, d) // the check may be done before anyone looks at ctx
	if err == nil {
		b.Close()
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.expect(t, d, want)
}
