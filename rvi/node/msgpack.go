package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"
)

// Messages in msgpack are turned into JSON text as they come and back as they
// go, so that the rest of the node knows one form. The profile is that of the
// Erlang library in its old mode (rvi.md 3.2), which no Go library writes: text
// is raw, and str8 never appears, as that library would wait for more for ever.

var errMsgpack = errors.New("not msgpack of the RVI profile")

type kind byte

const (
	kindNil kind = iota
	kindBool
	kindInt
	kindUint
	kindFloat
	kindText
	kindList
	kindMap
)

// head is the beginning of one msgpack value.
type head struct {
	kind kind
	size int    // bytes of the head itself
	n    int    // bytes of text, elements of a list, pairs of a map
	bits uint64 // a number's
}

// readHead reads the head of the value that b begins with; ok is false if b
// holds only a part of it.
func readHead(b []byte) (h head, ok bool, err error) {
	if len(b) == 0 {
		return head{}, false, nil
	}
	switch c := b[0]; {
	case c < 0x80:
		return head{kind: kindUint, size: 1, bits: uint64(c)}, true, nil
	case c < 0x90:
		return head{kind: kindMap, size: 1, n: int(c & 15)}, true, nil
	case c < 0xa0:
		return head{kind: kindList, size: 1, n: int(c & 15)}, true, nil
	case c < 0xc0:
		return head{kind: kindText, size: 1, n: int(c & 31)}, true, nil
	case c >= 0xe0:
		return head{kind: kindInt, size: 1, bits: uint64(int64(int8(c)))}, true, nil
	}
	return readLongHead(b)
}

// longHeads are the types with a number of their own after the first byte, by
// that byte minus 0xc0. Extensions, 0xc1 and 0xc7 to 0xc9 and 0xd4 to 0xd8, are none.
var longHeads = [32]struct {
	kind  kind
	width int
}{
	0x00: {kindNil, 0}, 0x02: {kindBool, 0}, 0x03: {kindBool, 0},
	0x04: {kindText, 1}, 0x05: {kindText, 2}, 0x06: {kindText, 4},
	0x0a: {kindFloat, 4}, 0x0b: {kindFloat, 8},
	0x0c: {kindUint, 1}, 0x0d: {kindUint, 2}, 0x0e: {kindUint, 4}, 0x0f: {kindUint, 8},
	0x10: {kindInt, 1}, 0x11: {kindInt, 2}, 0x12: {kindInt, 4}, 0x13: {kindInt, 8},
	0x19: {kindText, 1}, 0x1a: {kindText, 2}, 0x1b: {kindText, 4},
	0x1c: {kindList, 2}, 0x1d: {kindList, 4}, 0x1e: {kindMap, 2}, 0x1f: {kindMap, 4},
}

func readLongHead(b []byte) (head, bool, error) {
	t := longHeads[b[0]-0xc0]
	if t.kind == kindNil && b[0] != 0xc0 {
		return head{}, false, errMsgpack
	}
	h := head{kind: t.kind, size: 1 + t.width}
	if len(b) < h.size {
		return head{}, false, nil
	}
	h.bits = number(b[1:h.size])
	switch h.kind {
	case kindBool:
		h.bits = uint64(b[0] & 1)
	case kindFloat:
		if t.width == 4 {
			h.bits = math.Float64bits(float64(math.Float32frombits(uint32(h.bits))))
		}
	case kindInt:
		shift := 64 - 8*t.width
		h.bits = uint64(int64(h.bits<<shift) >> shift)
	case kindText, kindList, kindMap:
		if h.n = int(h.bits); h.bits > math.MaxInt32 {
			return head{}, false, errMsgpack
		}
	}
	return h, true, nil
}

