package suit

import "encoding/binary"

const (
	riotbootMagic  = "RIOT"
	riotbootHeader = 16    // bytes used of it
	riotbootMin    = 0x100 // bytes it is padded to, at the least
	riotbootMax    = 0x800
)

func (in *imageReader) riotboot() Image {
	h := in.at(0, riotbootHeader)
	b := &RIOTBoot{Version: binary.LittleEndian.Uint32(h[4:]), Start: binary.LittleEndian.Uint32(h[8:])}
	img := Image{Format: FormatRIOTBoot, Version: valueText(uint64(b.Version)), RIOTBoot: b}
	if got, want := fletcher32(h[:12]), binary.LittleEndian.Uint32(h[12:]); in.err == nil && got != want {
		img.problem("the checksum of its header is %08x, not %08x", got, want)
	}
	return img
}

// InSlot reports whether the image is linked for the slot at an offset of
// flash; the length of the header differs by CPU.
func (b RIOTBoot) InSlot(offset uint64) bool {
	start := uint64(b.Start)
	return start >= offset && start-offset >= riotbootMin && start-offset <= riotbootMax
}

// fletcher32 sums 16-bit little-endian words, as RIOT does.
func fletcher32(b []byte) uint32 {
	sum1, sum2 := uint32(0xffff), uint32(0xffff)
	for ; len(b) >= 2; b = b[2:] {
		sum1 += uint32(binary.LittleEndian.Uint16(b))
		sum2 += sum1
		sum1, sum2 = sum1&0xffff+sum1>>16, sum2&0xffff+sum2>>16
	}
	sum1, sum2 = sum1&0xffff+sum1>>16, sum2&0xffff+sum2>>16
	return sum2<<16 | sum1
}
