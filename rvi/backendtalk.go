package rvi

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// talk is what a backend has with one vehicle.
type talk struct {
	b      *Backend
	prefix string // of the vehicle's services

	// Guarded by Backend.mu.
	news news
	busy bool // a goroutine looks at the news

	// The rest is guarded by mu, which is taken before Backend.mu.
	mu      sync.Mutex
	ended   bool
	device  ota.DeviceID // "" if not known
	push    ota.Push     // of the device
	contact contact
	here    bool // its services are announced
	told    bool // it was logged that nobody knows the device

	vehicle *Vehicle          // nil if there is no transfer
	files   map[Unit]*sending // of the vehicle
	offered map[ota.UpdateID]bool
	tellAt  time.Time // offer again then; zero if there is nothing to
	greet   bool      // and then as if it had just come
	greeted time.Time // when it came

	timer *time.Timer
}

// news is what happened outside of a talk.
type news struct {
	here       bool // the last that was heard
	came, went bool
	offered    bool // there may be something to offer
	listed     bool // the list of packages is wanted
	due        bool // time has passed
	doubted    bool // the device may be gone
	withdrawn  []ota.UpdateID
	said       []BackendMessage
}

// any reports whether there is something to look at.
func (n news) any() bool {
	return n.came || n.went || n.offered || n.listed || n.due || n.doubted || len(n.withdrawn) > 0 || len(n.said) > 0
}

// note adds to a talk's news, and sees to it that they are looked at. mu is held.
func (b *Backend) note(t *talk, add func(*news)) {
	add(&t.news)
	if t.busy || b.closed {
		return
	}
	t.busy = true
	b.working.Go(func() {
		b.slots <- struct{}{}
		defer func() { <-b.slots }()
		for b.more(t) {
			t.mu.Lock()
			t.catchUp(context.Background())
			t.settle()
			t.mu.Unlock()
		}
	})
}

// more reports whether there are news; if not, nobody looks after them any more.
func (b *Backend) more(t *talk) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.busy = t.news.any()
	return t.busy
}

// take empties a talk's news.
func (b *Backend) take(t *talk) news {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := t.news
	t.news = news{here: n.here}
	return n
}

// catchUp looks at the news.
func (t *talk) catchUp(ctx context.Context) {
	n := t.b.take(t)
	if t.ended {
		return
	}
	if n.doubted {
		t.doubt(ctx)
	}
	if n.went {
		t.left()
	}
	if n.came && n.here {
		t.arrived(ctx)
	}
	for _, id := range n.withdrawn {
		t.withdrawn(ctx, id)
	}
	if n.due {
		t.tick(ctx)
	}
	if n.offered {
		t.offer(ctx)
	}
	if n.listed && t.here && t.known(ctx) == nil {
		t.askForList(ctx)
	}
	for _, m := range n.said {
		if err := t.hear(ctx, m); err != nil {
			t.b.grumble(t, "a message is not taken", err)
		}
	}
}

// known finds the device, and what was kept of it. It fails with KindForbidden
// (unknown_device) if nobody registered it.
func (t *talk) known(ctx context.Context) error {
	if t.device != "" {
		return nil
	}
	who, err := IdentityOf(t.prefix)
	if err != nil {
		return err
	}
	id, err := t.b.find(ctx, who)
	if gone(err) {
		t.b.owned(t, "")
		return ota.Fail(ota.KindForbidden, "unknown_device", "nobody registered a device for %s", t.prefix)
	}
	if err != nil {
		return err
	}
	push := t.b.opt.Devices.Push(id)
	kept, err := readContact(ctx, push)
	if err != nil {
		return err
	}
	t.push, t.contact = push, kept
	t.b.owned(t, id)
	return nil
}

// find is the device of a vehicle; it fails as Devices does.
func (b *Backend) find(ctx context.Context, who Identity) (ota.DeviceID, error) {
	if who.Device == "" {
		return b.opt.Devices.Vehicle(ctx, who.VIN)
	}
	if err := b.opt.Devices.Known(ctx, who.Device); err != nil {
		return "", err
	}
	return who.Device, nil
}

// doubt asks again whether the device is known; if not, it gets nothing more.
func (t *talk) doubt(ctx context.Context) {
	t.b.owned(t, "")
	if ota.KindOf(t.known(ctx)) == ota.KindForbidden {
		t.drop()
	}
}

// drop forgets all that is under way.
func (t *talk) drop() {
	t.closeFiles()
	t.vehicle, t.files, t.offered, t.tellAt = nil, nil, nil, time.Time{}
}

func (t *talk) closeFiles() {
	for _, f := range t.files {
		f.close()
	}
}

// failed deals with an error of the fleet.
func (t *talk) failed(what string, err error) {
	t.b.grumble(t, what, err)
	if gone(err) {
		t.b.owned(t, "")
		t.drop()
	}
}

// left notes that the vehicle's services are gone. Files are closed meanwhile.
func (t *talk) left() {
	t.here = false
	if t.vehicle != nil {
		t.vehicle.Gone()
	}
	t.closeFiles()
}

// arrived notes that the vehicle's services are there: what was begun goes on,
// and everything is offered that has not begun. One that comes and goes all the
// time has to wait for the offers.
func (t *talk) arrived(ctx context.Context) {
	now := t.b.opt.Now()
	was := t.here
	t.here = true
	if t.vehicle != nil && !was {
		t.act(ctx, t.vehicle.Back(now))
	}
	if soon := t.greeted.Add(Quiet); now.Before(soon) {
		t.greet, t.tellAt = true, soon
		return
	}
	t.greeting(ctx)
}

