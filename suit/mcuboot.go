package suit

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"github.com/google/uuid"
)

// What lies where in an image for MCUboot (10.1).
const (
	mcubootMagic     = 0x96f3b83d
	mcubootHeader    = 32
	mcubootTLV       = 0x6907
	mcubootProtected = 0x6908

	mcubootEncrypted   = 0x04 | 0x08
	mcubootNonBootable = 0x10

	tlvKeyHash    = 0x01
	tlvSHA256     = 0x10
	tlvSHA384     = 0x11
	tlvSHA512     = 0x12
	tlvPure       = 0x25 // the signature is of the image, not of its digest
	tlvDependency = 0x40
	tlvCounter    = 0x50
	tlvVendor     = 0x74
	tlvClass      = 0x75
)

var mcubootSignatures = map[uint16]string{0x20: "RSA-2048", 0x22: "ECDSA", 0x23: "RSA-3072", 0x24: "Ed25519"}

// What ends an image that was padded to its slot: for a flash that is written
// 8 bytes at a time, and for one whose writes are as long as the two bytes
// before say.
var (
	mcubootTrailer  = []byte{0x77, 0xc2, 0x95, 0xf3, 0x60, 0xd2, 0xef, 0x7f, 0x35, 0x52, 0x50, 0x0f, 0x2c, 0xb6, 0x79, 0x80}
	mcubootTrailerN = []byte{0x2d, 0xe1, 0x5d, 0x29, 0x41, 0x0b, 0x8d, 0x77, 0x67, 0x9c, 0x11, 0x0f, 0x1f, 0x8a}
)

// tlv is one entry after the image.
type tlv struct {
	kind  uint16
	value []byte
}

func (in *imageReader) mcuboot() Image {
	h := in.at(0, mcubootHeader)
	le := binary.LittleEndian
	m := &MCUboot{LoadAddress: le.Uint32(h[4:]), HeaderSize: le.Uint16(h[8:]), ProtectedSize: le.Uint16(h[10:]),
		ImageSize: le.Uint32(h[12:]), Flags: le.Uint32(h[16:])}
	m.Encrypted, m.Bootable = m.Flags&mcubootEncrypted != 0, m.Flags&mcubootNonBootable == 0
	img := Image{Format: FormatMCUboot, Version: mcubootVersion(h[20:28]), MCUboot: m}
	if m.HeaderSize < mcubootHeader {
		img.problem("its header is %d bytes long, not %d at the least", m.HeaderSize, mcubootHeader)
		return img
	}
	end := int64(m.HeaderSize) + int64(m.ImageSize)
	var entries []tlv
	if m.ProtectedSize > 0 {
		protected := in.tlvs(&img, end, mcubootProtected)
		entries = append(entries, protected...)
	}
	entries = append(entries, in.tlvs(&img, end+int64(m.ProtectedSize), mcubootTLV)...)
	for _, e := range entries {
		m.read(&img, e)
	}
	in.checkMCUboot(&img, entries, end+int64(m.ProtectedSize))
	in.trailer(m)
	return img
}

func mcubootVersion(v []byte) string {
	return fmt.Sprintf("%d.%d.%d+%d", v[0], v[1], binary.LittleEndian.Uint16(v[2:]), binary.LittleEndian.Uint32(v[4:]))
}

// tlvs reads an area of entries: magic, its length, and the entries.
func (in *imageReader) tlvs(img *Image, offset int64, magic uint16) (entries []tlv) {
	h := in.at(offset, 4)
	length := int(binary.LittleEndian.Uint16(h[2:]))
	switch {
	case in.err != nil:
		return nil
	case binary.LittleEndian.Uint16(h) != magic || length < 4:
		img.problem("there is no list %04x at %d", magic, offset)
		return nil
	case magic == mcubootProtected && length != int(img.MCUboot.ProtectedSize):
		img.problem("its protected list is %d bytes long, its header says %d", length, img.MCUboot.ProtectedSize)
	}
	b := in.at(offset+4, length-4)
	for len(b) >= 4 {
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			break
		}
		entries = append(entries, tlv{binary.LittleEndian.Uint16(b), b[4 : 4+n]})
		b = b[4+n:]
	}
	if len(b) > 0 {
		img.problem("its list %04x is not whole", magic)
	}
	return entries
}

func (m *MCUboot) read(img *Image, e tlv) {
	if name, ok := mcubootSignatures[e.kind]; ok {
		m.Signatures = append(m.Signatures, name)
		return
	}
	switch e.kind {
	case tlvKeyHash:
		m.KeyHash = e.value
	case tlvCounter:
		if len(e.value) != 4 {
			img.problem("its security counter is %d bytes long", len(e.value))
			return
		}
		n := binary.LittleEndian.Uint32(e.value)
		m.SecurityCounter = &n
	case tlvDependency:
		if len(e.value) != 12 {
			img.problem("a dependency is %d bytes long", len(e.value))
			return
		}
		m.Dependencies = append(m.Dependencies, fmt.Sprintf("image %d >= %s", e.value[0], mcubootVersion(e.value[4:])))
	case tlvVendor, tlvClass:
		id, err := uuid.FromBytes(e.value)
		if err != nil {
			img.problem("a vendor or class is %d bytes long, not 16", len(e.value))
			return
		}
		if e.kind == tlvVendor {
			m.Vendor = id
		} else {
			m.Class = id
		}
	}
}

// checkMCUboot compares the digest, which covers everything up to the list
// that it is in. That of an encrypted image is of what it was before.
func (in *imageReader) checkMCUboot(img *Image, entries []tlv, covered int64) {
	hashers := map[uint16]func() hash.Hash{tlvSHA256: sha256.New, tlvSHA384: sha512.New384, tlvSHA512: sha512.New}
	i := slices.IndexFunc(entries, func(e tlv) bool { return hashers[e.kind] != nil })
	switch {
	case in.err != nil || img.MCUboot.Encrypted:
		return
	case i < 0 && slices.ContainsFunc(entries, func(e tlv) bool { return e.kind == tlvPure }):
		return
	case i < 0:
		img.problem("it carries no digest of itself")
		return
	}
	h := hashers[entries[i].kind]()
	in.copyTo(h, 0, covered)
	if in.err == nil && !bytes.Equal(h.Sum(nil), entries[i].value) {
		img.problem("its digest is not the one it carries")
	}
}

// trailer looks at the end of an image that fills its slot: the magic, and
// before it as many bytes as are written at a time, the first of which says
// whether the image is for good.
func (in *imageReader) trailer(m *MCUboot) {
	const magic, longest = 16, 4096
	if in.err != nil || in.size < magic {
		return
	}
	end := in.at(in.size-magic, magic)
	align := int64(8)
	if !bytes.Equal(end, mcubootTrailer) {
		align = int64(binary.LittleEndian.Uint16(end))
		if !bytes.Equal(end[2:], mcubootTrailerN) || align == 0 || align > longest {
			return
		}
	}
	m.Padded = true
	m.Confirmed = in.at(in.size-magic-align, 1)[0] == 1
}
