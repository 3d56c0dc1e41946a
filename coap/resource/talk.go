package resource

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// talks is what is under way with constrained devices that have updates: who
// waits to be told, who fetches, who is to report. A device that has nothing to
// do has no talk.
//
// What happens outside of a talk (the fleet has news, a device registers, blocks
// go out, time passes) is noted, and looked at by one goroutine per talk that
// ends when there is nothing left: so a device is asked one thing at a time
// (NSTART), and one that does not answer holds up nobody else.
type talks struct {
	door  *Door
	slots chan struct{} // of talks at work
	calls chan struct{} // of devices that are being asked something

	mu      sync.RWMutex
	run     context.Context // nil until Run, and after it
	byID    map[ota.DeviceID]*talk
	byAddr  map[netip.Addr]*talk
	changed func(path string)
	working sync.WaitGroup
}

// atWork is how many talks may look at their news at a time, and atOnce how many
// devices may be asked something: most of those may not answer.
const (
	atWork = 64
	atOnce = 512
)

// talk is what is under way with one device.
type talk struct {
	id    ota.DeviceID
	moved atomic.Int64 // when a block of anything went out to it, in Unix nanoseconds
	// It has answered at the address it has now.
	answered atomic.Bool

	// Guarded by talks.mu.
	busy    bool
	news    news
	timer   *time.Timer
	addr    netip.Addr                // where it is; not valid if that is not known
	open    bool                      // whoever says to be the device is believed
	fetches map[ota.Digest]*following // what it fetches, or has fetched
	update  ota.Update                // that was looked at last
}

// news is what a talk has to look at.
type news struct {
	any     bool
	here    bool       // it is awake: what waits for a later time is told now
	fetched []progress // in order
}

// progress is a file a device began to fetch, or has fetched.
type progress struct {
	file ota.Digest
	done bool
}

// following is a transfer to a device that is known.
type following struct {
	*transfer
	peer  coap.Peer
	since time.Time
	talk  *talk
	told  atomic.Bool // that it is done
}

func newTalks(d *Door) *talks {
	return &talks{door: d, slots: make(chan struct{}, atWork), calls: make(chan struct{}, atOnce), byID: map[ota.DeviceID]*talk{}, byAddr: map[netip.Addr]*talk{}}
}

// Run speaks with devices until ctx ends: it tells those that are CoAP servers
// what there is for them, and changed (see coap.Server.Changed) what observers
// are to hear of.
func (d *Door) Run(ctx context.Context, changed func(path string)) {
	t := d.talks
	feed := d.Fleet.Feed()
	t.mu.Lock()
	t.run, t.changed = ctx, changed
	t.mu.Unlock()
	defer t.close()
	waiting, err := d.Fleet.ConstrainedWaiting(ctx)
	if err != nil {
		d.Log.Error("constrained devices that wait cannot be listed", "err", err)
	}
	for _, id := range waiting {
		t.note(id, func(*news) {})
	}
	for {
		id, _, err := feed.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.Log.Error("what the fleet has to tell cannot be read", "err", err)
			select {
			case <-time.After(feedRetry):
			case <-ctx.Done():
				return
			}
		default:
			t.tell(ctx, id)
		}
	}
}

const feedRetry = 5 * time.Second

// tell passes on that something changed for a device, if it is a constrained one.
func (t *talks) tell(ctx context.Context, id ota.DeviceID) {
	dev, err := t.door.Fleet.Constrained(ctx, ota.DefaultNamespace, string(id))
	if err != nil {
		if ota.KindOf(err) != ota.KindNotFound {
			t.door.Log.Error("a device cannot be told", "device", id, "err", err)
		}
		return
	}
	t.note(id, func(*news) {}) // before it begins to fetch
	t.observed(dev)
}

// observed notifies those who observe what a device is to install.
func (t *talks) observed(dev ota.Device) {
	t.mu.RLock()
	changed := t.changed
	t.mu.RUnlock()
	if changed != nil {
		changed("/u/" + string(dev.ID))
		changed("/u/" + dev.Name)
	}
}

