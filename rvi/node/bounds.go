package node

// bounds finds where a message ends, a few bytes at a time: neither framing
// has a length (rvi.md 3.2). It goes over each byte once, however they arrive,
// and leaves the text itself to be checked when it is complete.
type bounds struct {
	msgpack bool
	at      int // up to here everything has been seen; beyond the end inside a long text

	depth           int  // JSON: open brackets
	quoted, escaped bool // JSON: inside a string; after a backslash

	left []int // msgpack: values still to come, for each list that is open
}

// find returns the length of the message that b begins with, 0 if it is not
// complete. b grows from call to call. The errors are errSyntax, errDeep and
// errMsgpack.
func (s *bounds) find(b []byte) (int, error) {
	if s.msgpack {
		return s.findMsgpack(b)
	}
	return s.findJSON(b)
}

func (s *bounds) findJSON(b []byte) (int, error) {
	for ; s.at < len(b); s.at++ {
		c := b[s.at]
		if s.quoted {
			s.inString(b, c)
			continue
		}
		switch c {
		case '"':
			s.quoted = true
		case '{', '[':
			if s.depth++; s.depth > maxDepth {
				return 0, errDeep
			}
		case '}', ']':
			if s.depth--; s.depth == 0 {
				return s.at + 1, nil
			}
		}
	}
	return 0, nil
}

// inString handles a byte of a string, and skips what follows up to the next
// that means something.
func (s *bounds) inString(b []byte, c byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.quoted = false
	default:
		s.at += plain(b[s.at+1:])
	}
}

func (s *bounds) findMsgpack(b []byte) (int, error) {
	for s.at < len(b) && (s.at == 0 || len(s.left) > 0) {
		h, ok, err := readHead(b[s.at:])
		if err != nil || !ok {
			return 0, err
		}
		if err := s.open(h); err != nil {
			return 0, err
		}
	}
	if s.at == 0 || len(s.left) > 0 || s.at > len(b) {
		return 0, nil
	}
	return s.at, nil
}

// open takes note of the value that h begins, and of the lists it ends.
func (s *bounds) open(h head) error {
	s.at += h.size
	if len(s.left) > 0 {
		s.left[len(s.left)-1]--
	}
	switch h.kind {
	case kindText:
		s.at += h.n
	case kindMap:
		s.left = append(s.left, 2*h.n)
	case kindList:
		s.left = append(s.left, h.n)
	}
	if len(s.left) > maxDepth {
		return errDeep
	}
	for len(s.left) > 0 && s.left[len(s.left)-1] == 0 {
		s.left = s.left[:len(s.left)-1]
	}
	return nil
}
