package rvi

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// Devices are those a Backend speaks for.
type Devices interface {
	// Vehicle finds the device of a VIN. It fails with KindNotFound
	// (missing_device).
	Vehicle(ctx context.Context, vin string) (ota.DeviceID, error)
	// Known fails with KindNotFound (missing_device) if there is no such device.
	Known(ctx context.Context, id ota.DeviceID) error
	// Push is the server's end of the conversation with one that is known.
	Push(id ota.DeviceID) ota.Push
}

// BackendOptions are a Backend's. Devices and Feed are needed.
type BackendOptions struct {
	Devices Devices
	Feed    ota.Feed

	// Dialect is the one of vehicles that have not spoken yet; Unknown takes
	// what their names suggest (rvi.md 5.6).
	Dialect Dialect
	// Dual speaks both dialects to them where the name leaves it open, as that
	// of a VIN does: the one in which they answer decides.
	Dual bool
	// Compatible writes getpackages and abort as the original clients need
	// them (rvi.md 4.10).
	Compatible bool

	Log *slog.Logger     // nothing is logged if nil
	Now func() time.Time // time.Now if nil
}

// Backend is a server's half of the conversation, with all vehicles: it turns
// what they say into calls of ota.Push, and what the fleet wants of them into
// messages. It decides nothing but when to say something again.
//
// There is a talk for every vehicle on the line. What happens outside of it (its
// services come and go, the fleet has news, time passes) is noted, and looked at
// by a goroutine that ends when there is nothing left; messages are dealt with
// where they come in, after that. So a vehicle that says nothing costs no
// goroutine, and one that is slow holds up nobody else.
type Backend struct {
	opt      BackendOptions
	carrier  Carrier
	links    func() []node.LinkInfo // nil at an external node
	services func() BackendServices
	external bool          // the node is another process and does not tell senders
	slots    chan struct{} // of talks at work
	told     *rate.Limiter // of lines in the log that a peer can cause

	mu        sync.Mutex
	talks     map[string]*talk // by prefix
	byDevice  map[ota.DeviceID][]*talk
	strangers map[*talk]bool        // with vehicles that nobody registered
	met       map[ota.DeviceID]bool // that were there since the start
	closed    bool
	working   sync.WaitGroup
}

// atWork is how many talks may look at their news at a time.
const atWork = 64

// NewBackend makes a backend. It needs a node: NodeOptions.Announced is its
// Announced, and then it is attached. Run does the rest.
func NewBackend(o BackendOptions) *Backend {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Backend{opt: o, slots: make(chan struct{}, atWork), told: rate.NewLimiter(1, 20),
		talks: map[string]*talk{}, byDevice: map[ota.DeviceID][]*talk{}, strangers: map[*talk]bool{}, met: map[ota.DeviceID]bool{}}
}

// AttachNode makes the backend's services ones of a node in this process. It
// fails with KindForbidden if the node's credentials do not allow them. Links
// may be taken only after this.
func (b *Backend) AttachNode(n *node.Node) error {
	full := map[Service]string{}
	b.carrier, b.links = n, n.Links
	b.services = func() BackendServices { return backendServices(full) }
	for _, s := range AtBackend {
		name, err := n.Handle(s.Local(), b.heard)
		if err != nil {
			return err
		}
		full[s] = name
	}
	return nil
}

// AttachProgram makes them ones of a node in another process, which does not
// tell whom a message comes from: what the message itself says of that is
// believed, but a vehicle's services must lie below its own prefix (rvi.md 3.6).
func (b *Backend) AttachProgram(p *node.Program) {
	b.carrier, b.external = p, true
	b.services = func() BackendServices {
		full := map[Service]string{}
		for _, s := range AtBackend {
			full[s] = p.FullName(s.Local())
		}
		return backendServices(full)
	}
	for _, s := range AtBackend {
		p.Take(s.Local(), b.taken)
	}
}

// backendServices are the names to tell, as far as the node has told them.
func backendServices(full map[Service]string) BackendServices {
	s := BackendServices{Start: full[ServiceStart], Ack: full[ServiceAck], Report: full[ServiceReport], Packages: full[ServicePackages]}
	if s.Start == "" || s.Ack == "" || s.Report == "" || s.Packages == "" {
		return DefaultBackend()
	}
	return s
}

// Run tells vehicles what the fleet has for them, until ctx is done. Close the
// node before: from then on messages are refused.
func (b *Backend) Run(ctx context.Context) error {
	defer b.close()
	for {
		id, n, err := b.opt.Feed.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			b.opt.Log.Error("rvi: what the fleet has to tell cannot be read", "err", err)
			select {
			case <-time.After(feedRetry):
			case <-ctx.Done():
				return nil
			}
		default:
			b.tell(ctx, id, n)
		}
	}
}

