package resource

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
)

// What devices say and are told is one flat map of CBOR (RFC 8949), from small
// numbers to numbers, texts and bytes.

// The major types that occur.
const (
	majorUint  = 0
	majorBytes = 2
	majorText  = 3
	majorMap   = 5
)

// entry is one pair of a map: value is a uint64, a string or a []byte.
type entry struct {
	key   uint64
	value any
}

func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// encode writes a map.
func encode(entries ...entry) []byte {
	b := appendHead(nil, majorMap, uint64(len(entries)))
	for _, e := range entries {
		b = appendHead(b, majorUint, e.key)
		switch v := e.value.(type) {
		case uint64:
			b = appendHead(b, majorUint, v)
		case string:
			b = append(appendHead(b, majorText, uint64(len(v))), v...)
		case []byte:
			b = append(appendHead(b, majorBytes, uint64(len(v))), v...)
		}
	}
	return b
}

var errNotCBOR = ota.Invalid("expected a map of CBOR from numbers to numbers, texts and bytes")

// head reads the beginning of an item. Indefinite lengths are refused.
func head(b []byte) (major byte, n uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, errNotCBOR
	}
	major, low, b := b[0]>>5, b[0]&31, b[1:]
	if low < 24 {
		return major, uint64(low), b, nil
	}
	size := 1 << (low - 24)
	if low > 27 || len(b) < size {
		return 0, 0, nil, errNotCBOR
	}
	var wide [8]byte
	copy(wide[8-size:], b[:size])
	return major, binary.BigEndian.Uint64(wide[:]), b[size:], nil
}

// maxEntries bounds a map.
const maxEntries = 16

// decode reads a map that is all there is. It fails with KindInvalid.
func decode(b []byte) (map[uint64]any, error) {
	major, n, b, err := head(b)
	if err != nil || major != majorMap || n > maxEntries {
		return nil, errNotCBOR
	}
	entries := make(map[uint64]any, n)
	for range n {
		var key uint64
		if major, key, b, err = head(b); err != nil || major != majorUint {
			return nil, errNotCBOR
		}
		if _, twice := entries[key]; twice {
			return nil, ota.Invalid("key %d is there twice", key)
		}
		if entries[key], b, err = value(b); err != nil {
			return nil, err
		}
	}
	if len(b) > 0 {
		return nil, errNotCBOR
	}
	return entries, nil
}

func value(b []byte) (any, []byte, error) {
	major, n, b, err := head(b)
	switch {
	case err != nil:
		return nil, nil, err
	case major == majorUint:
		return n, b, nil
	case n > uint64(len(b)):
		return nil, nil, errNotCBOR
	case major == majorBytes:
		return b[:n], b[n:], nil
	case major == majorText && utf8.Valid(b[:n]):
		return string(b[:n]), b[n:], nil
	}
	return nil, nil, errNotCBOR
}

// number reads a number a map may hold, nil if it does not.
func number(entries map[uint64]any, key uint64) (*uint64, error) {
	v, ok := entries[key]
	if !ok {
		return nil, nil
	}
	n, ok := v.(uint64)
	if !ok {
		return nil, ota.Invalid("key %d: expected a number", key)
	}
	return &n, nil
}

// text reads a text a map may hold, "" if it does not.
func text(entries map[uint64]any, key uint64) (string, error) {
	v, ok := entries[key]
	s, is := v.(string)
	if ok && !is {
		return "", ota.Invalid("key %d: expected a text", key)
	}
	return s, nil
}
