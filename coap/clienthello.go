package coap

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Numbers of DTLS 1.2 (RFC 6347 4.1, 4.2).
const (
	recordChange    = 20 // of cipher
	recordAlert     = 21
	recordHandshake = 22
	recordCID       = 25 // RFC 9146
	recordHeader    = 13
	handshakeHeader = 12
	clientHello     = 1
	helloVerify     = 3
)

// hello is a ClientHello that came in one piece, as one that is to be answered
// by who remembers nothing must (RFC 6347 4.2.1).
type hello struct {
	record []byte // the whole record
	seq    uint64 // of the record, 48 bits
	msgSeq uint16 // of the message: 0, or 1 with a cookie
	random []byte
	cookie []byte
	at     int // where in the record the cookie's length is
}

// parseHello finds the ClientHello a datagram begins with.
func parseHello(b []byte) (h hello, ok bool) {
	if len(b) < recordHeader+handshakeHeader || b[0] != recordHandshake || binary.BigEndian.Uint16(b[3:]) != 0 {
		return hello{}, false
	}
	end := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
	if end > len(b) || end < recordHeader+handshakeHeader {
		return hello{}, false
	}
	h = hello{record: b[:end], seq: binary.BigEndian.Uint64(b[3:]) & (1<<48 - 1)}
	m := b[recordHeader:end]
	length := uint24(m[1:])
	if m[0] != clientHello || uint24(m[6:]) != 0 || uint24(m[9:]) != length || handshakeHeader+length != len(m) {
		return hello{}, false
	}
	h.msgSeq = binary.BigEndian.Uint16(m[4:])
	body := m[handshakeHeader:]
	const random, session = 2, 2 + 32
	if len(body) < session+1 {
		return hello{}, false
	}
	h.random = body[random:session]
	cookie := session + 1 + int(body[session])
	if len(body) < cookie+1 || len(body) < cookie+1+int(body[cookie]) {
		return hello{}, false
	}
	h.cookie = body[cookie+1 : cookie+1+int(body[cookie])]
	h.at = recordHeader + handshakeHeader + cookie
	return h, true
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

func putUint24(b []byte, n int) { b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) }

// verifyRequest is the HelloVerifyRequest that asks for a cookie.
func (h *hello) verifyRequest(cookie []byte) []byte {
	body := 2 + 1 + len(cookie)
	b := make([]byte, recordHeader+handshakeHeader+3, recordHeader+handshakeHeader+body)
	b[0] = recordHandshake
	b[1], b[2] = 0xFE, 0xFF
	binary.BigEndian.PutUint64(b[3:], h.seq)
	binary.BigEndian.PutUint16(b[11:], uint16(handshakeHeader+body))
	m := b[recordHeader:]
	m[0] = helloVerify
	putUint24(m[1:], body)
	putUint24(m[9:], body)
	m[12], m[13], m[14] = 0xFE, 0xFF, byte(len(cookie))
	return append(b, cookie...)
}

// first is the ClientHello as it was before it had a cookie.
func (h *hello) first() []byte {
	b := slices.Delete(bytes.Clone(h.record), h.at+1, h.at+1+len(h.cookie))
	b[h.at] = 0
	m := b[recordHeader:]
	binary.BigEndian.PutUint16(b[11:], uint16(len(m)))
	// Another number than that of the one with the cookie, or it would be
	// taken for a copy.
	binary.BigEndian.PutUint64(b[3:], h.seq^1)
	putUint24(m[1:], len(m)-handshakeHeader)
	binary.BigEndian.PutUint16(m[4:], 0)
	putUint24(m[9:], len(m)-handshakeHeader)
	return b
}
