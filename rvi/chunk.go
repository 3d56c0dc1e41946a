package rvi

import (
	"bytes"
	"encoding/base64"

	"github.com/updraft-ota/updraft/ota"
)

// Chunk is a piece of a file (rvi.md 4.4).
type Chunk struct {
	Unit   Unit
	Index  int
	Bytes  []byte
	SHA256 ota.Digest // of Bytes; ours, and optional (rvi.md 6.3)
}

func (Chunk) Service() Service { return ServiceChunk }
func (Chunk) toDevice()        {}

func readChunk(f fields) DeviceMessage {
	m := Chunk{Unit: f.unit(), Index: int(min(f.number("index", maxInteger), MaxChunks+1)), SHA256: f.digest()}
	v := f.need("bytes")
	if v != nil && v[0] != '"' {
		f.wrong("bytes", "a string")
	}
	if *f.err == nil {
		m.Bytes, *f.err = readBase64(v)
	}
	return m
}

// longestBytes is the base64 of a full chunk with a line break, escaped in
// JSON, every four digits.
const longestBytes = 3 * ((ChunkSize + 2) / 3 * 4)

// readBase64 reads a JSON string of base64: either alphabet, with or without
// padding, with line breaks (rvi.md 4.4).
func readBase64(v []byte) ([]byte, error) {
	if len(v) > longestBytes {
		return nil, badSize()
	}
	digits := v[1 : len(v)-1]
	if bytes.IndexByte(digits, '\\') >= 0 {
		s, ok := text(v)
		if !ok {
			return nil, badJSON()
		}
		digits = []byte(s)
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(digits))+3) // unpadded digits still write a whole quantum
	if n, err := base64.StdEncoding.Decode(out, digits); err == nil {
		return out[:n], nil
	}
	n, err := base64.RawStdEncoding.Decode(out, plainBase64(digits))
	if err != nil {
		return nil, ota.Fail(ota.KindConflict, "bad_base64", "bytes is not base64")
	}
	return out[:n], nil
}

// plainBase64 puts digits into the standard alphabet, without padding and line breaks.
func plainBase64(digits []byte) []byte {
	plain := bytes.Map(func(r rune) rune {
		switch r {
		case '-':
			return '+'
		case '_':
			return '/'
		case '\r', '\n':
			return -1
		}
		return r
	}, digits)
	return bytes.TrimSuffix(bytes.TrimSuffix(plain, []byte("=")), []byte("="))
}

func badSize() error {
	return ota.Fail(ota.KindConflict, "bad_chunk_size", "every chunk but the last has exactly %d bytes", ChunkSize)
}

func (m Chunk) AppendParams(b []byte) []byte {
	w := params(b)
	w.number("index", int64(m.Index))
	w.key("bytes")
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, m.Bytes)
	w.b = append(w.b, '"')
	w.unit(m.Unit)
	w.maybe("sha256", string(m.SHA256))
	return w.done()
}
