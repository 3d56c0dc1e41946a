package rvi

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
)

// A chunk is 87 kB of text, most of it one string. It is taken apart here in
// one pass, where encoding/json would make several.

// maxDepth bounds the nesting of messages (rvi.md 3.2).
const maxDepth = 64

// MaxParams bounds the parameters of one message, in bytes (rvi.md 3.2).
const MaxParams = 1 << 20

func badJSON() error { return ota.Fail(ota.KindInvalid, "parse_error", "the message is not JSON") }

// scanner walks over a JSON text. Once bad is set, what it returns means nothing.
type scanner struct {
	text []byte
	at   int
	bad  bool
	// checked says that the text is known to be JSON, and is only taken apart.
	checked bool
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		if c := s.text[s.at]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c || c == 0 {
		return false
	}
	s.at++
	return true
}

// value returns the next value's text.
func (s *scanner) value(depth int) []byte {
	first := s.peek()
	from := s.at
	switch first {
	case '"':
		s.skipString()
	case '{', '[':
		s.walk(depth, func([]byte, []byte) {})
	default:
		for s.at < len(s.text) && !ends(s.text[s.at]) {
			s.at++
		}
		s.bad = s.bad || !s.checked && !scalar(s.text[from:s.at])
	}
	return s.text[from:s.at]
}

// walk goes through an object or an array and calls f for each member or element.
func (s *scanner) walk(depth int, f func(key, value []byte)) {
	object := s.peek() == '{'
	last := byte(']')
	if object {
		last = '}'
	}
	s.at++
	s.bad = s.bad || depth == 0
	if s.take(last) {
		return
	}
	for !s.bad {
		var key []byte
		if object {
			if s.peek() != '"' {
				break
			}
			if key = s.value(depth - 1); !s.take(':') {
				break
			}
		}
		v := s.value(depth - 1)
		if s.bad {
			break
		}
		f(key, v)
		if s.take(last) {
			return
		}
		if !s.take(',') {
			break
		}
	}
	s.bad = true
}

func (s *scanner) skipString() {
	s.at++
	for quote := s.find('"'); ; {
		if quote < 0 {
			s.at, s.bad = len(s.text), true
			return
		}
		part := s.text[s.at:quote]
		escape := bytes.IndexByte(part, '\\')
		if escape >= 0 {
			part = part[:escape]
		}
		s.bad = s.bad || !s.checked && hasControl(part)
		s.at += len(part) + 1
		if escape < 0 {
			return
		}
		s.skipEscape()
		if s.at++; s.at > quote {
			quote = s.find('"')
		}
	}
}

func hasControl(part []byte) bool {
	for _, c := range part {
		if c < ' ' {
			return true
		}
	}
	return false
}

// find returns where the next such byte is, from here on; -1 if nowhere.
func (s *scanner) find(c byte) int {
	if s.at > len(s.text) {
		return -1
	}
	if i := bytes.IndexByte(s.text[s.at:], c); i >= 0 {
		return s.at + i
	}
	return -1
}

// skipEscape leaves the scanner at the last byte of an escape sequence.
func (s *scanner) skipEscape() {
	if s.at < len(s.text) && s.text[s.at] == 'u' && s.at+4 < len(s.text) {
		_, err := strconv.ParseUint(string(s.text[s.at+1:s.at+5]), 16, 16)
		s.bad = s.bad || err != nil
		s.at += 4
		return
	}
	s.bad = s.bad || s.at >= len(s.text) || strings.IndexByte(`"\/bfnrt`, s.text[s.at]) < 0
}

// ends reports whether c ends a number or a word.
func ends(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// scalar reports whether v is a number, true, false or null.
func scalar(v []byte) bool {
	if _, ok := number(v); ok && (v[0] != '0' || len(v) == 1) && v[0] != '-' {
		return true // most are indices of chunks
	}
	return json.Valid(v)
}

// readJSON checks a whole message and returns its text without white space
// around it.
func readJSON(text []byte) ([]byte, error) {
	if len(text) > MaxParams {
		return nil, ota.Fail(ota.KindTooLarge, "too_large", "the parameters of a message have at most %d bytes", MaxParams)
	}
	s := scanner{text: text}
	v := s.value(maxDepth)
	if s.bad || s.peek() != 0 || s.at != len(text) || !utf8.Valid(text) {
		return nil, badJSON()
	}
	return v, nil
}

// elements takes an array apart; ok is false if v, which was checked, is none.
func elements(v []byte) (list [][]byte, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		return nil, false
	}
	s := scanner{text: v, checked: true}
	s.walk(maxDepth, func(_, e []byte) { list = append(list, e) })
	return list, true
}

// members takes an object apart; of members with one name the last wins.
func members(v []byte) (found map[string][]byte, ok bool) {
	if len(v) == 0 || v[0] != '{' {
		return nil, false
	}
	found = map[string][]byte{}
	s := scanner{text: v, checked: true}
	s.walk(maxDepth, func(key, value []byte) {
		name, _ := text(key)
		found[name] = value
	})
	return found, true
}

// text reads a string.
func text(v []byte) (s string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	if inner := string(v[1 : len(v)-1]); strings.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	return s, json.Unmarshal(v, &s) == nil
}

// maxInteger is where the whole numbers end that every JSON reader keeps (rvi.md 4.2).
const maxInteger = 1<<53 - 1

// number reads a JSON number without fraction or exponent. It is false if v is
// something else; a number that is too large, or below zero, is returned as -1.
func number(v []byte) (int64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	digits := v
	if v[0] == '-' {
		digits = v[1:]
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > maxInteger {
			n = maxInteger + 1 // stays too large, without overflow
		}
	}
	if v[0] == '-' && n > 0 || n > maxInteger {
		return -1, true
	}
	return n, true
}
