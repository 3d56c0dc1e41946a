package suit

import (
	"encoding/hex"
	"slices"
	"strings"
)

// ComponentID names a place of a device where an image goes.
type ComponentID []string // parts of any bytes

// String joins the parts with "/". Parts that are not printable ASCII are
// written as h'00'.
func (id ComponentID) String() string {
	parts := make([]string, len(id))
	for i, p := range id {
		parts[i] = p
		if p == "" || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }) {
			parts[i] = "h'" + hex.EncodeToString([]byte(p)) + "'"
		}
	}
	return strings.Join(parts, "/")
}

// ParsePart reads a part of a component's name as RIOT's tool does: an even
// number of hexadecimal digits stand for bytes, anything else for itself. In
// addition h'00' stands for bytes, and is what String writes.
func ParsePart(s string) string {
	digits := s
	if in, ok := strings.CutPrefix(s, "h'"); ok && strings.HasSuffix(in, "'") {
		digits = strings.TrimSuffix(in, "'")
	}
	if b, err := hex.DecodeString(digits); err == nil {
		return string(b)
	}
	return s
}

// Equal reports whether both name the same place.
func (id ComponentID) Equal(o ComponentID) bool { return slices.Equal(id, o) }

func readComponent(it item) (ComponentID, error) {
	parts, err := it.array()
	id := make(ComponentID, len(parts))
	for i := 0; err == nil && i < len(parts); i++ {
		var b []byte
		b, err = parts[i].bytes()
		id[i] = string(b)
	}
	return id, err
}

func appendComponent(b []byte, id ComponentID) []byte {
	b = appendHead(b, majorArray, uint64(len(id)))
	for _, p := range id {
		b = appendBytes(b, []byte(p))
	}
	return b
}
