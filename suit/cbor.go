package suit

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/updraft-ota/updraft/ota"
)

// Limits of what is read. A device has far less.
const (
	MaxEnvelope = 4 << 20  // bytes, integrated payloads included
	MaxManifest = 64 << 10 // bytes, and as many for each part beside it
	maxDepth    = 16       // arrays, maps and tags in each other
	maxNested   = 8        // sequences in sequences
	maxElements = 4096     // of one array
	maxPairs    = 1024     // of one map
	maxParams   = 32       // of one component
	maxTargets  = 256      // components, and as many dependencies
)

// The major types of CBOR (RFC 8949 3.1).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

// strict reads what will be relied on: in one form only, and within limits.
var strict = decoder(cbor.DecOptions{
	MaxNestedLevels: maxDepth, MaxArrayElements: maxElements, MaxMapPairs: maxPairs,
	IndefLength: cbor.IndefLengthForbidden, DupMapKey: cbor.DupMapKeyEnforcedAPF,
})

// lenient only recognises: a reader less strict than ours could take for a
// manifest what strict refuses to read.
var lenient = decoder(cbor.DecOptions{MaxNestedLevels: 1024, MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32})

func decoder(o cbor.DecOptions) cbor.DecMode {
	m, err := o.DecMode()
	if err != nil {
		panic(err) // the options above are wrong
	}
	return m
}

// item is one CBOR data item that was found to be well-formed.
type item []byte

// pair is one entry of a map, in the order written.
type pair struct{ key, value item }

// whole reads bytes that must hold one item and nothing after it. It fails
// with KindInvalid, also if a map anywhere in it has a key twice.
func whole(data []byte) (item, error) {
	if err := strict.Wellformed(data); err != nil {
		return nil, ota.Invalid("not CBOR that can be read: %v", err)
	}
	return item(data), unique(item(data))
}

// unique looks for keys given twice, everywhere in an item.
func unique(it item) error {
	switch it.major() {
	case majorTag:
		_, in, err := it.tag()
		if err != nil {
			return err
		}
		return unique(in)
	case majorArray:
		elements, err := it.array()
		for i := 0; err == nil && i < len(elements); i++ {
			err = unique(elements[i])
		}
		return err
	case majorMap:
		pairs, err := it.pairs()
		for i := 0; err == nil && i < len(pairs); i++ {
			if err = unique(pairs[i].key); err == nil {
				err = unique(pairs[i].value)
			}
		}
		return err
	}
	_, _, err := it.head()
	return err
}

func (it item) major() byte { return it[0] >> 5 }
func (it item) null() bool  { return len(it) == 1 && it[0] == 0xf6 }
func (it item) isTrue() bool {
	return len(it) == 1 && it[0] == 0xf5
}

// head reads the number an item begins with, and tells where it ends. A
// number must be written in the shortest form, or one key could be written
// in two ways.
func (it item) head() (n uint64, size int, err error) {
	info := it[0] & 0x1f
	if info < 24 {
		return uint64(info), 1, nil
	}
	size = 1 + 1<<(info-24)
	for _, b := range it[1:size] {
		n = n<<8 | uint64(b)
	}
	shortest := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}
	if it.major() != majorSimple && n < shortest[info-24] {
		return 0, 0, ota.Invalid("a number is not written in the shortest form")
	}
	return n, size, nil
}

func (it item) expect(major byte, what string) (n uint64, size int, err error) {
	if it.major() != major {
		return 0, 0, ota.Invalid("expected %s, found %s", what, it.kind())
	}
	return it.head()
}

func (it item) kind() string {
	return [...]string{"an unsigned number", "a negative number", "a byte string", "a text", "an array", "a map", "a tag", "a simple value"}[it.major()]
}

func (it item) uint() (uint64, error) {
	n, _, err := it.expect(majorUint, "an unsigned number")
	return n, err
}

func (it item) int() (int64, error) {
	if it.major() != majorUint && it.major() != majorNegative {
		return 0, ota.Invalid("expected a number, found %s", it.kind())
	}
	n, _, err := it.head()
	if err == nil && n > math.MaxInt64 {
		err = ota.Invalid("number %d is too large", n)
	}
	if it.major() == majorNegative {
		return -1 - int64(n), err
	}
	return int64(n), err
}

func (it item) bytes() ([]byte, error) {
	_, size, err := it.expect(majorBytes, "a byte string")
	if err != nil {
		return nil, err
	}
	return it[size:], nil
}

func (it item) text() (string, error) {
	_, size, err := it.expect(majorText, "a text")
	if err == nil && !utf8.Valid(it[size:]) {
		err = ota.Invalid("a text is not UTF-8")
	}
	if err != nil {
		return "", err
	}
	return string(it[size:]), nil
}

func (it item) bool() (bool, error) {
	switch {
	case it.isTrue():
		return true, nil
	case len(it) == 1 && it[0] == 0xf4:
		return false, nil
	}
	return false, ota.Invalid("expected true or false, found %s", it.kind())
}

func (it item) tag() (number uint64, in item, err error) {
	number, size, err := it.expect(majorTag, "a tag")
	if err != nil {
		return 0, nil, err
	}
	return number, it[size:], nil
}

func (it item) array() ([]item, error) {
	n, size, err := it.expect(majorArray, "an array")
	if err != nil {
		return nil, err
	}
	return split(it[size:], n)
}

// ints reads an array of numbers.
func (it item) ints() ([]int64, error) {
	elements, err := it.array()
	numbers := make([]int64, len(elements))
	for i := 0; err == nil && i < len(elements); i++ {
		numbers[i], err = elements[i].int()
	}
	return numbers, err
}

func (it item) pairs() ([]pair, error) {
	n, size, err := it.expect(majorMap, "a map")
	if err != nil {
		return nil, err
	}
	items, err := split(it[size:], 2*n)
	if err != nil {
		return nil, err
	}
	pairs := make([]pair, n)
	seen := make(map[string]bool, n)
	for i := range pairs {
		pairs[i] = pair{items[2*i], items[2*i+1]}
		if key := string(pairs[i].key); seen[key] {
			return nil, ota.Invalid("a map has the key %s twice", diagnose(pairs[i].key))
		} else {
			seen[key] = true
		}
	}
	return pairs, nil
}

// split cuts n well-formed items that follow each other.
func split(data []byte, n uint64) ([]item, error) {
	items := make([]item, 0, min(n, maxElements))
	for range n {
		rest, err := strict.UnmarshalFirst(data, new(skipped))
		if err != nil {
			return nil, ota.Invalid("not CBOR that can be read: %v", err)
		}
		items = append(items, item(data[:len(data)-len(rest)]))
		data = rest
	}
	return items, nil
}

// skipped takes any item and keeps nothing of it.
type skipped struct{}

func (*skipped) UnmarshalCBOR([]byte) error { return nil }

// diagnose writes an item as people read CBOR (RFC 8949 8).
func diagnose(it []byte) string {
	s, err := cbor.Diagnose(it)
	if err != nil {
		return fmt.Sprintf("h'%x'", it)
	}
	return s
}

// The writing half. Maps are written by whoever knows the order of their
// keys; everything is in the shortest form.

func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, majorNegative, uint64(-1-n))
	}
	return appendHead(b, majorUint, uint64(n))
}

func appendBytes(b, s []byte) []byte { return append(appendHead(b, majorBytes, uint64(len(s))), s...) }

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, majorText, uint64(len(s))), s...)
}

const (
	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
)

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, cborTrue)
	}
	return append(b, cborFalse)
}
