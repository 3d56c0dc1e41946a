package rvi

import (
	"context"
	"slices"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// hear checks a message and leaves it to Run. Its error is what a program's
// node is told (rvi.md 2.7); nothing has changed then.
func (c *Client) hear(ctx context.Context, m node.Message) error {
	if !c.slot(ctx) {
		return &node.Refusal{Code: -32100, Reason: "queue_full", Err: ota.Fail(ota.KindTooMany, "queue_full", "too much is waiting")}
	}
	msg, err := ReadAtDevice(m.Service, m.Params)
	if err == nil {
		err = c.take(msg)
	}
	if err == nil {
		return nil
	}
	<-c.slots
	o := RefusedAtDevice(err)
	return &node.Refusal{Code: o.Code, Reason: o.Reason, Err: err}
}

// slot waits for room. At the edge nobody waits: the node would not.
func (c *Client) slot(ctx context.Context) bool {
	select {
	case c.slots <- struct{}{}:
		return true
	default:
	}
	if c.edge {
		return false
	}
	select {
	case c.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// take checks a message against what is under way.
func (c *Client) take(m DeviceMessage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.opt.Now()
	switch m := m.(type) {
	case Notify:
		if err := m.Services.CheckBackend(c.own()); err != nil {
			return err
		}
		c.leave(func(ctx context.Context) { c.notified(m) })
	case Start:
		c.leave(func(ctx context.Context) { c.started(ctx, m) })
	case Chunk:
		at, err := c.device.Chunk(m, now)
		if err != nil {
			return err
		}
		c.tasks = append(c.tasks, task{chunk: &arrival{Chunk: m, of: c.files[m.Unit], write: at.Write}})
		c.note()
	case Finish:
		return c.takeFinish(m)
	case Abort:
		c.leave(func(context.Context) { c.abort() })
	case GetPackages:
		c.leave(func(context.Context) { c.listWanted() })
	}
	return nil
}

func (c *Client) takeFinish(m Finish) error {
	ending, err := c.device.Finish(m, c.opt.Now())
	if ota.CodeOf(err) == "incomplete_transfer" {
		c.tasks = append(c.tasks, task{run: func(ctx context.Context) { c.acknowledge(ctx, m.Unit) }})
		c.note()
	}
	if err != nil {
		return err
	}
	switch ending {
	case Check:
		in := c.files[m.Unit]
		c.leave(func(ctx context.Context) { c.check(ctx, in) })
	case Again:
		c.leave(func(ctx context.Context) { c.repeat(ctx, m.Unit) })
	case Wait:
		c.leave(func(context.Context) {})
	}
	return nil
}

// leave leaves something to Run, and gives the message's slot back after it.
// mu is held.
func (c *Client) leave(run func(context.Context)) {
	c.tasks = append(c.tasks, task{run: func(ctx context.Context) {
		defer func() { <-c.slots }()
		run(ctx)
	}})
	c.note()
}

// save makes what was changed durable. mu is held.
func (c *Client) save() error {
	c.memory.Files = nil
	for _, in := range c.files {
		if r, ok := c.device.files[in.start.Unit]; ok {
			c.memory.Files = append(c.memory.Files, kept{in.start, r.stage})
		}
	}
	err := c.memory.write(c.dir)
	if err != nil {
		c.opt.Log.Error("cannot keep what the update server said", "err", err)
	}
	return err
}

// notified takes a notify: the names, and what is offered (rvi.md 4.4, 4.7).
func (c *Client) notified(m Notify) {
	c.mu.Lock()
	offers := c.offersOf(m)
	was := c.memory.clone()
	c.memory.Services = m.Services
	var news []Unit
	for _, o := range offers {
		if r := c.memory.report(o.Unit); r != nil && r.over() {
			u := o.Unit
			c.tasks = append(c.tasks, task{run: func(ctx context.Context) { c.repeat(ctx, u) }})
			continue
		}
		c.forgetReported(o.Unit)
		c.memory.hear(o)
		delete(c.aborted, o.Unit.ID())
		delete(c.failed, o.Unit)
		news = append(news, o.Unit)
	}
	c.memory.sure()
	if err := c.save(); err != nil {
		c.memory = was // it comes again
		c.mu.Unlock()
		return
	}
	c.tell(news)
	c.note()
	c.mu.Unlock()
	c.opt.Fault("notify taken")
}

// offersOf are the offers of a notify. One that speaks both dialects is taken
// in ours (rvi.md 5.6).
func (c *Client) offersOf(m Notify) (list []told) {
	now := c.opt.Now()
	if u := m.Update; u != nil && (len(m.Packages) == 0 || c.opt.Dialect != Dialect2015) {
		c.memory.Family = Dialect2016
		return []told{{Unit: Unit{Update: u.Update}, Package: u.Package, Size: u.Size, Signature: u.Signature,
			Description: u.Description, Confirm: u.Confirm, At: now}}
	}
	if len(m.Packages) > 0 {
		c.memory.Family = Dialect2015
	}
	for _, p := range m.Packages {
		list = append(list, told{Unit: Unit{Package: p.Package}, Package: p.Package, Size: p.Size, SHA256: p.SHA256, Confirm: p.Confirm, At: now})
	}
	return list
}

// over reports whether an offer is of something that has ended, and whose report
// was lost: an update has an id of its own, but a package may well be wanted once
// more, if it failed or if the backend knows that it did not.
func (r said) over() bool {
	return r.Unit.Update != "" || !r.Sure && ota.Report{Results: r.Results}.Success()
}

// forgetReported lets a package that was reported come again. mu is held.
func (c *Client) forgetReported(u Unit) {
	c.memory.unsay(u)
	if r, ok := c.device.files[u]; ok && r.stage == Reported {
		c.drop(u, nil)
	}
}

// tell has the client's owner hear of offers. mu is held.
func (c *Client) tell(units []Unit) {
	var offers []ota.Offer
	for i, o := range c.memory.Offers {
		if slices.Contains(units, o.Unit) {
			offers = append(offers, c.offer(o, i))
		}
	}
	if len(offers) > 0 {
		c.notice(ota.Offered{Offers: offers})
	}
}

// Notices are hints: if nobody takes them there is room for so many, of which
// so many may hold offers.
const (
	maxNotices = 4 * maxOffers
	maxOffered = 16
)

// notice keeps a notice for Next. mu is held.
func (c *Client) notice(n ota.Notice) {
	_, offered := n.(ota.Offered)
	if len(c.notices) >= maxNotices || offered && c.offered() >= maxOffered {
		return
	}
	c.notices = append(c.notices, n)
}

func (c *Client) offered() (n int) {
	for _, x := range c.notices {
		if _, ok := x.(ota.Offered); ok {
			n++
		}
	}
	return n
}

// abort ends what has not begun to be installed, and takes all offers back
// (rvi.md 4.7).
func (c *Client) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	units := c.device.Abort()
	if len(c.aborted) >= maxNotices {
		clear(c.aborted)
	}
	for _, o := range c.memory.Offers {
		if !slices.Contains(units, o.Unit) {
			units = append(units, o.Unit)
		}
	}
	for _, u := range units {
		c.notice(ota.Withdrawn{Update: u.ID()})
		c.aborted[u.ID()] = true
		c.memory.forget(u)
		if r, ok := c.device.files[u]; !ok || r.stage == Receiving {
			c.drop(u, errAborted)
		}
	}
	c.save()
	c.note()
}

var errAborted = ota.Fail(ota.KindUnavailable, "aborted", "the update server has ended its transfers, and will offer the update again")

func (c *Client) listWanted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memory.sure() {
		c.save()
	}
	if !slices.Contains(c.notices, ota.Notice(ota.ListWanted{})) {
		c.notice(ota.ListWanted{})
	}
	c.note()
}
