package node

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// JSON is read in two steps, as messages are large and mostly carried on
// unread: checkJSON walks the text once, and what has passed it is taken apart
// by members and elements without a further look. encoding/json would scan a
// message of 87 kB four times on its way to the service.

var (
	errSyntax = errors.New("not JSON")
	errDeep   = errors.New("nested too deep")
)

// checkJSON reports whether b is exactly one JSON text (RFC 8259) in UTF-8, at
// most maxDepth deep.
func checkJSON(b []byte) error {
	if !utf8.Valid(b) {
		return errSyntax
	}
	end, err := skipValue(b, skipSpace(b, 0), maxDepth)
	if err == nil && skipSpace(b, end) != len(b) {
		return errSyntax
	}
	return err
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns where the value that begins at i ends.
func skipValue(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return 0, errSyntax
	}
	switch b[i] {
	case '{', '[':
		if depth == 0 {
			return 0, errDeep
		}
		return skipList(b, i+1, depth-1, b[i] == '{')
	case '"':
		return skipString(b, i+1)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipWord(b []byte, i int, word string) (int, error) {
	if !bytes.HasPrefix(b[i:], []byte(word)) {
		return 0, errSyntax
	}
	return i + len(word), nil
}

// skipList skips the rest of an object or array.
func skipList(b []byte, i, depth int, object bool) (int, error) {
	last := byte(']')
	if object {
		last = '}'
	}
	if i = skipSpace(b, i); i < len(b) && b[i] == last {
		return i + 1, nil
	}
	for {
		var err error
		if object {
			if i, err = skipKey(b, i); err != nil {
				return 0, err
			}
		}
		if i, err = skipValue(b, skipSpace(b, i), depth); err != nil {
			return 0, err
		}
		i = skipSpace(b, i)
		switch {
		case i < len(b) && b[i] == last:
			return i + 1, nil
		case i >= len(b) || b[i] != ',':
			return 0, errSyntax
		}
		i = skipSpace(b, i+1)
	}
}

func skipKey(b []byte, i int) (int, error) {
	if i >= len(b) || b[i] != '"' {
		return 0, errSyntax
	}
	i, err := skipString(b, i+1)
	if err != nil {
		return 0, err
	}
	if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
		return 0, errSyntax
	}
	return i + 1, nil
}

func skipString(b []byte, i int) (int, error) {
	for {
		// Most of all bytes are in one string, a chunk's, with nothing to escape.
		n := plain(b[i:])
		if i += n; i >= len(b) || b[i] < ' ' {
			return 0, errSyntax
		}
		if b[i] == '"' {
			return i + 1, nil
		}
		n = escape(b[i+1:])
		if n == 0 {
			return 0, errSyntax
		}
		i += 1 + n
	}
}

// plain returns how many bytes come before the first that means something in a
// string: a quote, a backslash or a control character. It takes eight at a time.
func plain(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		if ((x-ones*' ')&^x|(quote-ones)&^quote|(slash-ones)&^slash)&tops != 0 {
			break
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escape returns the length of an escape sequence after its backslash, 0 if it
// is none.
func escape(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	if b[0] != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), b[0]) < 0 {
			return 0
		}
		return 1
	}
	if len(b) < 5 {
		return 0
	}
	if _, err := strconv.ParseUint(string(b[1:5]), 16, 16); err != nil {
		return 0
	}
	return 5
}

func skipNumber(b []byte, i int) (int, error) {
	if b[i] == '-' {
		i++
	}
	whole := i
	i = skipDigits(b, i)
	if i == whole || i > whole+1 && b[whole] == '0' {
		return 0, errSyntax
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); b[i-1] == '.' {
			return 0, errSyntax
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		power := i
		if i = skipDigits(b, i); i == power {
			return 0, errSyntax
		}
	}
	return i, nil
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// members calls f for each member of a checked object, in order; of duplicate
// names the last wins if f overwrites. It reports false if b is no object.
func members(b []byte, f func(name string, value []byte)) bool {
	return each(b, '{', f)
}

// elements calls f for each element of a checked array, and reports false if b is none.
func elements(b []byte, f func(value []byte)) bool {
	return each(b, '[', func(_ string, value []byte) { f(value) })
}

func each(b []byte, open byte, f func(name string, value []byte)) bool {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != open {
		return false
	}
	for i = skipSpace(b, i+1); b[i] != ']' && b[i] != '}'; {
		var name string
		if open == '{' {
			key := i
			i, _ = skipString(b, i+1)
			name, _ = text(b[key:i])
			i = skipSpace(b, skipSpace(b, i)+1)
		}
		value := i
		i, _ = skipValue(b, i, maxDepth)
		f(name, b[value:i])
		if i = skipSpace(b, i); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return true
}

// text reads a checked string; ok is false if the value is none.
func text(value []byte) (s string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	return s, json.Unmarshal(value, &s) == nil
}

// integer reads a number without fraction or exponent.
func integer(value []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	return n, err == nil
}

// texts reads an array of strings.
func texts(value []byte) (list []string, ok bool) {
	ok = true
	array := elements(value, func(v []byte) {
		s, is := text(v)
		list, ok = append(list, s), ok && is
	})
	return list, array && ok
}

// appendText appends s as a JSON string.
func appendText[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		if c < ' ' {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			b = append(b, '\\', c)
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendTexts appends an array of JSON strings.
func appendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}
