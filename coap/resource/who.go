package resource

import (
	"net/netip"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

// caller is the device that a request is from, or is about.
type caller struct {
	ota.Device
	proven bool // it has shown who it is, by a key or a certificate
}

// caller finds out which device it is: over coaps the one that has shown who
// it is, else the one that the path names, if that may speak for itself without
// any proof. ref is what the path says, "" if it says nothing. It fails with
// KindUnauthenticated, KindForbidden or KindNotFound.
func (d *Door) caller(r *coap.Request, ref string) (caller, error) {
	p := r.Peer
	if p.Security == coap.NoSecurity {
		return d.named(r, ref)
	}
	if ota.IsEnrolment(p.Identity) {
		return caller{}, errEnrolFirst
	}
	dev, err := d.Fleet.Constrained(r.Context(), d.namespaceOf(p), p.Identity)
	if err != nil {
		return caller{}, err
	}
	if ref != "" && ref != string(dev.ID) && ref != dev.Name {
		return caller{}, ota.Fail(ota.KindForbidden, "another_device", "that is another device")
	}
	return caller{dev, true}, nil
}

var errEnrolFirst = ota.Fail(ota.KindForbidden, "enrol_first", "this key is good for enrolment at /e only")

// named finds the device that a path names. With proof asked for, one that is
// not there is refused as one that must prove who it is: strangers need not
// know who is here.
func (d *Door) named(r *coap.Request, ref string) (caller, error) {
	dev, err := d.Fleet.Constrained(r.Context(), ota.DefaultNamespace, ref)
	missing := err != nil && ota.KindOf(err) == ota.KindNotFound
	switch {
	case d.Trusting || err != nil && !missing:
		return caller{Device: dev}, err
	case missing || !dev.Constrained.Plain:
		return caller{}, ota.Fail(ota.KindUnauthenticated, "proof_needed", "prove who you are: use coaps")
	}
	return caller{Device: dev}, nil
}

// PSK is the key of a device that speaks coaps.
func (d *Door) PSK(identity string) ([]byte, error) {
	k, ns, err := d.Fleet.PSK(d.ctx, identity)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.gone, identity)
	if ns != ota.DefaultNamespace {
		d.elsewhere[identity] = ns
	}
	return []byte(k.Key), nil
}

// Gone tells that a device was removed: sessions it has open get nothing more.
func (d *Door) Gone(id ota.DeviceID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.gone) >= maxGone {
		clear(d.gone) // sessions that old have mostly ended
	}
	d.gone[string(id)] = true
	delete(d.elsewhere, string(id))
	clear(d.certified)
}

// maxGone bounds the removed devices that are remembered.
const maxGone = 100_000

// namespaceOf is the namespace of a peer: that of its key, and the default one
// for all others.
func (d *Door) namespaceOf(p coap.Peer) ota.Namespace {
	if p.Security != coap.PSK {
		return ota.DefaultNamespace
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if ns, ok := d.elsewhere[p.Identity]; ok {
		return ns
	}
	return ota.DefaultNamespace
}

// mayRead reports whether a peer may have files and what is told to everyone,
// as far as that is known at once: one with a certificate that comes for the
// first time may not.
func (d *Door) mayRead(p coap.Peer) bool {
	if p.Security == coap.NoSecurity {
		return !d.Private
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if p.Security == coap.Certificate {
		return d.certified[p.Identity]
	}
	return !ota.IsEnrolment(p.Identity) && !d.gone[p.Identity]
}

// admit finds out whether a peer may have files. It fails with
// KindUnauthenticated.
func (d *Door) admit(r *coap.Request) error {
	if d.mayRead(r.Peer) {
		return nil
	}
	switch r.Peer.Security {
	case coap.NoSecurity:
		return errClosedDoor
	case coap.PSK:
		return errNoDevice
	}
	if _, err := d.caller(r, ""); err != nil {
		if ota.KindOf(err) == ota.KindNotFound {
			return errNoDevice
		}
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.certified) >= maxGone {
		clear(d.certified)
	}
	d.certified[r.Peer.Identity] = true
	return nil
}

// Trusted reports whether an address has proven itself by answering what it was
// told there: many microcontrollers know no Echo option (see coap.Server).
func (d *Door) Trusted(a netip.AddrPort) bool {
	d.talks.mu.RLock()
	defer d.talks.mu.RUnlock()
	k := d.talks.byAddr[a.Addr().Unmap()]
	return k != nil && k.answered.Load()
}
