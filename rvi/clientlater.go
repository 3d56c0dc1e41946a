package rvi

import (
	"context"
	"maps"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// reappeared goes on with a backend that was away (rvi.md 4.7).
func (c *Client) reappeared(ctx context.Context) {
	c.mu.Lock()
	units := c.device.Back(c.opt.Now())
	clear(c.failed)
	asks := ordered(slices.Collect(maps.Keys(c.device.asked))) // it may not have heard
	var reports []Unit
	for _, r := range c.memory.Reports {
		if !r.Sure {
			reports = append(reports, r.Unit)
		}
	}
	c.mu.Unlock()
	for _, u := range asks {
		c.ask(ctx, u)
	}
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
