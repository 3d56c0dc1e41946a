package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/updraft-ota/updraft/ota"
)

// openBlob is a checked file. It embeds *os.File so that copying it to a
// connection, as http.ServeContent does, ends in sendfile(2).
type openBlob struct {
	*os.File
	size int64
}

func (b openBlob) Size() int64 { return b.size }

// Open implements ota.Blobs. Openers of a blob that needs a check share one;
// it goes on when they leave, for the next who asks.
func (f *Files) Open(ctx context.Context, d ota.Digest) (ota.Blob, error) {
	file, id, err := f.find(d)
	if err != nil {
		return nil, err
	}
	v, known := f.verdict(d, id)
	if !known {
		done := f.checks.DoChan(fmt.Sprint(d, id), func() (any, error) {
			return nil, f.check(file, d, id, unpaced)
		})
		select {
		case r := <-done:
			v.err = r.Err
		case <-ctx.Done():
			go func() {
				<-done // it may be our file that is being read
				file.Close()
			}()
			return nil, ctx.Err()
		}
	}
	if v.err != nil {
		file.Close()
		return nil, v.err
	}
	return openBlob{File: file, size: id.size}, nil
}

// find opens d's file, whatever its state. It fails with KindNotFound
// (missing_blob).
func (f *Files) find(d ota.Digest) (*os.File, identity, error) {
	missing := ota.Fail(ota.KindNotFound, "missing_blob", "there is no blob %.80q", string(d))
	if _, err := ota.ParseDigest(string(d)); err != nil {
		return nil, identity{}, missing // and no path to look at
	}
	file, err := os.Open(f.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, identity{}, missing
	}
	if err != nil {
		return nil, identity{}, fmt.Errorf("open blob: %w", err)
	}
	id, err := identify(file)
	if err != nil {
		file.Close()
		return nil, identity{}, fmt.Errorf("open blob: %w", err)
	}
	return file, id, nil
}
