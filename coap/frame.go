package coap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

var errLongFrame = errors.New("coap: a message longer than was said to be taken")

// readFrame reads a message from a stream (RFC 8323 3.2). It fails with
// errLongFrame if that takes more than max bytes, with one of the format errors
// if it is none, and with io.EOF if the stream ends before it.
func readFrame(r *bufio.Reader, max int) (Message, error) {
	first, err := r.ReadByte()
	if err != nil {
		return Message{}, err
	}
	token := int(first & 15)
	if token > 8 {
		return Message{}, errReserved
	}
	length, err := frameLength(r, first>>4)
	if err != nil {
		return Message{}, unexpected(err)
	}
	if length > uint64(max) {
		return Message{}, errLongFrame
	}
	b := make([]byte, 1+token+int(length))
	if _, err := io.ReadFull(r, b); err != nil {
		return Message{}, unexpected(err)
	}
	m := Message{Code: Code(b[0]), Token: b[1 : 1+token : 1+token]}
	m.Options, m.Payload, err = parseOptions(b[1+token:], nil)
	return m, err
}

// unexpected is the error of a stream that ends inside a message.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frameLength reads how long options and payload are, if n does not say it.
func frameLength(r *bufio.Reader, n byte) (uint64, error) {
	var b [4]byte
	switch n {
	default:
		return uint64(n), nil
	case 13:
		_, err := io.ReadFull(r, b[:1])
		return uint64(b[0]) + 13, err
	case 14:
		_, err := io.ReadFull(r, b[:2])
		return uint64(binary.BigEndian.Uint16(b[:])) + 269, err
	case 15:
		_, err := io.ReadFull(r, b[:4])
		return uint64(binary.BigEndian.Uint32(b[:])) + 65805, err
	}
}

// appendFrame appends the message as it goes into a stream.
func (m *Message) appendFrame(b []byte) []byte {
	body := appendOptions(nil, m.Options, m.Payload)
	n, token := len(body), byte(len(m.Token))
	switch {
	case n < 13:
		b = append(b, byte(n)<<4|token)
	case n < 269:
		b = append(b, 13<<4|token, byte(n-13))
	case n < 65805:
		b = append(b, 14<<4|token)
		b = binary.BigEndian.AppendUint16(b, uint16(n-269))
	default:
		b = append(b, 15<<4|token)
		b = binary.BigEndian.AppendUint32(b, uint32(n-65805))
	}
	b = append(b, byte(m.Code))
	b = append(b, m.Token...)
	return append(b, body...)
}
