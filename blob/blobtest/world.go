package blobtest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

const mib = 1 << 20

// world is a subject in a story.
type world struct {
	Subject
	clock *clock
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// content makes n bytes that differ from those of another seed, and whose
// pieces differ from each other.
func content(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed ^ byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}

func sumsOf(b []byte) ota.Sums {
	h256, h1, h5 := sha256.Sum256(b), sha1.Sum(b), md5.Sum(b)
	return ota.Sums{
		Size:   int64(len(b)),
		SHA256: ota.Digest(hex.EncodeToString(h256[:])),
		SHA1:   hex.EncodeToString(h1[:]),
		MD5:    hex.EncodeToString(h5[:]),
	}
}

func (w world) put(t *testing.T, b []byte) ota.Digest {
	t.Helper()
	sums, err := w.Blobs.Put(t.Context(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("put %d bytes: %v", len(b), err)
	}
	if want := sumsOf(b); sums != want {
		t.Fatalf("sums of %d bytes: got %+v, want %+v", len(b), sums, want)
	}
	return sums.SHA256
}

func (w world) expect(t *testing.T, d ota.Digest, want []byte) {
	t.Helper()
	b, err := w.Blobs.Open(t.Context(), d)
	if err != nil {
		t.Fatalf("open %s: %v", d, err)
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil {
		t.Fatalf("read %s: %v", d, err)
	}
	if !bytes.Equal(got, want) || b.Size() != int64(len(want)) {
		t.Fatalf("%s: got %d bytes, size %d; want the %d bytes that were put", d, len(got), b.Size(), len(want))
	}
}

func (w world) expectRefused(t *testing.T, d ota.Digest, kind ota.Kind, code string) {
	t.Helper()
	b, err := w.Blobs.Open(t.Context(), d)
	if err == nil {
		b.Close()
		t.Fatalf("open %s: want %s, got a blob", d, code)
	}
	expectError(t, err, kind, code)
}

func (w world) expectTraces(t *testing.T, want int) {
	t.Helper()
	if got := w.Traces(t); got != want {
		t.Errorf("%d things are stored, want %d", got, want)
	}
}

func (w world) collect(t *testing.T, before time.Time, used ...ota.Digest) int64 {
	t.Helper()
	freed, err := w.Blobs.Collect(t.Context(), before, func(d ota.Digest) (bool, error) {
		for _, u := range used {
			if u == d {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("collect: %v", err)
	}
	return freed
}

func expectError(t *testing.T, err error, kind ota.Kind, code string) {
	t.Helper()
	if ota.KindOf(err) != kind || ota.CodeOf(err) != code {
		t.Errorf("got %q (%s, %s), want %s, %s", err, ota.KindOf(err), ota.CodeOf(err), kind, code)
	}
}

// readerFunc makes a reader of a function.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
