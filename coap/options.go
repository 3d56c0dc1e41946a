package coap

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// maxOptions is how many options a message may have. The longest request an
// update server gets has a dozen.
const maxOptions = 64

// Reasons why a message is not one; all of them are format errors
// (RFC 7252 3).
var (
	errTruncated  = errors.New("coap: the message ends in the middle of something")
	errReserved   = errors.New("coap: the message uses a reserved value")
	errNoPayload  = errors.New("coap: a payload marker without a payload")
	errTooMany    = errors.New("coap: more than 64 options")
	errEmptyBytes = errors.New("coap: an empty message with something in it")
)

// Options are the options of a message in the order of their numbers. Values
// of parsed options lie in the datagram they came in.
type Options []Option

// Get returns the first value of an option.
func (o Options) Get(id OptionID) (value []byte, ok bool) {
	for i := range o {
		if o[i].ID == id {
			return o[i].Value, true
		}
	}
	return nil, false
}

// Uint returns the first value of an option as the number it is. More than
// four bytes are no number, as if the option were absent.
func (o Options) Uint(id OptionID) (v uint32, ok bool) {
	value, ok := o.Get(id)
	if !ok || len(value) > 4 {
		return 0, false
	}
	for _, b := range value {
		v = v<<8 | uint32(b)
	}
	return v, true
}

// Add adds an option behind those with the same number. The value is kept,
// not copied.
func (o *Options) Add(id OptionID, value []byte) {
	i := len(*o)
	for i > 0 && (*o)[i-1].ID > id {
		i--
	}
	*o = slices.Insert(*o, i, Option{id, value})
}

// AddUint adds an option whose value is a number, in as few bytes as it needs.
func (o *Options) AddUint(id OptionID, v uint32) { o.Add(id, appendUint(nil, v)) }

// AddString adds an option whose value is text.
func (o *Options) AddString(id OptionID, s string) { o.Add(id, []byte(s)) }

// Set replaces all options of a number by one.
func (o *Options) Set(id OptionID, value []byte) {
	o.Del(id)
	o.Add(id, value)
}

// SetUint replaces all options of a number by one whose value is a number.
func (o *Options) SetUint(id OptionID, v uint32) { o.Set(id, appendUint(nil, v)) }

// Del removes all options of a number.
func (o *Options) Del(id OptionID) {
	*o = slices.DeleteFunc(*o, func(opt Option) bool { return opt.ID == id })
}

// AddTarget adds Uri-Path and Uri-Query options for a path such as
// "/a/b?c=d&e". Nothing in it is unescaped.
func (o *Options) AddTarget(target string) {
	path, query, asked := strings.Cut(target, "?")
	path = strings.TrimPrefix(path, "/")
	if path != "" {
		for segment := range strings.SplitSeq(path, "/") {
			o.AddString(URIPath, segment)
		}
	}
	if !asked {
		return
	}
	for q := range strings.SplitSeq(query, "&") {
		o.AddString(URIQuery, q)
	}
}

// appendPath appends the path as /a/b. A segment that contains slashes counts
// as several, which is how some clients send theirs (coap-suit.md 10.5).
func (o Options) appendPath(b []byte) []byte {
	start := len(b)
	for i := range o {
		if o[i].ID == URIPath {
			b = append(b, '/')
			b = append(b, o[i].Value...)
		}
	}
	if len(b) == start {
		b = append(b, '/')
	}
	return b
}

// clone copies options out of the datagram they lie in.
func (o Options) clone() Options {
	size := 0
	for i := range o {
		size += len(o[i].Value)
	}
	buf := make([]byte, 0, size)
	c := make(Options, len(o))
	for i := range o {
		start := len(buf)
		buf = append(buf, o[i].Value...)
		c[i] = Option{o[i].ID, buf[start:len(buf):len(buf)]}
	}
	return c
}

// appendUint appends v in as few bytes as it needs, none for 0.
func appendUint(b []byte, v uint32) []byte {
	var full [4]byte
	binary.BigEndian.PutUint32(full[:], v)
	i := 0
	for i < 4 && full[i] == 0 {
		i++
	}
	return append(b, full[i:]...)
}

// parseOptions reads options and what follows them, the payload, into o,
// whose memory it uses. Values and payload lie in b.
func parseOptions(b []byte, o Options) (_ Options, payload []byte, err error) {
	o = o[:0]
	number := 0
	for len(b) > 0 {
		first := b[0]
		b = b[1:]
		if first == 0xFF {
			if len(b) == 0 {
				return nil, nil, errNoPayload
			}
			return o, b, nil
		}
		var delta, length int
		if delta, b, err = nibble(first>>4, b); err != nil {
			return nil, nil, err
		}
		if length, b, err = nibble(first&15, b); err != nil {
			return nil, nil, err
		}
		number += delta
		if number > 0xFFFF {
			return nil, nil, errReserved
		}
		if length > len(b) {
			return nil, nil, errTruncated
		}
		if len(o) == maxOptions {
			return nil, nil, errTooMany
		}
		o = append(o, Option{OptionID(number), b[:length:length]})
		b = b[length:]
	}
	return o, nil, nil
}

// nibble reads the rest of a delta or length whose first four bits are n.
func nibble(n byte, b []byte) (int, []byte, error) {
	switch n {
	default:
		return int(n), b, nil
	case 13:
		if len(b) < 1 {
			return 0, nil, errTruncated
		}
		return int(b[0]) + 13, b[1:], nil
	case 14:
		if len(b) < 2 {
			return 0, nil, errTruncated
		}
		return int(binary.BigEndian.Uint16(b)) + 269, b[2:], nil
	case 15:
		return 0, nil, errReserved
	}
}

// appendOptions appends options, which must be in order, and the payload.
func appendOptions(b []byte, o Options, payload []byte) []byte {
	last := OptionID(0)
	for i := range o {
		b = appendOption(b, last, o[i].ID, o[i].Value)
		last = o[i].ID
	}
	if len(payload) > 0 {
		b = append(b, 0xFF)
		b = append(b, payload...)
	}
	return b
}

// appendOption appends one option that follows one numbered last.
func appendOption(b []byte, last, id OptionID, value []byte) []byte {
	b = appendOptionHead(b, last, id, len(value))
	return append(b, value...)
}

// appendUintOption appends one option whose value is a number.
func appendUintOption(b []byte, last, id OptionID, v uint32) []byte {
	n := 0
	for rest := v; rest > 0; rest >>= 8 {
		n++
	}
	b = appendOptionHead(b, last, id, n)
	return appendUint(b, v)
}

func appendOptionHead(b []byte, last, id OptionID, length int) []byte {
	delta := int(id - last)
	b = append(b, short(delta)<<4|short(length))
	b = appendRest(b, delta)
	return appendRest(b, length)
}

// short is the nibble that announces n.
func short(n int) byte {
	switch {
	case n < 13:
		return byte(n)
	case n < 269:
		return 13
	}
	return 14
}

// appendRest appends what of n its nibble could not hold.
func appendRest(b []byte, n int) []byte {
	switch {
	case n < 13:
		return b
	case n < 269:
		return append(b, byte(n-13))
	}
	return binary.BigEndian.AppendUint16(b, uint16(n-269))
}
