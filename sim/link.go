package sim

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// link is a device's end of the conversation with its server.
type link struct {
	device *Device

	mu     sync.Mutex
	client *coap.Client // nil until it is needed
	heard  string       // what the server wanted last, as it said it
}

// maxAnswer is the longest answer a device takes from its server, in bytes.
const maxAnswer = 4 << 10

// use calls f with a client. After a failure of the network the next one gets
// another client.
func (l *link) use(ctx context.Context, f func(*coap.Client) error) error {
	l.mu.Lock()
	c := l.client
	if c == nil {
		u, err := url.Parse(l.device.Server)
		if err == nil {
			c, err = l.device.network().dial(ctx, u, maxAnswer)
		}
		if err != nil {
			l.mu.Unlock()
			return err
		}
		l.client = c
	}
	l.mu.Unlock()
	err := f(c)
	if _, answered := errors.AsType[*coap.ResponseError](err); err != nil && !answered && ctx.Err() == nil {
		l.mu.Lock()
		if l.client == c {
			l.client = nil
			_ = c.Close()
		}
		l.mu.Unlock()
	}
	return err
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		_ = l.client.Close()
		l.client = nil
	}
	l.heard = ""
}

// news reports whether the server has not said this before.
func (l *link) news(payload string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if payload == l.heard {
		return false
	}
	l.heard = payload
	return true
}

// settled lets what was said before count as news: the server knows how it
// ended, and would not want it again for nothing.
func (l *link) settled() { l.news("") }

// network is how the device speaks, with the key it was given last.
func (d *Device) network() Network {
	n := d.Network
	if id := d.flash.now().Identity; id != nil {
		n.Identity, n.Key = id.Identity, id.Key
	}
	return n
}

// path is what the device is called at its server.
func (d *Device) path() string {
	if id := d.flash.now().Identity; id != nil {
		return id.Path
	}
	return d.Path
}

// converse speaks with the server until ctx ends: it enrols if need be, tells
// where the device listens, reports, and hears what to install; not before it
// has told how the last one ended, or it would hear of the same again.
func (d *Device) converse(ctx context.Context) {
	if !d.until(ctx, "enrol", d.enrol) || !d.until(ctx, "report", d.reportLast) {
		return
	}
	var talks sync.WaitGroup
	talks.Go(func() { d.reportAll(ctx) })
	if d.Register {
		talks.Go(func() { d.registerAgain(ctx) })
	}
	talks.Go(func() { d.observe(ctx) })
	talks.Wait()
}

// until does something again and again until it works; false if ctx ended
// before.
func (d *Device) until(ctx context.Context, what string, do func(context.Context) error) bool {
	const longest = time.Minute
	for pause := time.Second; ; pause = min(2*pause, longest) {
		err := do(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		d.trouble(what, err)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

func sleep(ctx context.Context, long time.Duration) bool {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// enrolment is what a device says of itself, and enrolled what it is given.
type enrolment struct {
	Vendor string `cbor:"2,keyasint,omitempty"`
	Class  string `cbor:"3,keyasint,omitempty"`
}

type enrolled struct {
	ID       string `cbor:"1,keyasint"`
	Identity string `cbor:"2,keyasint"`
	Key      string `cbor:"3,keyasint"`
}

// enrol trades the token for a key of its own.
func (d *Device) enrol(ctx context.Context) error {
	if d.EnrolToken == "" || d.flash.now().Identity != nil {
		return nil
	}
	u, err := url.Parse(d.Server)
	if err != nil {
		return err
	}
	n := d.Network
	n.Identity, n.Key = ota.EnrolmentOf(ota.DeviceID(d.Path)), []byte(d.EnrolToken)
	c, err := n.dial(ctx, u, maxAnswer)
	if err != nil {
		return err
	}
	defer c.Close()
	ask, err := cbor.Marshal(enrolment{d.VendorName, d.ClassName})
	if err != nil {
		return err
	}
	m, err := c.Post(ctx, "/e", coap.CBOR, ask)
	if err == nil {
		err = m.Err()
	}
	if err != nil {
		return err
	}
	var given enrolled
	if err := cbor.Unmarshal(m.Payload, &given); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	id := &identity{given.ID, given.Identity, []byte(given.Key)}
	if err := d.flash.change(func(f *facts) { f.Identity = id }); err != nil {
		return err
	}
	d.tell(Event{Kind: Enrolled, Path: given.ID})
	return nil
}

// lifetime is for how long a registration is good.
const lifetime = time.Hour

// registerAgain keeps the server's knowledge of where the device listens fresh
// (RFC 9176).
func (d *Device) registerAgain(ctx context.Context) {
	for d.until(ctx, "register", d.register) && sleep(ctx, lifetime/2) {
	}
}

func (d *Device) register(ctx context.Context) error {
	target := fmt.Sprintf("/rd?ep=%s&lt=%d&base=coap://%s", d.path(), int(lifetime.Seconds()), d.address)
	if n := d.flash.now().Sequence; n != nil {
		target += fmt.Sprintf("&seq=%d", *n)
	}
	err := d.link.use(ctx, func(c *coap.Client) error {
		m, err := c.Post(ctx, target, coap.LinkFormat, []byte(links))
		if err == nil {
			err = m.Err()
		}
		return err
	})
	if err == nil {
		d.tell(Event{Kind: Registered, URL: "coap://" + d.address})
	}
	return err
}

// desired is what a server wants installed (5).
type desired struct {
	Sequence uint64 `cbor:"1,keyasint"`
	Digest   []byte `cbor:"2,keyasint"` // SHA-256 of the manifest's file
	URI      string `cbor:"3,keyasint"` // may be relative
	Size     uint64 `cbor:"4,keyasint"`
}

// observe hears what the server wants installed, and asks from time to time
// while it wants nothing.
func (d *Device) observe(ctx context.Context) {
	for {
		err := d.link.use(ctx, func(c *coap.Client) error { return d.observeBy(ctx, c) })
		if ctx.Err() != nil {
			return
		}
		if _, answered := errors.AsType[*coap.ResponseError](err); err != nil && !answered {
			d.trouble("observe", err)
		}
		if !sleep(ctx, d.Poll) {
			return
		}
	}
}

// observeBy ends when the server has nothing to say, or nothing to observe.
func (d *Device) observeBy(ctx context.Context, c *coap.Client) error {
	for m, err := range c.Observe(ctx, fmt.Sprintf("/u/%s?slot=%d", d.path(), 1-d.flash.now().Active)) {
		if err == nil {
			err = m.Err()
		}
		if err != nil {
			return err
		}
		if m.Code != coap.ContentCode || len(m.Payload) == 0 || !d.link.news(string(m.Payload)) {
			continue
		}
		o, err := d.wanted(m.Payload)
		if err != nil {
			d.trouble("read what is wanted", err)
			continue
		}
		if o.url != "" {
			d.orders.put(o)
		}
	}
	return nil
}

// wanted reads what the server wants; nothing, if the URL is "".
func (d *Device) wanted(payload []byte) (order, error) {
	var w desired
	if err := cbor.Unmarshal(payload, &w); err != nil || w.URI == "" {
		return order{}, err
	}
	base, err := url.Parse(d.Server)
	if err != nil {
		return order{}, err
	}
	at, err := base.Parse(w.URI)
	if err != nil {
		return order{}, err
	}
	return order{url: at.String(), digest: w.Digest}, nil
}
