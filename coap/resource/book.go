package resource

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// book is a stored file that is being read. It is opened when it is read, and
// may be closed at any time to make room.
type book struct {
	shelf *shelf
	size  int64
	sum   ota.Digest
	etag  string
	used  atomic.Int64 // the shelf's count when it was last read

	opening sync.Mutex // held for as long as opening takes, which may be long

	mu   sync.RWMutex // never held for long: who only looks must not wait
	blob ota.Blob     // nil while closed
}

// etagBytes is how much of a digest tells contents apart.
const etagBytes = 8

// ReadAt reads, and opens the file before if need be.
func (b *book) ReadAt(p []byte, off int64) (int, error) {
	b.used.Store(b.shelf.reads.Add(1))
	b.mu.RLock()
	if b.blob != nil {
		defer b.mu.RUnlock()
		return b.blob.ReadAt(p, off)
	}
	b.mu.RUnlock()
	blob, err := b.reopen()
	if err != nil {
		return 0, err
	}
	defer b.mu.RUnlock()
	return blob.ReadAt(p, off)
}

// open makes sure that the file can be read. It takes long if the file has to
// be checked, and fails with KindCorrupt.
func (b *book) open() error {
	if b.isOpen() {
		return nil
	}
	if _, err := b.reopen(); err != nil {
		return err
	}
	b.mu.RUnlock()
	return nil
}

// reopen opens the file and returns it with mu held for reading.
func (b *book) reopen() (ota.Blob, error) {
	b.shelf.makeRoom(b)
	b.opening.Lock()
	defer b.opening.Unlock()
	for {
		b.mu.RLock()
		if b.blob != nil {
			return b.blob, nil
		}
		b.mu.RUnlock()
		blob, err := b.shelf.check(b.sum)
		if err != nil {
			return nil, err
		}
		b.mu.Lock()
		b.blob = blob
		b.mu.Unlock()
	}
}

// openPatience is how long checking a file may take before who asked for it is
// told to ask again; the check goes on.
const openPatience = time.Minute

// check opens a file. It fails with KindUnavailable if checking it takes too
// long, or with KindCorrupt.
func (s *shelf) check(d ota.Digest) (ota.Blob, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openPatience)
	defer cancel()
	b, err := s.fleet.OpenBlob(ctx, d)
	if errors.Is(err, context.DeadlineExceeded) {
		err = ota.Fail(ota.KindUnavailable, "being_checked", "the file is still being checked: ask again")
	}
	return b, err
}

func (b *book) isOpen() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.blob != nil
}

func (b *book) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blob != nil {
		b.blob.Close()
		b.blob = nil
	}
}

// shelf holds the books that are open, at most maxOpen.
type shelf struct {
	fleet *fleet.Fleet
	reads atomic.Int64

	mu    sync.Mutex
	books map[ota.Digest]*book
}

// maxOpen bounds the files kept open.
const maxOpen = 128

// makeRoom puts a book on the shelf, and takes down the one that was not read
// for longest if there are too many.
func (s *shelf) makeRoom(b *book) {
	s.mu.Lock()
	out := s.books[b.sum] // a double of it, made while this one was off the shelf
	if out == b {
		out = nil
	}
	s.books[b.sum] = b
	if len(s.books) > maxOpen {
		for _, o := range s.books {
			if o != b && (out == nil || o.used.Load() < out.used.Load()) {
				out = o
			}
		}
		delete(s.books, out.sum)
	}
	s.mu.Unlock()
	if out != nil {
		out.close()
	}
}

// book finds the book of a file, or makes it.
func (s *shelf) book(a ota.Artifact) *book {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.books[a.SHA256]; ok {
		return b
	}
	b := &book{shelf: s, size: a.Size, sum: a.SHA256, etag: etagOf(a.SHA256)}
	b.used.Store(s.reads.Load())
	return b
}

// close closes all that are open.
func (s *shelf) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sum, b := range s.books {
		delete(s.books, sum)
		b.close()
	}
}
