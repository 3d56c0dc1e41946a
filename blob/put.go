package blob

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

const bufferSize = 128 << 10

// buffers are what bytes pass through: one for each running put, check and scrub.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Put implements ota.Blobs. Content that is there already is written anew and
// renamed over the old file: that costs a write, but it dates the blob for
// Collect and heals it if it was corrupt. ctx is looked at between reads: to
// end a Put whose reader hangs, close the reader.
func (f *Files) Put(ctx context.Context, r io.Reader, max int64) (ota.Sums, error) {
	tmp, err := f.arrive()
	if err != nil {
		return ota.Sums{}, diskError(err)
	}
	defer f.leave(tmp)

	sums, err := receive(ctx, tmp, r, max)
	if err != nil {
		return ota.Sums{}, err
	}
	if err := tmp.Sync(); err != nil {
		return ota.Sums{}, diskError(err)
	}
	if err := f.settle(tmp, sums.SHA256); err != nil {
		return ota.Sums{}, diskError(err)
	}
	return sums, nil
}

// arrive makes a temporary file that Collect leaves alone.
func (f *Files) arrive() (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tmp, err := f.temp()
	if err != nil {
		return nil, err
	}
	f.arriving[tmp.Name()] = true
	return tmp, nil
}

// leave ends a put; unless tmp settled, nothing stays of it.
func (f *Files) leave(tmp *os.File) {
	tmp.Close() // what it could tell, Sync has told
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.arriving[tmp.Name()] {
		os.Remove(tmp.Name()) // should it fail, Collect tries again
		delete(f.arriving, tmp.Name())
	}
}

// receive copies r to tmp and sums it.
func receive(ctx context.Context, tmp io.Writer, r io.Reader, max int64) (ota.Sums, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	s := newSummer()
	for {
		n, rerr := fill(ctx, r, buf[:])
		if s.size+int64(n) > max {
			return ota.Sums{}, ota.Fail(ota.KindTooLarge, "too_large", "the artifact is larger than the allowed %d bytes", max)
		}
		err := s.add(buf[:n], tmp)
		switch {
		case err != nil:
			return ota.Sums{}, diskError(err)
		case rerr == io.EOF:
			return s.sums(), nil
		case rerr != nil:
			return ota.Sums{}, rerr
		}
	}
}

// fill reads until buf is full, r or ctx ends, or r fails. Unlike io.ReadFull
// it passes r's errors on as they are: a truncated upload says
// io.ErrUnexpectedEOF, which must not look like a short last piece.
func fill(ctx context.Context, r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// settle gives a synced temporary file its name under d. The date and the
// rename are one step for Collect, so that a blob it found old and unused
// cannot become new under its hands.
func (f *Files) settle(tmp *os.File, d ota.Digest) error {
	folder := filepath.Dir(f.path(d))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := f.rename(tmp, d); err != nil {
		return err
	}
	return errors.Join(syncDir(folder), syncDir(f.blobDir())) // the folder may be new
}

func (f *Files) rename(tmp *os.File, d ota.Digest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if err := os.Chtimes(tmp.Name(), now, now); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.path(d)); err != nil {
		return err
	}
	delete(f.arriving, tmp.Name())
	if id, err := identify(tmp); err == nil {
		f.verdicts[d] = verdict{file: id} // summed on its way in
	}
	return nil
}
