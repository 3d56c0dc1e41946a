package coap

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// part is what of a content one response carries.
type part struct {
	code    Code // ContentCode, Valid, or why not
	why     string
	off     int64
	n       int
	block   Block
	blocked bool // Block2 goes into the response
	size    bool // Size2 goes into the response
}

// part finds out what of c to answer to r, in blocks of at most 2^(max+4)
// bytes (RFC 7959 2.3, 2.4; coap-suit.md 2.2).
func (c *Content) part(r *Request, max uint8) part {
	if f, ok := r.Accept(); ok && f != c.Format {
		return part{code: NotAcceptable}
	}
	if c.ETag != "" {
		for i := range r.Options {
			if o := &r.Options[i]; o.ID == ETag && string(o.Value) == c.ETag {
				return part{code: Valid}
			}
		}
	}
	b, asked := r.Block2()
	if !asked {
		b.SZX = max
	}
	b.SZX = min(b.SZX, 6) // 7 also counts in 1024; one at a time is allowed
	if b.SZX > max {
		b.Num <<= b.SZX - max
		b.SZX = max
	}
	size := int64(b.Size())
	p := part{code: ContentCode, off: b.Offset(), block: b, blocked: asked || c.Size > size}
	switch {
	case p.off > 0 && p.off >= c.Size:
		return part{code: BadRequest, why: "this block is beyond the end"}
	case c.Size > (maxBlockNum+1)*size:
		return part{code: BadRequest, why: "this has more blocks of that size than can be counted"}
	}
	p.n = int(min(size, c.Size-p.off))
	p.block.More = p.off+size < c.Size
	_, wanted := r.Options.Get(Size2)
	p.size = p.blocked && p.block.Num == 0 || wanted
	return p
}

// appendTo appends the options and the payload of a response. On an error of
// the body what is appended is of no use.
func (p *part) appendTo(b []byte, c *Content) ([]byte, error) {
	if p.code != ContentCode && p.code != Valid {
		return appendOptions(b, nil, []byte(p.why)), nil
	}
	last := OptionID(0)
	if c.ETag != "" {
		b = appendOptionHead(b, last, ETag, len(c.ETag))
		b = append(b, c.ETag...)
		last = ETag
	}
	if p.code == ContentCode {
		b = appendUintOption(b, last, ContentFormat, uint32(c.Format))
		last = ContentFormat
	}
	if c.MaxAge > 0 {
		b = appendUintOption(b, last, MaxAge, seconds(c.MaxAge))
		last = MaxAge
	}
	if p.code == Valid {
		return b, nil
	}
	if p.blocked {
		b = appendUintOption(b, last, Block2, p.block.value())
		last = Block2
	}
	if p.size {
		b = appendUintOption(b, last, Size2, uint32(c.Size))
	}
	if p.n == 0 {
		return b, nil
	}
	b = append(b, 0xFF)
	return c.read(b, p.off, p.n)
}

// read appends n bytes of the body.
func (c *Content) read(b []byte, off int64, n int) ([]byte, error) {
	start := len(b)
	if cap(b) < start+n {
		b = append(make([]byte, 0, start+n), b...)
	}
	b = b[:start+n]
	got, err := c.readAt(b[start:], off)
	if got == n {
		return b, nil
	}
	if err == nil || err == io.EOF {
		err = errShortBody
	}
	return b[:start], err
}

// readAt reads the body. A panic is an error: others wait for the goroutine.
func (c *Content) readAt(b []byte, off int64) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = 0, fmt.Errorf("coap: reading the content panicked: %v", p)
		}
	}()
	return c.Body.ReadAt(b, off)
}

var errShortBody = errors.New("coap: the content is shorter than its size")

// seconds rounds d down, to what fits a Max-Age option.
func seconds(d time.Duration) uint32 { return uint32(min(max(d/time.Second, 0), 1<<32-1)) }
