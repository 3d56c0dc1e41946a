package rvi

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
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

// reappeared goes on with a backend that was away (rvi.md 4.7).
func (c *Client) reappeared(ctx context.Context) {
	c.mu.Lock()
	units := c.device.Back(c.opt.Now())
	clear(c.failed)
	var reports []Unit
	for _, r := range c.memory.Reports {
		if !r.Sure {
			reports = append(reports, r.Unit)
		}
	}
	c.mu.Unlock()
	for _, u := range units {
		c.acknowledge(ctx, u)
	}
	for _, u := range reports {
		c.repeat(ctx, u)
	}
}

// repeat sends a report once more.
func (c *Client) repeat(ctx context.Context, u Unit) {
	c.mu.Lock()
	r := c.memory.report(u)
	var m Report
	if r != nil {
		m = Report{From: c.as(u), Unit: u, Results: r.Results}
	}
	c.mu.Unlock()
	if r == nil || c.say(ctx, m) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.memory.report(u); r != nil && !r.Sent {
		r.Sent = true
		c.save()
	}
}

// tick does what is due because nothing happened.
func (c *Client) tick(ctx context.Context) {
	c.mu.Lock()
	due := c.device.Tick(c.opt.Now())
	for _, u := range due.Drop {
		c.drop(u, ota.Fail(ota.KindUnavailable, "idle_transfer", "the update server has sent nothing for too long"))
	}
	if len(due.Drop) > 0 {
		c.save()
	}
	for _, u := range due.Quiet {
		if c.edge || c.there[c.services().Start] {
			c.fail(u, notSent(u))
		}
	}
	if len(due.Drop)+len(due.Quiet) > 0 {
		c.note()
	}
	c.mu.Unlock()
	for _, u := range due.Ask {
		c.ask(ctx, u)
	}
	for _, u := range due.Ack {
		c.acknowledge(ctx, u)
	}
}

// ask says that a unit is wanted.
func (c *Client) ask(ctx context.Context, u Unit) {
	from := c.as(u)
	services := ServicesOf(c.own())
	_ = c.say(ctx, BackendStart{From: from, Units: []Unit{u}, Services: services, Window: c.opt.Window})
}
