package image

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
)

// untar unpacks a tar archive into the empty directory dir.
func untar(ctx context.Context, r io.Reader, dir string, l Limits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	t := tar.NewReader(&source{ctx, r})
	left := allowance{l}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // git archive writes one
			if left.Files--; left.Files < 0 {
				return tooMany() // gigabytes of them would be a small file
			}
			continue
		}
		if err := left.entry(h); err != nil {
			return err
		}
		if err := extract(root, t, h); err != nil {
			return err
		}
	}
}

// source passes on an archive until ctx ends.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// broken blames the archive, unless it was we who stopped or the disk.
func broken(err error) error {
	_, disk := errors.AsType[*fs.PathError](err)
	if disk || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return ota.Invalid("the image is no intact archive: %v", err)
}

// allowance is what is left of the limits.
type allowance struct{ Limits }

func (a *allowance) entry(h *tar.Header) error {
	switch {
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir:
		return ota.Invalid("the image holds %q, which is neither a file nor a directory", h.Name)
	case !plainPath(entryName(h)) && entryName(h) != ".":
		return ota.Invalid("the image holds %q, which is no path inside it", h.Name)
	case a.Files == 0:
		return tooMany()
	case h.Size < 0 || h.Size > a.Bytes:
		return tooLarge()
	}
	a.Files--
	a.Bytes -= h.Size
	return nil
}

func tooMany() error {
	return ota.Fail(ota.KindTooLarge, "too_many", "the image holds more files than are allowed")
}

func tooLarge() error {
	return ota.Fail(ota.KindTooLarge, "too_large", "the image is larger than is allowed once unpacked")
}

// entryName is an entry's path without the "./" of tar c . and the "/" of
// directories.
func entryName(h *tar.Header) string {
	name := h.Name
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	if short, ok := strings.CutPrefix(name, "./"); ok && short != "" {
		return short
	}
	return name
}

func extract(root *os.Root, r io.Reader, h *tar.Header) error {
	name := entryName(h)
	if h.Typeflag == tar.TypeDir {
		return clash(name, root.MkdirAll(name, 0o700))
	}
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return clash(name, err)
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return clash(name, err)
	}
	_, err = io.Copy(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return broken(err)
	}
	return nil
}

// clash blames the archive if it holds one name as two things.
func clash(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return ota.Invalid("the image holds %q twice", name)
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return ota.Invalid("the image holds something below %q, which is a file", path.Dir(name))
	}
	return err
}