// note gives a talk something to look at, and begins it if need be.
func (t *talks) note(id ota.DeviceID, add func(*news)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run == nil || t.run.Err() != nil {
		return
	}
	k := t.byID[id]
	if k == nil {
		k = &talk{id: id, fetches: map[ota.Digest]*following{}}
		t.byID[id] = k
	}
	k.news.any = true
	add(&k.news)
	if !k.busy {
		k.busy = true
		ctx := t.run
		t.working.Go(func() { t.work(ctx, k) })
	}
}

// expect begins the talk with a device that is about to fetch something, if the
// news that there is something has not, or was not looked at: what is fetched
// meanwhile counts.
func (t *talks) expect(dev ota.Device, u ota.Update) {
	looked := func() bool {
		k := t.byID[dev.ID]
		return k != nil && k.update.ID != ""
	}
	t.mu.RLock()
	known := looked()
	t.mu.RUnlock()
	if known {
		return
	}
	t.note(dev.ID, func(*news) {})
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.byID[dev.ID]; k != nil && !looked() {
		k.update, k.open = u, t.believes(dev)
	}
}

// believes reports whether whoever says to be a device is taken for it.
func (t *talks) believes(dev ota.Device) bool {
	return dev.Constrained.Plain || t.door.Trusting
}

// work looks at a talk until it has no news.
func (t *talks) work(ctx context.Context, k *talk) {
	for {
		t.mu.Lock()
		n := k.news
		k.news = news{}
		if !n.any {
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		next := time.Time{}
		select {
		case t.slots <- struct{}{}:
			next = t.look(ctx, k, n)
			<-t.slots
		case <-ctx.Done():
		}
		if t.rest(ctx, k, next) {
			return
		}
	}
}

// call asks a device something, which takes as long as the device does: others
// are looked at meanwhile.
func (t *talks) call(ctx context.Context, ask func(context.Context) error) error {
	<-t.slots
	defer func() { t.slots <- struct{}{} }()
	select {
	case t.calls <- struct{}{}:
		defer func() { <-t.calls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return ask(ctx)
}

// rest ends the work on a talk until there is news, next at the latest. A talk
// that waits for nothing ends. It reports false if there is news already.
func (t *talks) rest(ctx context.Context, k *talk, next time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.news.any && ctx.Err() == nil {
		return false
	}
	k.busy = false
	if next.IsZero() || ctx.Err() != nil {
		t.forget(k)
		return true
	}
	wait := max(next.Sub(t.door.Fleet.Now()), 0)
	k.timer = time.AfterFunc(wait, func() { t.note(k.id, func(*news) {}) })
	return true
}

// forget ends a talk. mu is held.
func (t *talks) forget(k *talk) {
	if t.byID[k.id] == k {
		delete(t.byID, k.id)
	}
	if t.byAddr[k.addr] == k {
		delete(t.byAddr, k.addr)
	}
}

// place notes where a device is, so that what is fetched from there is known to
// be fetched by it.
func (t *talks) place(k *talk, address string) {
	host, _, err := net.SplitHostPort(strings.TrimSuffix(address, pathOf(address)))
	if err != nil {
		host = strings.Trim(strings.TrimSuffix(address, pathOf(address)), "[]")
	}
	addr, _ := netip.ParseAddr(host) // a name is nobody's address
	t.mu.Lock()
	defer t.mu.Unlock()
	addr = addr.Unmap()
	if k.addr == addr {
		return
	}
	k.answered.Store(false)
	if t.byAddr[k.addr] == k {
		delete(t.byAddr, k.addr)
	}
	if k.addr = addr; addr.IsValid() {
		t.byAddr[addr] = k
	}
}

// close waits for what is under way. The talks are begun anew by the next Run.
func (t *talks) close() {
	t.mu.Lock()
	t.run = nil
	for _, k := range t.byID {
		if k.timer != nil {
			k.timer.Stop()
		}
	}
	t.mu.Unlock()
	t.working.Wait()
	t.mu.Lock()
	clear(t.byID)
	clear(t.byAddr)
	t.mu.Unlock()
}
