package blob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
)

// verdict is what a check found about one state of a blob's file.
type verdict struct {
	file identity
	err  error // nil: the bytes are right; else a corrupt_blob
}

// identity tells one state of a file from another. The change time moves with
// every write and, other than the modification time, cannot be set back, as
// restoring a backup into the file would.
type identity struct {
	device, inode uint64
	size          int64
	changed       int64 // ctime, nanoseconds
}

func identify(file *os.File) (identity, error) {
	fi, err := file.Stat()
	if err != nil {
		return identity{}, err
	}
	st := fi.Sys().(*syscall.Stat_t)
	return identity{
		device:  uint64(st.Dev),
		inode:   uint64(st.Ino),
		size:    fi.Size(),
		changed: st.Ctim.Nano(),
	}, nil
}

// verdict returns what is known about d while its file is in state id.
func (f *Files) verdict(d ota.Digest, id identity) (verdict, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.verdicts[d]
	return v, ok && v.file == id
}

// pace is told of every piece of n bytes a check has read; its error ends the
// check.
type pace func(n int) error

func unpaced(int) error { return nil }

// check reads all of a file that was in state id, and remembers whether it is
// d's if the state is still the same. It fails with KindCorrupt
// (corrupt_blob), also when the disk cannot read the bytes, or with p's error.
// It does not move the file's offset.
func (f *Files) check(file *os.File, d ota.Digest, id identity, p pace) error {
	sum, err := digest(file, p)
	if unreadable, ok := errors.AsType[*fs.PathError](err); ok {
		return corrupt(d, unreadable) // not remembered: the next read may do
	}
	if err != nil {
		return err
	}
	v := verdict{file: id}
	if sum != d {
		v.err = corrupt(d, fmt.Errorf("%d bytes with digest %s", id.size, sum))
	}
	if after, err := identify(file); err == nil && after == id {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.verdicts[d] = v
	}
	return v.err
}

// digest fails with an *fs.PathError or with p's error.
func digest(file *os.File, p pace) (ota.Digest, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	h := sha256.New()
	for at := int64(0); ; {
		n, err := file.ReadAt(buf[:], at)
		h.Write(buf[:n])
		at += int64(n)
		switch {
		case err == io.EOF:
			return ota.Digest(hexSum(h)), p(n)
		case err != nil:
			return "", err
		}
		if err := p(n); err != nil {
			return "", err
		}
	}
}

func corrupt(d ota.Digest, cause error) error {
	return &ota.Error{
		Kind: ota.KindCorrupt,
		Code: "corrupt_blob",
		Text: fmt.Sprintf("the stored artifact %s is damaged, upload it again", d),
		Err:  cause,
	}
}
