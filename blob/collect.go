package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Collect implements ota.Blobs. inUse is asked about old blobs only. Between
// its answer and the removal the blob may be put again; then it is no longer
// old and stays. With an error it still tells what it freed before.
func (f *Files) Collect(ctx context.Context, before time.Time, inUse func(ota.Digest) (bool, error)) (int64, error) {
	freed, err := f.collectLeftovers()
	if err != nil {
		return freed, fmt.Errorf("collect blobs: %w", err)
	}
	err = f.each(ctx, func(d ota.Digest) error {
		if old, err := putBefore(f.path(d), before); err != nil || !old {
			return err
		}
		if used, err := inUse(d); err != nil || used {
			return err
		}
		n, err := f.removeOld(d, before)
		freed += n
		return err
	})
	return freed, err
}

// collectLeftovers removes temporary files that no running put owns.
func (f *Files) collectLeftovers() (int64, error) {
	entries, err := os.ReadDir(f.tmpDir())
	if err != nil {
		return 0, err
	}
	var freed int64
	for _, e := range entries {
		n, err := f.removeLeftover(filepath.Join(f.tmpDir(), e.Name()))
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

func (f *Files) removeLeftover(path string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.arriving[path] {
		return 0, nil
	}
	return remove(path)
}

// removeOld removes d unless it was put again since before.
func (f *Files) removeOld(d ota.Digest, before time.Time) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, err := putBefore(f.path(d), before); err != nil || !old {
		return 0, err
	}
	delete(f.verdicts, d)
	return remove(f.path(d))
}

// putBefore reports false for a file that is gone.
func putBefore(path string, t time.Time) (bool, error) {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && fi.ModTime().Before(t), err
}

// remove deletes a file, if it is there, and returns its size.
func remove(path string) (int64, error) {
	fi, err := os.Lstat(path)
	if err == nil {
		err = os.Remove(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return fi.Size(), nil
}

// each calls fn for every digest that has a file, in order, until fn or ctx
// fails. Files with other names are nobody's and are passed over.
func (f *Files) each(ctx context.Context, fn func(ota.Digest) error) error {
	folders, err := os.ReadDir(f.blobDir())
	if err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(f.blobDir(), folder.Name()))
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			d, err := ota.ParseDigest(e.Name())
			if err != nil || e.Name()[:2] != folder.Name() {
				continue
			}
			if err := fn(d); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
