package suit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// What lies where in an application for ESP-IDF (10.2).
const (
	espMagic            = 0xe9
	espHeader           = 24
	espSegment          = 8
	espDescription      = espHeader + espSegment // offset
	espDescriptionMagic = 0xabcd5432
	espDescriptionSize  = 256
	espMaxSegments      = 16
	espSeed             = 0xef // of the checksum
)

var espChips = map[uint16]string{0: "ESP32", 2: "ESP32-S2", 5: "ESP32-C3", 9: "ESP32-S3", 0x0c: "ESP32-C2", 0x0d: "ESP32-C6",
	0x10: "ESP32-H2", 0x12: "ESP32-P4", 0x14: "ESP32-C61", 0x17: "ESP32-C5", 0x19: "ESP32-H21", 0x1c: "ESP32-H4", 0x20: "ESP32-S31"}

// hasESPDescription tells an application from any file that happens to begin
// with the one byte that is its magic.
func (in *imageReader) hasESPDescription() bool {
	if in.size < espDescription+espDescriptionSize {
		return false
	}
	return binary.LittleEndian.Uint32(in.at(espDescription, 4)) == espDescriptionMagic
}

func (in *imageReader) esp() Image {
	h, d := in.at(0, espHeader), in.at(espDescription, espDescriptionSize)
	le := binary.LittleEndian
	e := &ESPImage{Segments: h[1], ChipID: le.Uint16(h[12:]), MinRevision: le.Uint16(h[15:]), MaxRevision: le.Uint16(h[17:]),
		HashAppended: h[23] == 1, SecureVersion: le.Uint32(d[4:]), Project: fixedText(d[48:80]),
		Built: strings.TrimSpace(fixedText(d[96:112]) + " " + fixedText(d[80:96])), IDFVersion: fixedText(d[112:144]), ELFSum: d[144:176]}
	e.Chip = espChips[e.ChipID]
	img := Image{Format: FormatESP, Version: fixedText(d[16:48]), ESP: e}
	if e.Chip == "" {
		e.Chip = fmt.Sprintf("chip %d", e.ChipID)
	}
	in.checkESP(&img)
	return img
}

// checkESP goes through the segments to the checksum, the last byte of a row
// of 16, and to the digest after it.
func (in *imageReader) checkESP(img *Image) {
	e := img.ESP
	if e.Segments == 0 || e.Segments > espMaxSegments {
		img.problem("it has %d segments, not 1 to %d", e.Segments, espMaxSegments)
		return
	}
	sum, at := checksum(espSeed), int64(espHeader)
	for range e.Segments {
		length := int64(binary.LittleEndian.Uint32(in.at(at+4, 4)))
		in.copyTo(&sum, at+espSegment, length)
		at += espSegment + length
	}
	at |= 15
	if got := in.at(at, 1)[0]; in.err == nil && got != byte(sum) {
		img.problem("its checksum is %02x, not %02x as it says", byte(sum), got)
	}
	if !e.HashAppended || in.err != nil {
		return
	}
	h := sha256.New()
	in.copyTo(h, 0, at+1)
	if want := in.at(at+1, sha256.Size); in.err == nil && !bytes.Equal(h.Sum(nil), want) {
		img.problem("its digest is not the one it carries")
	}
}

// checksum is the exclusive or of all bytes written to it.
type checksum byte

func (c *checksum) Write(b []byte) (int, error) {
	for _, x := range b {
		*c ^= checksum(x)
	}
	return len(b), nil
}

// fixedText is a text in a field of fixed length, ended by a zero byte.
func fixedText(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return clean(strings.ToValidUTF8(string(b), "?"))
}
