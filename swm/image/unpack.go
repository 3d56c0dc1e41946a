package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// Limits bound what an image may hold once unpacked.
type Limits struct {
	Bytes int64 // of all files together
	Files int   // and directories
}

// DefaultLimits are 4 GiB in 10,000 files.
var DefaultLimits = Limits{Bytes: 4 << 30, Files: 10_000}

// Unpack unpacks an image, squashfs or tar (gzip allowed), into the directory
// dir, which it makes anew, and has it on disk when it returns nil. Anything
// but files and directories is refused. It fails with KindInvalid and
// KindTooLarge for what the image is to blame for, KindNoSpace if the disk is
// full, KindUnavailable if there is no unsquashfs, and with ctx's error.
func Unpack(ctx context.Context, file, dir string, l Limits) error {
	err := unpack(ctx, file, dir, l)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &ota.Error{Kind: ota.KindNoSpace, Code: "no_space", Text: "there is no space to unpack the image", Err: err}
	}
	return err
}

func unpack(ctx context.Context, file, dir string, l Limits) error {
	f, err := openPlain(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return err
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	switch head := head[:n]; {
	case bytes.HasPrefix(head, []byte(squashMagic)):
		err = unsquash(ctx, f, head, dir, l)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		err = untarGzip(ctx, f, dir, l)
	case n == len(head) && string(head[257:262]) == "ustar":
		err = untar(ctx, f, dir, l)
	default:
		return ota.Invalid("the image is neither squashfs nor tar")
	}
	if err != nil {
		return err
	}
	if err := checkTree(dir, l); err != nil {
		return err
	}
	return sync(dir)
}

func untarGzip(ctx context.Context, f *os.File, dir string, l Limits) error {
	z, err := gzip.NewReader(f)
	if err != nil {
		return ota.Invalid("the image is no intact gzip file: %v", err)
	}
	return untar(ctx, z, dir, l)
}

// openPlain opens a file that is one, and no link.
func openPlain(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &ota.Error{Kind: ota.KindInvalid, Code: "no_image", Text: "the image cannot be opened", Err: err}
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, ota.Invalid("the image is not a file")
	}
	return f, nil
}

// sync brings all that was unpacked to the disk.
func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(d.Fd())))
}
