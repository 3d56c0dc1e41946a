package blob

import (
	"io"
	"runtime"
	"testing"
)

func TestAnArtifactIsNeverInMemory(t *testing.T) { putAndOpenInLittleMemory(t, 32<<20) }

// putAndOpenInLittleMemory counts every byte that is allocated on the way in
// and during the check, collected again or not.
func putAndOpenInLittleMemory(t *testing.T, size int64) {
	files, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sums, err := files.Put(t.Context(), io.LimitReader(zeros{}, size), size)
	if err != nil {
		t.Fatal(err)
	}
	clear(files.verdicts)
	b, err := files.Open(t.Context(), sums.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	runtime.ReadMemStats(&after)
	// The buffers, and what starting 16 goroutines per MiB takes.
	if used, limit := int64(after.TotalAlloc-before.TotalAlloc), int64(2<<20)+size/256; used > limit {
		t.Errorf("%d bytes needed %d bytes of memory, more than %d", size, used, limit)
	} else {
		t.Logf("%d bytes needed %d bytes of memory", size, used)
	}
}
