package node

import (
	"net"
	"strconv"
	"sync"
	"time"
)

// letter is a message as it goes over the wire, in pieces: what is large, as a
// chunk's bytes are, is written from where it lies, as each copy would be held
// for as long as the peer does not read.
type letter struct {
	buf    []byte      // what is small
	from   int         // of buf, what is not in pieces yet
	pieces net.Buffers // in order; parts of buf, and of parameters
	size   int         // of the pieces
	made   []byte      // see room
}

// largePiece is how many bytes are not worth copying.
const largePiece = 4 << 10

// chunkRoom is how many bytes the parameters of a full chunk need, and some more.
const chunkRoom = 92 << 10

var letters = sync.Pool{New: func() any { return &letter{buf: make([]byte, 0, smallBuffer)} }}

// recycle gives the letter back; one that had to grow much is not kept.
func (m *letter) recycle() {
	clear(m.pieces)
	if cap(m.buf) <= largeBuffer {
		letters.Put(m)
	}
}

// room is for parameters that are made when they are written: a chunk's, mostly.
func (m *letter) room() []byte {
	if m.made == nil {
		m.made = make([]byte, 0, chunkRoom)
	}
	return m.made
}

// text adds bytes, which must not change until the letter is written.
func (m *letter) text(b []byte) {
	if len(b) < largePiece {
		m.buf = append(m.buf, b...)
		return
	}
	m.cut()
	m.pieces = append(m.pieces, b)
	m.size += len(b)
}

// cut makes a piece of what is in buf.
func (m *letter) cut() {
	if end := len(m.buf); end > m.from {
		m.pieces = append(m.pieces, m.buf[m.from:end:end])
		m.size += end - m.from
		m.from = end
	}
}

// compose makes the letter of an item. params are the parcel's, if it is one.
func (m *letter) compose(it item, params []byte, w wording) {
	m.buf, m.from, m.pieces, m.size = m.buf[:0], 0, m.pieces[:0], 0
	switch {
	case it.parcel == nil && w.msgpack:
		m.msgpack(it.control)
	case it.parcel == nil:
		m.text(it.control)
	case w.msgpack:
		m.rcvInMsgpack(it.parcel, params, w)
	default:
		m.rcv(it.parcel, params, w)
	}
	m.cut()
}

func (m *letter) rcv(p *parcel, params []byte, w wording) {
	m.buf = strconv.AppendUint(append(m.buf, `{"tid":`...), w.tid, 10)
	m.buf = append(m.buf, `,"cmd":"rcv","mod":"`+w.module+`","data":{"service":`...)
	m.buf = appendText(m.buf, p.service)
	m.buf = strconv.AppendInt(append(m.buf, `,"timeout":`...), w.timeout(p), 10)
	m.buf = append(m.buf, `,"parameters":`...)
	m.text(params)
	m.buf = append(m.buf, '}', '}')
}

func (m *letter) rcvInMsgpack(p *parcel, params []byte, w wording) {
	m.buf = appendUint(appendRaw(append(m.buf, 0x84), "tid"), w.tid)
	m.buf = appendRaw(appendRaw(m.buf, "cmd"), "rcv")
	m.buf = appendRaw(appendRaw(m.buf, "mod"), w.module)
	m.buf = append(appendRaw(m.buf, "data"), 0x83)
	m.buf = appendRaw(appendRaw(m.buf, "service"), p.service)
	m.buf = appendInt(appendRaw(m.buf, "timeout"), w.timeout(p))
	m.buf = appendRaw(m.buf, "parameters")
	m.msgpack(params)
}

// wording is how the peer wants its messages.
type wording struct {
	msgpack bool
	module  string
	largest int
	tid     uint64
	now     time.Time // for a timeout in milliseconds from then; zero if our clock is right
}

// timeout is an expiry in epoch seconds, which every peer either reads or
// ignores (rvi.md 3.5), or relative.
func (w wording) timeout(p *parcel) int64 {
	if w.now.IsZero() {
		return p.expires.Add(time.Second - 1).Unix()
	}
	return max(p.expires.Sub(w.now).Milliseconds(), 1)
}
