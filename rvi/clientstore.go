package rvi

import (
	"context"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// store writes chunks, makes them durable together, and acknowledges them.
func (c *Client) store(ctx context.Context, list []task) {
	written := map[*incoming]error{}
	for _, t := range list {
		p := t.chunk
		if err := written[p.of]; p.write && err == nil {
			written[p.of] = p.of.part.put(p.Index, p.Bytes)
		}
	}
	c.opt.Fault("chunk written")
	for in, err := range written {
		if err == nil {
			written[in] = in.part.flush()
		}
	}
	c.opt.Fault("chunk flushed")
	var units []Unit
	c.mu.Lock()
	now := c.opt.Now()
	for _, t := range list {
		p := t.chunk
		<-c.slots
		if c.files[p.Unit] != p.of {
			continue // it has ended since
		}
		p.of.heard = now
		if err := written[p.of]; err != nil {
			c.opt.Log.Error("a chunk cannot be kept", "unit", p.Unit, "index", p.Index, "err", err)
			p.of.ended = err
			continue
		}
		if p.write {
			c.stored(p, now)
		}
		if !slices.Contains(units, p.Unit) {
			units = append(units, p.Unit)
		}
	}
	c.note()
	c.mu.Unlock()
	for _, u := range units {
		c.acknowledge(ctx, u)
	}
	c.opt.Fault("chunk acknowledged")
}

func (c *Client) stored(p *arrival, now time.Time) {
	in := p.of
	c.device.Stored(p.Unit, p.Index, now)
	in.ended = nil
	in.held.Add(p.Index)
	if p.Index == in.start.Chunks {
		in.size = in.part.place(p.Index) + int64(len(p.Bytes))
	}
}

// acknowledge lists what is there of a file.
func (c *Client) acknowledge(ctx context.Context, u Unit) {
	c.mu.Lock()
	_, known := c.device.files[u]
	held := c.device.Held(u)
	c.mu.Unlock()
	if known {
		_ = c.say(ctx, Ack{From: c.as(u), Unit: u, Chunks: held})
	}
}

// check compares a whole file with its sums, while other messages go on.
func (c *Client) check(ctx context.Context, in *incoming) {
	c.mu.Lock()
	size := in.size
	c.mu.Unlock()
	c.checks.Go(func() {
		sums, err := in.part.sums(size)
		c.checked(in, sums, err)
		c.opt.Fault("finish taken")
	})
}

// checked decides about a whole file, unless it was taken back meanwhile.
func (c *Client) checked(in *incoming, sums ota.Sums, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.note()
	u := in.start.Unit
	if c.files[u] != in {
		return
	}
	if err == nil {
		err = c.device.Checked(u, sums)
	}
	c.opt.Fault("finish checked")
	if err == nil {
		in.whole = true
		c.save()
		return
	}
	c.opt.Log.Error("a file did not come as it was promised", "unit", u, "err", err)
	if in.readers == 0 {
		c.fail(u, err)
	}
	c.drop(u, err)
	c.save()
}

// fail remembers why a file did not come, for whoever asks for it next. mu is
// held.
func (c *Client) fail(u Unit, err error) {
	if len(c.failed) >= maxOffers {
		clear(c.failed)
	}
	c.failed[u] = err
}

// drop forgets a transfer and its chunks. mu is held.
func (c *Client) drop(u Unit, why error) {
	c.device.Forget(u)
	if in := c.files[u]; in != nil {
		in.ended = why
		_ = in.close() // it is removed
		delete(c.files, u)
	}
	if err := c.dir.remove(partName(u)); err != nil {
		c.opt.Log.Warn("cannot remove the chunks of a transfer", "err", err)
	}
}

// release removes the chunks of what the client's owner has. mu is held.
func (c *Client) release(u Unit) {
	in := c.files[u]
	if in == nil || !in.onDisk() {
		return
	}
	_ = in.close() // it is removed
	if err := c.dir.remove(partName(u)); err != nil {
		c.opt.Log.Warn("cannot remove the chunks of an image", "err", err)
	}
}
