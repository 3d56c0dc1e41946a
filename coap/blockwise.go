package coap

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// maxRestarts is how often a fetch begins anew because the content changed.
const maxRestarts = 3

var (
	errTooManyBlocks = errors.New("coap: the answer has more blocks than can be counted")
	errWrongBlock    = errors.New("coap: the answer is another block than the one asked for")
)

// upload sends a request, its payload in blocks if it is longer than one
// (RFC 7959 2.5). The response to the last one is returned, or the first that
// is not 2.31.
func (c *Client) upload(ctx context.Context, m Message) (Message, error) {
	if c.Block != 0 {
		if _, ok := m.Options.block(Block2); !ok {
			m.Options = m.Options.clone()
			m.Options.SetUint(Block2, Block{SZX: szx(c.Block)}.value())
		}
	}
	b := Block{SZX: 6}
	if c.Block != 0 {
		b.SZX = szx(c.Block)
	}
	if len(m.Payload) <= b.Size() {
		return c.once(ctx, m)
	}
	for sent := 0; ; {
		end := min(sent+b.Size(), len(m.Payload))
		b.Num, b.More = uint32(sent/b.Size()), end < len(m.Payload)
		part := m
		part.Options = m.Options.clone()
		part.Options.SetUint(Block1, b.value())
		if sent == 0 {
			part.Options.SetUint(Size1, uint32(len(m.Payload)))
		}
		part.Payload = m.Payload[sent:end]
		resp, err := c.once(ctx, part)
		if err != nil {
			return Message{}, err
		}
		smaller, ok := resp.Options.block(Block1)
		shrink := ok && smaller.SZX < b.SZX
		switch {
		case resp.Code == RequestEntityTooLarge && shrink && sent == 0:
		case resp.Code != Continue || !b.More:
			return resp, nil
		default:
			sent = end
		}
		if shrink {
			b.SZX = smaller.SZX
		}
	}
}

// Download fetches what is at a target into w, from byte from on, which is
// rounded down to a block; 0 unless a download is to be resumed. It returns
// the size, and the ETag if there is one: a change of the content makes the
// download begin anew, but a change before a resumption is the caller's to
// see. An answer that is no success is a *ResponseError; for the other errors
// see Do.
func (c *Client) Download(ctx context.Context, target string, w io.WriterAt, from int64) (size int64, etag []byte, err error) {
	m := NewRequest(GET, target)
	b := Block{SZX: 6}
	if c.Block != 0 {
		b.SZX = szx(c.Block)
	}
	b.Num = uint32(from / int64(b.Size()))
	if c.Block != 0 || b.Num > 0 {
		m.Options.SetUint(Block2, b.value())
	}
	first, err := c.once(ctx, m)
	if err != nil {
		return 0, nil, err
	}
	end := &extent{w: w}
	last, err := c.download(ctx, m, first, b.Offset(), end)
	if err != nil {
		return 0, nil, err
	}
	etag, _ = last.Options.Get(ETag)
	return end.size, etag, nil
}

// extent knows where the last write ended.
type extent struct {
	w    io.WriterAt
	size int64
}

func (e *extent) WriteAt(p []byte, off int64) (int, error) {
	e.size = off + int64(len(p))
	return e.w.WriteAt(p, off)
}

// download puts the block in first, which is to begin at off, and all that
// follow it into w, in order. When the ETag changes it begins anew at 0.
func (c *Client) download(ctx context.Context, m, first Message, off int64, w io.WriterAt) (Message, error) {
	m.Options = m.Options.clone()
	m.Options.Del(Block1)
	m.Options.Del(Observe)
	etag, _ := first.Options.Get(ETag)
	for restarts := 0; ; {
		if err := first.Err(); err != nil {
			return Message{}, err
		}
		b, blocks := first.Options.block(Block2)
		if now, _ := first.Options.Get(ETag); !bytes.Equal(now, etag) {
			if restarts++; restarts > maxRestarts {
				return Message{}, ErrChanged
			}
			etag, off = now, 0
		}
		if off == 0 && b.Num > 0 {
			b.More = true // of the new content we have nothing yet
		} else if b.Offset() != off || b.More && len(first.Payload) != b.Size() {
			return Message{}, errWrongBlock
		} else if _, err := w.WriteAt(first.Payload, off); err != nil {
			return Message{}, err
		} else {
			off += int64(len(first.Payload))
		}
		if !blocks || !b.More {
			return first, nil
		}
		num := off / int64(b.Size())
		if num > maxBlockNum {
			return Message{}, errTooManyBlocks
		}
		m.Options.SetUint(Block2, Block{Num: uint32(num), SZX: b.SZX}.value())
		var err error
		if first, err = c.once(ctx, m); err != nil {
			return Message{}, err
		}
	}
}
