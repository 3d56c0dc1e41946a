package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// part is the beginning of an image on disk, and its hash so far.
type part struct {
	folder    *folder
	name      string
	file      *os.File
	sum       hash.Hash
	size      int64
	most      int64 // it may have so many bytes
	inherited bool  // an earlier run wrote some of it, maybe not onto the disk
	beat      func()
	closed    bool
}

// openPart opens or makes a part file. What it holds is kept if keep is set,
// and read once for its hash.
func openPart(d *folder, name string, keep bool, beat func()) (*part, error) {
	f, err := d.open(name, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	p := &part{folder: d, name: name, file: f, beat: beat}
	size := int64(0)
	if keep {
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		size = info.Size()
	}
	if err := p.rewind(size); err != nil {
		f.Close()
		return nil, err
	}
	p.inherited = size > 0
	return p, nil
}

// rewind keeps the first size bytes only.
func (p *part) rewind(size int64) error {
	if err := p.file.Truncate(size); err != nil {
		return err
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	p.sum = sha256.New()
	n, err := io.Copy(p.sum, beating{p.file, p.beat})
	p.size = n
	if n == 0 {
		p.inherited = false
	}
	return err
}

// fill appends what r yields until EOF, and calls beat before each read. It
// fails with a *failure if the disk does, and with r's error.
func (p *part) fill(r io.Reader, beat func()) error {
	buf := make([]byte, 128<<10)
	for {
		beat()
		n, err := r.Read(buf)
		if n > 0 {
			if err := p.append(buf[:n]); err != nil {
				return localFailure(err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *part) append(b []byte) error {
	if p.size+int64(len(b)) > p.most {
		return fmt.Errorf("the image is larger than policy.disk_quota or the disk allows: %w", unix.EDQUOT)
	}
	n, err := p.file.Write(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	return err
}

func (p *part) digest() ota.Digest { return ota.Digest(hex.EncodeToString(p.sum.Sum(nil))) }

// publish gives the finished file its name, durably. Installers may run as
// another user, so everyone may read it.
func (p *part) publish(d *folder, as string) error {
	if err := p.file.Chmod(0o644); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := p.close(); err != nil {
		return err
	}
	if err := p.folder.rename(p.name, d, as); err != nil {
		return err
	}
	return d.sync()
}

func (p *part) close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return p.file.Close()
}

// digestOf reads r to its end.
func digestOf(ctx context.Context, r io.Reader, beat func()) (int64, ota.Digest, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, beating{r, beat})
	if err == nil {
		err = ctx.Err()
	}
	return n, ota.Digest(hex.EncodeToString(sum.Sum(nil))), err
}

// beating gives a sign of life with every read.
type beating struct {
	io.Reader
	beat func()
}

func (b beating) Read(p []byte) (int, error) {
	b.beat()
	return b.Reader.Read(p)
}
