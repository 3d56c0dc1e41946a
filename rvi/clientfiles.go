package rvi

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// incoming is a file on its way, or one that came and is being installed.
type incoming struct {
	start   Start
	part    *partFile // nil if there was none when the client started
	gone    bool      // it is removed
	held    Chunks    // durable
	size    int64     // of the file; -1 until it is known
	whole   bool      // its sums are right
	ended   error     // why nothing more will come
	readers int
	heard   time.Time // since when the backend is quiet
}

// arrival is a chunk that waits to be written, or only to be acknowledged.
type arrival struct {
	Chunk
	of    *incoming
	write bool
}

// onDisk reports whether the chunks are still there.
func (in *incoming) onDisk() bool { return in.part != nil && !in.gone }

func (in *incoming) close() error {
	if !in.onDisk() {
		return nil
	}
	in.gone = true
	return in.part.Close()
}

// ready is how many bytes there are from the beginning on without a gap.
func (in *incoming) ready() int64 {
	if in.start.Chunks == 0 || in.held.Covers(in.start.Chunks) {
		return max(in.size, 0)
	}
	return int64(in.held.Missing(1)-1) * int64(in.part.chunkSize)
}

// given is what a reader may have of that: the last byte only when the whole is
// known to be right, as a reader that knows the size looks for no end.
func (in *incoming) given() int64 {
	n := in.ready()
	if n == in.size && !in.whole {
		return max(n-1, 0)
	}
	return n
}

// chunkSize is that of the backend.
func (c *Client) chunkSize() int {
	if c.device.ChunkSize > 0 {
		return c.device.ChunkSize
	}
	return ChunkSize
}

// restore goes on where an earlier client was.
func (c *Client) restore() (err error) {
	if c.memory, err = readMemory(c.dir, c.opt.Log); err != nil {
		return err
	}
	now := c.opt.Now()
	parts := map[string]bool{}
	for _, k := range c.memory.Files {
		in := &incoming{start: k.Start, size: k.Start.Size, whole: k.Stage == Installing, heard: now.Add(-time.Hour)}
		if k.Stage != Reported {
			if err := c.reopen(in); err != nil {
				return err
			}
		}
		if in.part == nil && k.Stage != Reported && k.Stage != Installing {
			continue // it begins anew
		}
		c.device.Restore(k.Start, in.held, k.Stage, now)
		c.files[k.Start.Unit] = in
		parts[partName(k.Start.Unit)] = in.part != nil
	}
	names, err := c.dir.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, unfinished) || strings.HasSuffix(name, ".part") && !parts[name] {
			if err := c.dir.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// reopen finds what is there of a file's chunks.
func (c *Client) reopen(in *incoming) error {
	p, err := oldPart(c.dir, in.start, c.chunkSize())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	held, last, err := p.scan()
	if err != nil {
		c.opt.Log.Warn("what was there of a transfer is damaged, and begins anew", "unit", in.start.Unit, "err", err)
		return p.Close()
	}
	in.part, in.held = p, held
	switch {
	case in.start.Chunks == 0:
		in.size = 0
	case last >= 0:
		in.size = p.place(in.start.Chunks) + last
	}
	return nil
}

// started takes a start: the transfer goes on, or begins.
func (c *Client) started(ctx context.Context, m Start) {
	if err := c.start(m); err != nil {
		c.opt.Log.Error("a transfer cannot begin", "unit", m.Unit, "err", err)
		return
	}
	c.opt.Fault("start taken")
	c.acknowledge(ctx, m.Unit)
}

func (c *Client) start(m Start) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.note()
	fresh, err := c.device.Start(m, c.opt.Now())
	if err == nil && fresh {
		err = c.begin(m)
	}
	if in := c.files[m.Unit]; in != nil {
		in.heard = c.opt.Now()
	}
	return err
}

// begin makes room for a new file. mu is held.
func (c *Client) begin(m Start) error {
	if was := c.files[m.Unit]; was != nil {
		was.ended = errReplaced
		_ = was.close() // its file is removed anyway
		delete(c.files, m.Unit)
	}
	delete(c.failed, m.Unit)
	delete(c.aborted, m.Unit.ID())
	p, err := newPart(c.dir, m, c.chunkSize(), c.opt.room(c.dir))
	if err != nil {
		c.device.Forget(m.Unit)
		c.fail(m.Unit, err)
		return err
	}
	c.opt.Fault("part made")
	in := &incoming{start: m, part: p, size: m.Size}
	if m.Chunks == 0 {
		in.size = 0
	}
	c.files[m.Unit] = in
	maps.DeleteFunc(c.files, func(u Unit, _ *incoming) bool { return c.device.files[u] == nil }) // that gave way to it
	c.memory.unsay(m.Unit)
	news := c.learn(m)
	if err := c.save(); err != nil {
		c.drop(m.Unit, err)
		return err
	}
	if news {
		c.tell([]Unit{m.Unit})
	}
	return nil
}

var errReplaced = ota.Fail(ota.KindUnavailable, "replaced", "the update server sends another file than before")

// learn has an offer know what its start tells. A file nobody spoke of is an
// offer of its own: the backend may send what others depend on (rvi.md 4.12, A6).
func (c *Client) learn(m Start) (news bool) {
	o := c.memory.offer(m.Unit)
	if news = o == nil; news {
		c.memory.hear(told{Unit: m.Unit, Package: m.Unit.Package, Size: m.Size, At: c.opt.Now()})
		o = c.memory.offer(m.Unit)
	}
	if m.SHA256 != "" {
		o.SHA256 = m.SHA256
	}
	if m.Size >= 0 {
		o.Size = m.Size
	}
	if m.Signature != "" {
		o.Signature = m.Signature
	}
	return news
}