const feedRetry = 5 * time.Second

// tell passes a notice on to its device. If that is not on the line it may be
// one that was unknown when it came.
func (b *Backend) tell(ctx context.Context, id ota.DeviceID, n ota.Notice) {
	note := func(news *news) { news.offered = true }
	switch n := n.(type) {
	case ota.ListWanted:
		note = func(news *news) { news.listed = true }
		if err := wantList(ctx, b.opt.Devices.Push(id), true); err != nil && !gone(err) {
			b.opt.Log.Error("rvi: that a list is wanted cannot be kept", "device", id, "err", err)
		}
	case ota.Withdrawn:
		note = func(news *news) { news.withdrawn = append(news.withdrawn, n.Update) }
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.byDevice[id] {
		b.note(t, note)
	}
	if len(b.byDevice[id]) > 0 {
		return
	}
	for t := range b.strangers {
		b.note(t, note)
	}
}

// Announced is what a node tells of its peers' services: a vehicle is there
// while its notify service is.
func (b *Backend) Announced(a node.Announcement) {
	for _, name := range a.Services {
		prefix, ok := strings.CutSuffix(name, ServiceNotify.Local()[1:])
		if !ok || !b.external && a.Peer.Prefix != prefix {
			continue
		}
		if who, err := IdentityOf(prefix); err != nil || !strings.EqualFold(who.Prefix(), prefix) {
			continue
		}
		b.mu.Lock()
		if t := b.talkWith(prefix, a.Available); t != nil {
			b.note(t, func(n *news) { n.here, n.came, n.went = a.Available, n.came || a.Available, n.went || !a.Available })
		}
		b.mu.Unlock()
	}
}

// Sending reports whether chunks of an update are under way to its device, so
// that withdrawing it stops them.
func (b *Backend) Sending(id ota.DeviceID, update ota.UpdateID) bool {
	b.mu.Lock()
	talks := slices.Clone(b.byDevice[id])
	b.mu.Unlock()
	return slices.ContainsFunc(talks, func(t *talk) bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		_, sending := t.sending(update)
		return sending
	})
}

// Doubt makes the backend ask again whether a device is known.
func (b *Backend) Doubt(id ota.DeviceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.byDevice[id] {
		b.note(t, func(n *news) { n.doubted = true })
	}
}

// talkWith finds the talk with the vehicle of a prefix, and may begin it. mu is
// held.
func (b *Backend) talkWith(prefix string, begin bool) *talk {
	t := b.talks[prefix]
	if t == nil && begin && !b.closed {
		t = &talk{b: b, prefix: prefix}
		b.talks[prefix] = t
	}
	return t
}

// enter gives the caller the talk with a vehicle, for itself alone, until leave.
// It fails with KindUnavailable once the backend has ended.
func (b *Backend) enter(prefix string) (*talk, error) {
	for {
		b.mu.Lock()
		t := b.talkWith(prefix, true)
		b.mu.Unlock()
		if t == nil {
			return nil, errClosed()
		}
		t.mu.Lock()
		if !t.ended {
			return t, nil
		}
		t.mu.Unlock()
	}
}

// list is all talks, in no order.
func (b *Backend) list() (list []*talk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.talks {
		list = append(list, t)
	}
	return list
}

// close ends all talks, and what they hold open.
func (b *Backend) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.working.Wait()
	for _, t := range b.list() {
		t.mu.Lock()
		t.end()
		t.mu.Unlock()
	}
	b.mu.Lock()
	clear(b.talks)
	b.mu.Unlock()
}

// owned notes whose talk it is; "" is nobody's.
func (b *Backend) owned(t *talk, by ota.DeviceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := t.device; old != "" {
		b.byDevice[old] = slices.DeleteFunc(b.byDevice[old], func(o *talk) bool { return o == t })
		if len(b.byDevice[old]) == 0 {
			delete(b.byDevice, old)
		}
	}
	t.device = by
	delete(b.strangers, t)
	switch {
	case by != "":
		b.byDevice[by] = append(b.byDevice[by], t)
	case !t.ended:
		b.strangers[t] = true
	}
}

// meets reports whether this is the first time since the start that a device is
// there.
func (b *Backend) meets(id ota.DeviceID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.met[id]
	b.met[id] = true
	return first
}

// grumble logs what went wrong in a talk; not too often, as a peer may be the cause.
func (b *Backend) grumble(t *talk, what string, err error) {
	if b.told.Allow() {
		b.opt.Log.Warn("rvi: "+what, "peer", t.prefix, "device", t.device, "err", err)
	}
}

// gone tells whether an error says that the device is not there (any more).
func gone(err error) bool { return ota.CodeOf(err) == "missing_device" }
