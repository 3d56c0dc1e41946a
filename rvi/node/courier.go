package node

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"
)

// delivery is what a local service is told: a parcel, or that a service has
// come or gone.
type delivery struct {
	parcel  *parcel
	method  string // services_available or services_unavailable
	service string
}

func (d delivery) size() int {
	if d.parcel != nil {
		return d.parcel.size()
	}
	return len(d.service) + 128
}

func (d delivery) name() string {
	if d.parcel != nil {
		return d.parcel.service
	}
	return d.service
}

// courier brings deliveries to one place, one after the other. It has a
// goroutine only while it has something to do. Its fields but n, to and carry
// are guarded by Node.mu.
type courier struct {
	n     *Node
	to    string   // address, for logs
	url   *url.URL // nil if it is no address
	carry func(context.Context, delivery) error

	services int // that are at this place
	gone     bool
	busy     bool
	queue    []delivery
	bytes    int
}

// errAway is wrapped by errors of carry that say that nobody was there, so that
// the same delivery may be tried again.
var errAway = errors.New("nobody is there")

const (
	firstPause = 250 * time.Millisecond
	lastPause  = 10 * time.Second
)

// push adds a delivery; false if there is no room.
func (c *courier) push(d delivery) bool {
	if c.n.closed || c.gone || len(c.queue) >= c.n.opt.QueueMessages || c.bytes+d.size() > c.n.opt.QueueBytes || !c.n.room(d.size()) || !c.fair(d) {
		return false
	}
	c.queue = append(c.queue, d)
	c.count(d.size())
	if !c.busy {
		c.busy = true
		c.n.wg.Go(c.run)
	}
	return true
}

func (c *courier) count(bytes int) {
	c.bytes += bytes
	c.n.queued += bytes
}

// fair reports whether a delivery leaves room for other peers': each may have a
// quarter of the queue, by number, and half of it, by size.
func (c *courier) fair(d delivery) bool {
	if d.parcel == nil || d.parcel.from.Addr == "" {
		return true
	}
	number, bytes, owner := 1, d.size(), d.parcel.owner()
	for _, other := range c.queue {
		if other.parcel != nil && other.parcel.owner() == owner {
			number++
			bytes += other.size()
		}
	}
	return number <= max(c.n.opt.QueueMessages/4, 1) && (number == 1 || bytes <= c.n.opt.QueueBytes/2)
}

// idle reports that nothing is on its way, so that a message may overtake none.
func (c *courier) idle() bool { return !c.busy }

// takeBack removes the parcels of a service, to be routed anew. The one that is
// being carried is not among them.
func (c *courier) takeBack(name string) (parcels []*parcel) {
	c.queue = slices.DeleteFunc(c.queue, func(d delivery) bool {
		if d.name() != name && !c.gone {
			return false
		}
		c.count(-d.size())
		if d.parcel != nil {
			parcels = append(parcels, d.parcel)
		}
		return true
	})
	return parcels
}

func (c *courier) run() {
	pause := firstPause
	for {
		d, ok := c.next()
		if !ok {
			return
		}
		err := c.bring(d)
		if !c.settle(d, err) {
			pause = firstPause
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-c.n.ctx.Done():
		}
	}
}

// bring carries a delivery, after its parameters were made.
func (c *courier) bring(d delivery) error {
	if d.parcel != nil && d.parcel.make != nil {
		params, err := d.parcel.open(func() []byte { return nil })
		if err != nil {
			return err
		}
		made := *d.parcel
		made.params = params
		d.parcel = &made
	}
	return c.carry(c.n.ctx, d)
}

// next takes the first delivery that has not expired.
func (c *courier) next() (delivery, bool) {
	c.n.mu.Lock()
	defer c.n.unlock()
	for len(c.queue) > 0 {
		d := c.queue[0]
		c.queue = slices.Delete(c.queue, 0, 1)
		c.count(-d.size())
		c.n.freed.Broadcast()
		switch {
		case c.n.closed:
			c.n.audit("closed", "local", d.name(), "the node ended before the service had the message")
		case d.parcel != nil && !d.parcel.expires.After(c.n.now()):
			c.n.audit("expired", d.parcel.from.String(), d.name(), "the service at "+c.to+" did not take it in time")
		default:
			return d, true
		}
	}
	c.queue, c.busy = nil, false
	return delivery{}, false
}

// settle reports whether the delivery is to be tried again: a message is if
// nobody was there and it may still find somebody.
func (c *courier) settle(d delivery, err error) (again bool) {
	if err == nil || errors.Is(err, errWithdrawn) {
		return false
	}
	c.n.mu.Lock()
	defer c.n.unlock()
	if d.parcel == nil || !errors.Is(err, errAway) || c.n.closed {
		c.n.audit("not_delivered", "local", d.name(), "to "+c.to+": "+err.Error())
		return false
	}
	if c.gone || c.n.local[d.name()] == nil || c.n.local[d.name()].courier != c {
		c.n.reroute([]*parcel{d.parcel})
		return false
	}
	c.queue = slices.Insert(c.queue, 0, d)
	c.count(d.size())
	return true
}
