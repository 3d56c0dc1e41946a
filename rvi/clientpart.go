package rvi

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// partFile is a file whose chunks come in any order. Each lies where it belongs.
// After the place of the last there is a table, for each chunk its length plus
// one and the CRC-32C of its index and content, zero for one that never came: a
// chunk counts only if it fits its line. So it does not matter which of the two
// a crash left on the disk, and one flush makes both durable.
type partFile struct {
	*os.File
	chunks, chunkSize int
}

const partLine = 8 // bytes of a line of the table

// diskReserve is how much of the disk transfers leave to others, in bytes.
const diskReserve = 8 << 20

func partName(u Unit) string { return string(u.ID()) + ".part" }

// newPart makes an empty part file in the place of one that may be there. It
// fails with KindNoSpace if the disk, which has room for so many bytes, has none
// for all of it.
func newPart(d *folder, s Start, chunkSize int, room int64) (*partFile, error) {
	if err := d.remove(partName(s.Unit)); err != nil {
		return nil, err
	}
	size := int64(s.Chunks) * int64(chunkSize+partLine)
	if size > room-diskReserve {
		return nil, noSpace(unix.ENOSPC)
	}
	f, err := d.open(partName(s.Unit), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, noSpace(err)
	}
	if size > 0 {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		err = f.Truncate(size)
	}
	if err == nil {
		err = errors.Join(f.Sync(), d.dir.Sync())
	}
	if err != nil {
		return nil, errors.Join(noSpace(err), f.Close(), d.remove(partName(s.Unit)))
	}
	return &partFile{f, s.Chunks, chunkSize}, nil
}

// oldPart opens what was there before a restart.
func oldPart(d *folder, s Start, chunkSize int) (*partFile, error) {
	f, err := d.open(partName(s.Unit), unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	return &partFile{f, s.Chunks, chunkSize}, nil
}

// noSpace gives a full disk its kind.
func noSpace(err error) error {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, full) {
			return &ota.Error{Kind: ota.KindNoSpace, Code: "no_space", Text: "the disk has no room for the file", Err: err}
		}
	}
	return err
}

func (p *partFile) place(index int) int64 { return int64(index-1) * int64(p.chunkSize) }

func (p *partFile) line(index int) int64 {
	return int64(p.chunks)*int64(p.chunkSize) + int64(index-1)*partLine
}

// put writes a chunk; it is durable after flush.
func (p *partFile) put(index int, b []byte) error {
	if _, err := p.WriteAt(b, p.place(index)); err != nil {
		return noSpace(err)
	}
	var line [partLine]byte
	binary.LittleEndian.PutUint32(line[:], uint32(len(b)+1))
	binary.LittleEndian.PutUint32(line[4:], chunkSum(index, b))
	_, err := p.WriteAt(line[:], p.line(index))
	return noSpace(err)
}

func (p *partFile) flush() error { return noSpace(unix.Fdatasync(int(p.Fd()))) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func chunkSum(index int, b []byte) uint32 {
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(index))
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, b)
}

// scan finds the chunks that are there, and the length of the last one of the
// file, -1 if that is not.
func (p *partFile) scan() (held Chunks, last int64, err error) {
	last = -1
	table := make([]byte, p.chunks*partLine)
	if _, err := p.ReadAt(table, p.line(1)); err != nil {
		return held, last, fmt.Errorf("%s: %w", p.Name(), err)
	}
	buf := make([]byte, p.chunkSize)
	for i := 1; i <= p.chunks; i++ {
		line := table[(i-1)*partLine:]
		n := int64(binary.LittleEndian.Uint32(line)) - 1
		if n < 0 || n > int64(p.chunkSize) {
			continue
		}
		if _, err := p.ReadAt(buf[:n], p.place(i)); err != nil || chunkSum(i, buf[:n]) != binary.LittleEndian.Uint32(line[4:]) {
			continue
		}
		held.Add(i)
		if i == p.chunks {
			last = n
		}
	}
	return held, last, nil
}

// sums reads the whole file.
func (p *partFile) sums(size int64) (ota.Sums, error) {
	s1, s2 := sha1.New(), sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(s1, s2), onlyReader{io.NewSectionReader(p, 0, size)}, make([]byte, 128<<10))
	return ota.Sums{Size: n, SHA1: hex.EncodeToString(s1.Sum(nil)), SHA256: ota.Digest(hex.EncodeToString(s2.Sum(nil)))}, err
}

// onlyReader hides what else a reader can do.
type onlyReader struct{ io.Reader }
