package resource

import (
	"cmp"
	"slices"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// What devices fetch tells how far they are, without their help: that is known
// from the blocks that go out. Whose they are is known over coaps; over plain
// CoAP the address of one that answered there is a hint that nothing but progress
// is made of, and so is ?d=UUID for one that is believed without proof.

// follow finds the talk with the device that begins to fetch a file, nil if
// there is none.
func (t *talks) follow(r *coap.Request, at *transfer) *following {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) == 0 {
		return nil
	}
	var k *talk
	switch hint, given := r.Query("d"); {
	case r.Peer.Security != coap.NoSecurity:
		k = t.byID[ota.DeviceID(r.Peer.Identity)]
	case given:
		if k = t.byID[ota.DeviceID(hint)]; k != nil && !k.open {
			k = nil
		}
	default:
		if k = t.byAddr[r.Peer.Addr.Addr().Unmap()]; k != nil && !k.open && !k.answered.Load() {
			k = nil
		}
	}
	if k == nil {
		return nil
	}
	f := &following{transfer: at, peer: r.Peer, since: t.door.Fleet.Now(), talk: k}
	if len(k.fetches) < maxFetches {
		k.fetches[at.book.sum] = f
	}
	return f
}

// maxFetches bounds the files of one talk that are looked at.
const maxFetches = 64

// sent notes that a block goes out: it is called for each of them, and must
// not take time.
func (t *talks) sent(f *following, first bool) {
	f.talk.moved.Store(t.door.Fleet.Now().UnixNano())
	done := f.end.Load() >= f.book.size
	if !first && (!done || f.told.Load()) {
		return
	}
	f.told.Store(done)
	p := progress{f.book.sum, done}
	t.note(f.talk.id, func(n *news) {
		if !slices.Contains(n.fetched, p) && len(n.fetched) < maxFetches {
			n.fetched = append(n.fetched, p)
		}
	})
}

// Links lists the devices that fetch something of their update, or have.
func (d *Door) Links() (list []ota.Link) {
	t := d.talks
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, k := range t.byID {
		l := ota.Link{Protocol: contactProtocol, Device: k.id}
		for _, f := range k.fetches {
			if l.Since.IsZero() || f.since.Before(l.Since) {
				l.Since = f.since
			}
			l.Peer, l.Addr, l.Secure = f.peer.Identity, f.peer.Addr.String(), f.peer.Security != coap.NoSecurity
			state := "fetching"
			if f.told.Load() {
				state = "fetched"
			}
			l.Transfers = append(l.Transfers, ota.Transfer{Update: k.update.ID, Package: k.update.Package, State: state, Size: f.book.size, Held: f.end.Load()})
		}
		if len(l.Transfers) > 0 {
			slices.SortFunc(l.Transfers, func(a, b ota.Transfer) int { return cmp.Compare(b.Size, a.Size) })
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b ota.Link) int { return cmp.Compare(a.Device, b.Device) })
	return list
}
