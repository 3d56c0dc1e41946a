package rvi

import (
	"context"
	"io"
	"time"
)

// silence is how long a reader waits for the next chunk.
const silence = time.Minute

// body gives a file as its beginning becomes durable, and ends when all of it
// is there and right.
type body struct {
	client *Client
	ctx    context.Context
	in     *incoming
	at     int64
	closed bool
}

// Read fails with KindUnreachable if nothing more comes for a minute.
func (b *body) Read(p []byte) (int, error) {
	c := b.client
	c.mu.Lock()
	var end error
	var ready int64
	for {
		before := b.in.held.Len()
		err := c.await(b.ctx, silence, func() bool {
			ready = b.in.given()
			switch {
			case b.in.ended != nil:
				end = b.in.ended
			case ready > b.at:
			case b.in.whole && ready == b.at:
				end = io.EOF
			default:
				return b.in.held.Len() > before // not the next one, but it goes on
			}
			return true
		})
		if err != nil {
			end = err
		}
		if end != nil || ready > b.at || err != nil {
			break
		}
	}
	c.mu.Unlock()
	if end != nil {
		return 0, end
	}
	n, err := b.in.part.ReadAt(p[:min(int64(len(p)), ready-b.at)], b.at)
	b.at += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *body) Close() error {
	b.client.mu.Lock()
	defer b.client.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.in.readers--
	}
	return nil
}

// empty is the body of content that nobody reads.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }
