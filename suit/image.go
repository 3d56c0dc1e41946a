package suit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// Image is what the header of a firmware image tells.
type Image struct {
	Format   string   // one of the constants below
	Version  string   // as its format writes it
	Problems []string // what is wrong with it; a device would refuse it

	MCUboot  *MCUboot
	ESP      *ESPImage
	RIOTBoot *RIOTBoot
}

// The formats that are recognised (section 10).
const (
	FormatMCUboot  = "mcuboot"
	FormatESP      = "esp-idf"
	FormatRIOTBoot = "riotboot"
)

// MCUboot is what is told by an image for MCUboot (10.1).
type MCUboot struct {
	LoadAddress     uint32
	HeaderSize      uint16
	ImageSize       uint32 // without header
	ProtectedSize   uint16 // of the protected TLVs
	Flags           uint32
	Encrypted       bool
	Bootable        bool
	KeyHash         []byte   // of the key it is signed by; nil if none is named
	Signatures      []string // their kinds
	SecurityCounter *uint32  // may not go down on a device
	Dependencies    []string // such as "image 1 >= 2.0.1+0"
	Vendor, Class   uuid.UUID
	Padded          bool // it fills its slot, with a trailer at the end
	Confirmed       bool // the trailer says that it is not a trial
}

// ESPImage is what is told by an application for ESP-IDF (10.2).
type ESPImage struct {
	ChipID        uint16
	Chip          string
	MinRevision   uint16 // major times 100 plus minor
	MaxRevision   uint16
	Segments      uint8
	HashAppended  bool
	Project       string
	IDFVersion    string
	Built         string // date and time as the compiler wrote them
	SecureVersion uint32
	ELFSum        []byte
}

// RIOTBoot is what is told by an image for riotboot (6.5).
type RIOTBoot struct {
	Version uint32
	Start   uint32 // address of the code: the slot's and the header's length
}

// ReadImage recognises an image by its first bytes and checks it: lengths,
// checksums and digests, but not signatures. What is wrong is told among
// Problems. It fails with KindNotFound if the format is none of those it
// knows, and with the reader's error.
func ReadImage(r io.ReaderAt, size int64) (Image, error) {
	var magic [4]byte
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), magic[:]); err != nil && !cut(err) {
		return Image{}, err
	}
	in := &imageReader{r: r, size: size}
	var img Image
	switch {
	case binary.LittleEndian.Uint32(magic[:]) == mcubootMagic:
		img = in.mcuboot()
	case string(magic[:]) == riotbootMagic:
		img = in.riotboot()
	case magic[0] == espMagic && in.hasESPDescription():
		img = in.esp()
	default:
		if in.err == nil {
			in.err = ota.Fail(ota.KindNotFound, "unknown_image", "the file is not a firmware image of a known format")
		}
	}
	if in.err != nil && !cut(in.err) {
		return Image{}, in.err
	}
	if in.err != nil {
		img.Problems = append(img.Problems, "it is cut: "+in.err.Error())
	}
	return img, nil
}

func cut(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// imageReader reads parts of an image and keeps the first error, after which
// everything is zero.
type imageReader struct {
	r    io.ReaderAt
	size int64
	err  error
}

// at returns n bytes from an offset.
func (in *imageReader) at(offset int64, n int) []byte {
	b := make([]byte, n)
	if in.err != nil {
		return b
	}
	if offset < 0 || offset > in.size-int64(n) {
		in.err = fmt.Errorf("%d bytes at %d are beyond its end at %d: %w", n, offset, in.size, io.ErrUnexpectedEOF)
		return b
	}
	if _, err := in.r.ReadAt(b, offset); err != nil && !errors.Is(err, io.EOF) {
		in.err = err
	}
	return b
}

// copyTo streams n bytes from an offset.
func (in *imageReader) copyTo(w io.Writer, offset, n int64) {
	if in.err != nil {
		return
	}
	if offset < 0 || n < 0 || offset > in.size-n {
		in.err = fmt.Errorf("%d bytes at %d are beyond its end at %d: %w", n, offset, in.size, io.ErrUnexpectedEOF)
		return
	}
	_, in.err = io.Copy(w, io.NewSectionReader(in.r, offset, n))
}

func (img *Image) problem(format string, args ...any) {
	img.Problems = append(img.Problems, fmt.Sprintf(format, args...))
}
