package coap

import "encoding/binary"

// Type says how a datagram is to be treated (RFC 7252 4). Over TCP there are
// no types, and it is not looked at.
type Type uint8

const (
	Confirmable Type = iota
	NonConfirmable
	Acknowledgement
	Reset
)

// Message is a request, a response or a signal.
type Message struct {
	Type    Type
	Code    Code
	ID      uint16 // ties acknowledgements to what they acknowledge
	Token   []byte // ties responses to requests: 0 to 8 bytes
	Options Options
	Payload []byte
}

// parse reads a datagram into m, whose memory it uses: token, option values
// and payload lie in b. known is false if the datagram is not of this version
// of CoAP, or too short to tell, and is to be ignored; err is a format error,
// after which type and ID of m are right (RFC 7252 3, 4.2).
func (m *Message) parse(b []byte) (known bool, err error) {
	if len(b) < 4 || b[0]>>6 != 1 {
		return false, nil
	}
	m.Type, m.Code, m.ID = Type(b[0]>>4&3), Code(b[1]), binary.BigEndian.Uint16(b[2:])
	n := int(b[0] & 15)
	switch {
	case n > 8:
		return true, errReserved
	case m.Code == Empty && len(b) > 4:
		return true, errEmptyBytes
	case len(b) < 4+n:
		return true, errTruncated
	}
	m.Token = b[4 : 4+n : 4+n]
	m.Options, m.Payload, err = parseOptions(b[4+n:], m.Options)
	return true, err
}

// appendTo appends the message as a datagram.
func (m *Message) appendTo(b []byte) []byte {
	b = appendHeader(b, m.Type, m.Code, m.ID, m.Token)
	return appendOptions(b, m.Options, m.Payload)
}

func appendHeader(b []byte, t Type, c Code, id uint16, token []byte) []byte {
	b = append(b, 1<<6|byte(t)<<4|byte(len(token)), byte(c), byte(id>>8), byte(id))
	return append(b, token...)
}

// clone copies a message out of the datagram it lies in.
func (m *Message) clone() Message {
	c := *m
	c.Token = append([]byte(nil), m.Token...)
	c.Options = m.Options.clone()
	c.Payload = append([]byte(nil), m.Payload...)
	return c
}
