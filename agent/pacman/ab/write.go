package ab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// chunk is written at once, in bytes.
const chunk = 256 << 10

// fill writes an image into a slot, which must not be the running one, and
// makes sure that it is there. It refuses, before the first byte, with
// DISK_FULL an image larger than the slot, and with WRITE_PARTITION_FAILED a
// slot that is in use or is no place for an image. While writing it fails with
// VALIDATION_FAILED for an image of another digest than the client verified,
// with DISK_FULL if a slot that is a file cannot grow into its holes, and with
// WRITE_PARTITION_FAILED if the slot cannot be written or reads back other
// bytes.
func (in *Installer) fill(ctx context.Context, s Slot, img agent.Image) error {
	from, err := os.Open(img.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := in.open(s)
	if err != nil {
		return unwritable(s, err)
	}
	defer to.Close()
	room, err := to.Seek(0, io.SeekEnd)
	switch {
	case err != nil:
		return unwritable(s, err)
	case info.Size() > room:
		return refuse(ota.DiskFull, "the image has %d bytes, slot %s (%s) has room for %d", info.Size(), s, to.Name(), room)
	}
	if _, err := to.Seek(0, io.SeekStart); err != nil {
		return unwritable(s, err)
	}
	sum, err := in.copy(ctx, s, to, io.LimitReader(from, room))
	switch {
	case err != nil:
		return err
	case sum != img.Digest:
		return refuse(ota.ValidationFailed, "the image has the digest %s, not %s", sum, img.Digest)
	}
	return in.compare(ctx, s, to, info.Size(), img.Digest)
}

// open opens a slot for writing. A block device may be named by a link, as
// udev makes them, and must not be mounted or otherwise in use. A file must be
// of its own and no link. Nothing is ever made.
func (in *Installer) open(s Slot) (*os.File, error) {
	path, err := filepath.EvalSymlinks(in.path(s))
	if err != nil {
		return nil, err
	}
	// O_EXCL without O_CREAT is for block devices: only if nobody uses it (open(2)).
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_DSYNC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: it is mounted, or in use by another program", err)
	}
	if err != nil {
		return nil, err
	}
	if err := in.suits(f, in.path(s)); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// suits tells what is wrong with a file as a slot, if anything.
func (in *Installer) suits(f *os.File, named string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return nil
	case unix.S_IFREG:
	default:
		return errors.New("neither a block device nor a file")
	}
	info, err := os.Lstat(named)
	switch {
	case err != nil:
		return err
	case info.Mode()&os.ModeSymlink != 0:
		return fmt.Errorf("%s is a link, and may only be one to a block device", named)
	case st.Nlink != 1:
		return fmt.Errorf("has %d names where one is expected", st.Nlink)
	case int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return fmt.Errorf("belongs to user %d, not to us (%d)", st.Uid, os.Geteuid())
	}
	return nil
}

// distinct refuses slots that are the same place, under whatever names.
func (in *Installer) distinct() error {
	var ids [2]unix.Stat_t
	for i, s := range []Slot{A, B} {
		if err := unix.Stat(in.path(s), &ids[i]); err != nil {
			return refuse(ota.WritePartitionFailed, "slot %s: %s: %v", s, in.path(s), err)
		}
	}
	a, b := ids[0], ids[1]
	device := a.Mode&unix.S_IFMT == unix.S_IFBLK && b.Mode&unix.S_IFMT == unix.S_IFBLK && a.Rdev == b.Rdev
	if device || a.Dev == b.Dev && a.Ino == b.Ino {
		return refuse(ota.WritePartitionFailed, "ab.slot_a and ab.slot_b are the same place")
	}
	return nil
}

// copy writes what r yields to a slot and returns its digest.
func (in *Installer) copy(ctx context.Context, s Slot, to *os.File, r io.Reader) (ota.Digest, error) {
	sum, buf := sha256.New(), make([]byte, chunk)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			sum.Write(buf[:n])
			in.fault("before writing to the slot")
			if _, err := to.Write(buf[:n]); err != nil {
				return "", unwritable(s, err)
			}
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			in.fault("before syncing the slot")
			if err := to.Sync(); err != nil {
				return "", unwritable(s, err)
			}
			return digest(sum), nil
		case err != nil:
			return "", err
		}
	}
}

// compare reads the beginning of a slot, from the medium as far as the kernel
// lets us, and compares its digest.
func (in *Installer) compare(ctx context.Context, s Slot, f *os.File, size int64, want ota.Digest) error {
	in.fault("before reading the slot back")
	if err := unix.Fadvise(int(f.Fd()), 0, size, unix.FADV_DONTNEED); err != nil {
		return unwritable(s, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return unwritable(s, err)
	}
	sum, buf := sha256.New(), make([]byte, chunk)
	for r := io.LimitReader(f, size); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return unwritable(s, err)
		}
	}
	if got := digest(sum); got != want {
		return refuse(ota.WritePartitionFailed, "slot %s does not hold what was written to it: it reads back with the digest %s, not %s", s, got, want)
	}
	return nil
}

func digest(h hash.Hash) ota.Digest { return ota.Digest(hex.EncodeToString(h.Sum(nil))) }

// unwritable is a refusal for a slot that cannot be written.
func unwritable(s Slot, err error) error {
	code := ota.WritePartitionFailed
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = ota.DiskFull
	}
	return refuse(code, "slot %s: %v", s, err)
}