// greeting resumes and offers what there is.
func (t *talk) greeting(ctx context.Context) {
	now := t.b.opt.Now()
	t.greeted, t.greet, t.tellAt, t.offered = now, false, time.Time{}, nil
	err := t.known(ctx)
	if ota.KindOf(err) == ota.KindForbidden {
		if !t.told {
			t.b.grumble(t, "a vehicle gets nothing", err)
		}
		t.told = true
		return
	}
	var queue []ota.QueueEntry
	if err == nil {
		t.push.Heard()
		queue, err = t.push.Queue(ctx)
	}
	if err != nil {
		t.greet, t.tellAt = true, now.Add(AckTimeout)
		t.failed("the queue cannot be read", err)
		return
	}
	t.resume(ctx, queue)
	t.offerOf(ctx, queue, true)
	switch {
	case t.push == nil: // the device is gone
	case t.b.meets(t.device) && t.last() != Unknown && t.vehicle == nil:
		t.askForList(ctx) // the last one may have been lost as the server ended
	default:
		t.owedList(ctx)
	}
}

// tick does what is due.
func (t *talk) tick(ctx context.Context) {
	now := t.b.opt.Now()
	if t.vehicle != nil {
		t.act(ctx, t.vehicle.Tick(now))
	}
	if !t.here || t.tellAt.IsZero() || now.Before(t.tellAt) {
		return
	}
	if t.greet {
		t.greeting(ctx)
		return
	}
	t.offered = nil
	t.offer(ctx)
}

// settle sets the timer for what comes next, or ends a talk that holds nothing.
func (t *talk) settle() {
	if t.ended {
		return
	}
	if t.vehicle != nil && t.vehicle.Idle() {
		t.closeFiles()
		t.vehicle, t.files = nil, nil
	}
	now, next := t.b.opt.Now(), t.next()
	switch {
	case !t.here && t.vehicle == nil && !now.Before(next):
		t.b.forget(t)
	case next.IsZero():
		if t.timer != nil {
			t.timer.Stop()
		}
	case t.timer == nil:
		t.timer = time.AfterFunc(max(next.Sub(now), 0), t.rang)
	default:
		t.timer.Reset(max(next.Sub(now), 0))
	}
}

// next is when the talk has to be looked at again; zero if never. One that is
// over is kept for a moment, lest a vehicle that comes and goes is greeted each time.
func (t *talk) next() time.Time {
	var next time.Time
	switch {
	case t.here:
		next = t.tellAt
	case t.vehicle == nil:
		return t.greeted.Add(Quiet)
	}
	if t.vehicle == nil {
		return next
	}
	if d := t.vehicle.Deadline(); next.IsZero() || !d.IsZero() && d.Before(next) {
		next = d
	}
	return next
}

// rang is called by the timer.
func (t *talk) rang() {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	t.b.note(t, func(n *news) { n.due = true })
}

// forget ends a talk that has nothing more to come.
func (b *Backend) forget(t *talk) {
	b.mu.Lock()
	over := !t.news.any()
	if over && b.talks[t.prefix] == t {
		delete(b.talks, t.prefix)
	}
	b.mu.Unlock()
	if over {
		t.end()
	}
}

// end gives back what a talk holds.
func (t *talk) end() {
	t.ended = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.drop()
	t.b.owned(t, "")
}

// contact is what is kept of a vehicle, to speak to it after a restart.
type contact struct {
	Dialect  string          `json:"dialect"`
	Window   int             `json:"window,omitempty"`
	Services *DeviceServices `json:"services,omitempty"` // if they are others than one expects
}

// contactProtocol is whose contact it is; see ota.Push.
const contactProtocol = "rvi"

func readContact(ctx context.Context, p ota.Push) (c contact, err error) {
	kept, err := p.Contact(ctx, contactProtocol)
	if err == nil {
		err = json.Unmarshal(kept, &c)
	}
	if ota.KindOf(err) == ota.KindNotFound && !gone(err) {
		return contact{}, nil
	}
	return c, err
}

// learn keeps what the vehicle told of itself, before anything is done with it.
func (t *talk) learn(ctx context.Context, c contact) error {
	same := c.Services == t.contact.Services || c.Services != nil && t.contact.Services != nil && *c.Services == *t.contact.Services
	if same && c.Dialect == t.contact.Dialect && c.Window == t.contact.Window {
		return nil
	}
	state, err := json.Marshal(c)
	if err == nil {
		err = t.push.PutContact(ctx, contactProtocol, state)
	}
	if err == nil {
		t.contact = c
	}
	return err
}

// last is the dialect the vehicle used last, Unknown if it never spoke.
func (t *talk) last() Dialect {
	d, _ := ParseDialect(t.contact.Dialect) // what is kept is known or ""
	return d
}

// dialect is the one to speak to the vehicle.
func (t *talk) dialect() Dialect { return Choose(t.last(), t.b.opt.Dialect, t.prefix) }

// service is the full name of one of the vehicle's services.
func (t *talk) service(s Service) string {
	if t.contact.Services != nil {
		if name := t.contact.Services.Name(s); name != "" {
			return name
		}
	}
	return t.prefix + s.Local()[1:]
}
