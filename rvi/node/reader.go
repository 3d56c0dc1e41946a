package node

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A link that waits holds smallBuffer bytes. Messages that need more borrow a
// large one, and give it back when they have been dealt with.
const (
	smallBuffer = 1 << 10
	largeBuffer = 128 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// budget is what all links together may hold in large buffers.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.give(n)
	return false
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }

// reader takes a data link's stream apart into messages.
type reader struct {
	conn   net.Conn
	budget *budget
	limit  func() int                   // bytes of one message, now
	until  func(partial bool) time.Time // how long to wait for more; zero is for ever
	half   func(bool)                   // told when a message that holds a large buffer begins to come, and when it is whole
	yield  func() bool                  // makes another link give its buffer back, if one has had it for long

	small   [smallBuffer]byte
	buf     []byte // small, or a large one
	r, w    int    // what of buf has been read from conn, but not dealt with
	taken   int    // bytes of the message that next returned last
	marked  bool   // half was told so
	partial bool   // the deadline set is that of a message that has begun
	armed   bool
}

// next returns the next message and whether it is in msgpack. It is valid until
// the call after it. The error is io.EOF at the end between two messages,
// otherwise a fault.
func (r *reader) next() (message []byte, msgpack bool, err error) {
	r.release()
	if err := r.skipGaps(); err != nil {
		return nil, false, err
	}
	find, err := r.begin()
	if err != nil {
		return nil, false, err
	}
	for {
		n, err := find.find(r.buf[r.r:r.w])
		switch {
		case errors.Is(err, errDeep):
			return nil, false, closing("too_deep")
		case err != nil:
			return nil, false, closing("parse_error")
		case find.at > r.limit():
			return nil, false, closing("too_large")
		case n > 0:
			r.taken = n
			r.mark(false)
			return r.buf[r.r : r.r+n], find.msgpack, nil
		}
		r.mark(len(r.buf) > smallBuffer)
		if err := r.fill(); err != nil {
			return nil, false, err
		}
	}
}

// mark tells whether a message that is not whole holds a large buffer.
func (r *reader) mark(half bool) {
	if half != r.marked {
		r.marked = half
		r.half(half)
	}
}

// skipGaps reads up to the first byte of a message. Besides white space, NUL
// may stand between messages (rvi.md Q20).
func (r *reader) skipGaps() error {
	for {
		for r.r < r.w && isGap(r.buf[r.r]) {
			r.r++
		}
		if r.r < r.w {
			return nil
		}
		r.r, r.w = 0, 0
		if err := r.fill(); err != nil {
			return err
		}
	}
}

func isGap(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == 0 }

func (r *reader) begin() (bounds, error) {
	switch c := r.buf[r.r]; {
	case c == '{':
		return bounds{}, nil
	case c >= 0x80 && c <= 0x8f || c == 0xde || c == 0xdf:
		return bounds{msgpack: true}, nil
	case c == '[' || c >= 0x90 && c <= 0x9f || c == 0xdc || c == 0xdd:
		return bounds{}, closing("protocol_violation")
	}
	return bounds{}, closing("parse_error")
}

// fill reads more, making room first.
func (r *reader) fill() error {
	if r.w == len(r.buf) {
		if err := r.room(); err != nil {
			return err
		}
	}
	r.arm(r.w > r.r)
	n, err := r.conn.Read(r.buf[r.w:])
	if r.w += n; n > 0 {
		return nil
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return closing("timeout")
	case r.w > r.r:
		return closing("incomplete")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe):
		return io.EOF
	}
	return err
}

// arm sets the deadline anew between messages and when one begins, but not as
// it trickles in.
func (r *reader) arm(partial bool) {
	if r.armed && partial && r.partial {
		return
	}
	r.armed, r.partial = true, partial
	_ = r.conn.SetReadDeadline(r.until(partial)) // a closed connection tells the next Read
}

func (r *reader) room() error {
	if r.r > 0 {
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, r.w-r.r
		return nil
	}
	size := largeBuffer
	if len(r.buf) >= largeBuffer {
		size = 2 * len(r.buf)
	}
	if !r.budget.take(size) {
		if !r.yield() {
			return closing("out_of_buffers")
		}
		r.budget.give(-size) // on account of what the other gives back
	}
	var grown []byte
	if size == largeBuffer {
		grown = largeBuffers.Get().(*[largeBuffer]byte)[:]
	} else {
		grown = make([]byte, size)
	}
	copy(grown, r.buf[:r.w])
	r.drop()
	r.buf = grown
	return nil
}

// release forgets the last message, and gives a large buffer back once the
// rest fits a small one.
func (r *reader) release() {
	if r.buf == nil {
		r.buf = r.small[:]
	}
	r.r += r.taken
	r.taken = 0
	if left := r.w - r.r; len(r.buf) > smallBuffer && left <= smallBuffer {
		copy(r.small[:], r.buf[r.r:r.w])
		r.drop()
		r.buf, r.r, r.w = r.small[:], 0, left
	}
}

// drop gives the buffer back to the pool and the budget.
func (r *reader) drop() {
	if len(r.buf) > smallBuffer {
		r.budget.give(len(r.buf))
	}
	if len(r.buf) == largeBuffer {
		largeBuffers.Put((*[largeBuffer]byte)(r.buf))
	}
	r.buf = nil
}
