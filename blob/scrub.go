package blob

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/updraft-ota/updraft/ota"
)

// Scrub implements ota.Blobs, reading at most Options.ScrubRate bytes per
// second. A blob it finds corrupt is refused by Open from then on without
// reading it again. Besides with ctx's error it fails with one of the file
// system if a folder or file cannot be opened.
func (f *Files) Scrub(ctx context.Context, bad func(ota.Digest, error)) error {
	limit := rate.NewLimiter(f.scrubRate, bufferSize)
	paced := func(n int) error {
		if limit.WaitN(ctx, n) != nil { // it gives up ahead of a deadline
			<-ctx.Done()
		}
		return ctx.Err()
	}
	return f.each(ctx, func(d ota.Digest) error {
		err := f.scrub(d, paced)
		switch ota.KindOf(err) {
		case ota.KindCorrupt:
			bad(d, err)
			return nil
		case ota.KindNotFound: // collected meanwhile
			return nil
		}
		return err
	})
}

func (f *Files) scrub(d ota.Digest, p pace) error {
	file, id, err := f.find(d)
	if err != nil {
		return err
	}
	defer file.Close()
	forget(file)
	defer forget(file)
	return f.check(file, d, id, p)
}

// forget drops the kernel's copy of the file from memory: before a scrub, so
// that it reads what the disk has; after it, as nobody waits for these bytes.
func forget(file *os.File) {
	unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED) // advice: it may go unheard
}