func number(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// fromMsgpack appends one complete msgpack value to dst as JSON, and returns
// what of b follows it.
func fromMsgpack(dst, b []byte, depth int) (out, rest []byte, err error) {
	h, ok, err := readHead(b)
	if err != nil || !ok {
		return nil, nil, errMsgpack
	}
	b = b[h.size:]
	switch h.kind {
	case kindNil:
		return append(dst, "null"...), b, nil
	case kindBool:
		return strconv.AppendBool(dst, h.bits == 1), b, nil
	case kindInt:
		return strconv.AppendInt(dst, int64(h.bits), 10), b, nil
	case kindUint:
		return strconv.AppendUint(dst, h.bits, 10), b, nil
	case kindFloat:
		return fromFloat(dst, math.Float64frombits(h.bits), b)
	case kindText:
		if h.n > len(b) || !utf8.Valid(b[:h.n]) {
			return nil, nil, errMsgpack
		}
		return appendText(dst, b[:h.n]), b[h.n:], nil
	}
	if depth == 0 {
		return nil, nil, errDeep
	}
	return fromList(dst, b, h, depth-1)
}

func fromFloat(dst []byte, f float64, rest []byte) ([]byte, []byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, nil, errMsgpack
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64), rest, nil
}

func fromList(dst, b []byte, h head, depth int) (out, rest []byte, err error) {
	brackets := "[]"
	if h.kind == kindMap {
		brackets = "{}"
	}
	dst = append(dst, brackets[0])
	for i := range h.n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if h.kind == kindMap {
			if key, ok, err := readHead(b); err != nil || !ok || key.kind != kindText {
				return nil, nil, errMsgpack
			}
			if dst, b, err = fromMsgpack(dst, b, depth); err != nil {
				return nil, nil, err
			}
			dst = append(dst, ':')
		}
		if dst, b, err = fromMsgpack(dst, b, depth); err != nil {
			return nil, nil, err
		}
	}
	return append(dst, brackets[1]), b, nil
}

// msgpack adds a checked JSON value as msgpack.
func (m *letter) msgpack(value []byte) {
	value = value[skipSpace(value, 0):]
	switch value[0] {
	case 'n':
		m.buf = append(m.buf, 0xc0)
	case 'f':
		m.buf = append(m.buf, 0xc2)
	case 't':
		m.buf = append(m.buf, 0xc3)
	case '"':
		m.raw(value)
	case '[':
		n := 0
		elements(value, func([]byte) { n++ })
		m.buf = appendHead(m.buf, n, 0x90, 16, 0xdc)
		elements(value, m.msgpack)
	case '{':
		n := 0
		members(value, func(string, []byte) { n++ })
		m.buf = appendHead(m.buf, n, 0x80, 16, 0xde)
		members(value, func(name string, v []byte) {
			m.buf = appendRaw(m.buf, name)
			m.msgpack(v)
		})
	default:
		m.buf = appendNumber(m.buf, value)
	}
}

// raw adds a checked JSON string, without a copy if nothing in it is escaped.
func (m *letter) raw(value []byte) {
	inner := trimSpace(value)
	if inner = inner[1 : len(inner)-1]; bytes.IndexByte(inner, '\\') >= 0 {
		s, _ := text(trimSpace(value))
		inner = []byte(s)
	}
	m.buf = appendHead(m.buf, len(inner), 0xa0, 32, 0xda)
	m.text(inner)
}

// appendHead writes a count in its shortest form: in the first byte, in 16 bits
// or in 32.
func appendHead(dst []byte, n int, small byte, limit int, wide byte) []byte {
	switch {
	case n < limit:
		return append(dst, small|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, wide), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, wide+1), uint32(n))
}

// appendRaw writes text or bytes as raw, skipping over str8 (rvi.md 3.2).
func appendRaw[T string | []byte](dst []byte, s T) []byte {
	return append(appendHead(dst, len(s), 0xa0, 32, 0xda), s...)
}

func appendNumber(dst, value []byte) []byte {
	s := string(trimSpace(value))
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return appendUint(dst, u)
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return appendInt(dst, i)
	}
	f, _ := strconv.ParseFloat(s, 64) // what does not fit is the nearest infinity
	return binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(f))
}

func appendUint(dst []byte, u uint64) []byte {
	switch {
	case u < 0x80:
		return append(dst, byte(u))
	case u <= math.MaxUint8:
		return append(dst, 0xcc, byte(u))
	case u <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(u))
	case u <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(u))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), u)
}

func appendInt(dst []byte, i int64) []byte {
	switch {
	case i >= 0:
		return appendUint(dst, uint64(i))
	case i >= -32:
		return append(dst, byte(i))
	case i >= math.MinInt8:
		return append(dst, 0xd0, byte(i))
	case i >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, 0xd1), uint16(i))
	case i >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(i))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(i))
}

func trimSpace(b []byte) []byte {
	b = b[skipSpace(b, 0):]
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	return b
}
