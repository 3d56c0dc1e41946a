package fleet

import (
	"context"
	"crypto/rand"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// NewConstrained is what an operator says of a constrained device when adding
// it.
type NewConstrained struct {
	NewDevice
	ota.Constrained // Vendor, Class, Plain and Address count
	// PSK makes a key for the device, Enrol one by which it gets its key by
	// itself. It has one of them at most.
	PSK, Enrol bool
}

// AddConstrained registers a constrained device. The key is told this once; it
// is the one of its enrolment if that is what was asked for. It fails as
// AddDevice does.
func (f *Fleet) AddConstrained(ctx context.Context, ns ota.Namespace, n NewConstrained) (d ota.Device, key ota.PSK, err error) {
	if n.PSK && n.Enrol {
		return d, key, ota.Invalid("a device has a key or enrols to get one, not both")
	}
	n.constrained = &ota.Constrained{Vendor: n.Vendor, Class: n.Class, Plain: n.Plain, Address: n.Address}
	if n.Type == "" {
		n.Type = ota.OtherDevice
	}
	err = f.write(ctx, func(tx ota.Tx) error {
		if d, err = f.addDevice(tx, ns, n.NewDevice); err != nil {
			return err
		}
		if !n.PSK && !n.Enrol {
			return nil
		}
		key = keyOf(d.ID, n.Enrol)
		return tx.PutPSK(key)
	})
	return d, key, err
}

// keyOf makes a device's key, or one by which it enrols.
func keyOf(id ota.DeviceID, enrol bool) ota.PSK {
	identity := string(id)
	if enrol {
		identity = ota.EnrolmentOf(id)
	}
	return ota.PSK{Identity: identity, Device: id, Key: newKey()}
}

// NewKey gives a constrained device another key, which is told this once, or
// one by which it enrols to get it. Whatever key it had ends, and so do its
// sessions. It fails with KindNotFound (missing_device), or KindInvalid for a
// device that is not constrained.
func (f *Fleet) NewKey(ctx context.Context, ns ota.Namespace, id ota.DeviceID, enrol bool) (key ota.PSK, err error) {
	err = f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		if d.Constrained == nil {
			return notConstrained(d)
		}
		for _, identity := range []string{string(id), ota.EnrolmentOf(id)} {
			if err := tx.DeletePSK(identity); err != nil && ota.KindOf(err) != ota.KindNotFound {
				return err
			}
		}
		key = keyOf(id, enrol)
		if err := tx.PutPSK(key); err != nil {
			return err
		}
		return tell(tx, ota.DeviceRekeyed, d, "", map[string]string{"by": ota.Actor(ctx)})
	})
	if err != nil {
		return ota.PSK{}, err
	}
	f.KeyGone(id)
	return key, nil
}

func notConstrained(d ota.Device) error {
	return ota.Invalid("%s is not a constrained device: it has client credentials, and no key", d.Name)
}

// ClassIDs are a device's vendor and class as UUIDs, by which manifests name
// them (coap-suit.md 7.6).
func ClassIDs(c ota.Constrained) (vendor, class string) {
	ids := classOf(c)
	return ids.Vendor.String(), ids.ID.String()
}

func classOf(c ota.Constrained) suit.Class {
	v := suit.VendorID(c.Vendor)
	return suit.Class{Vendor: v, ID: suit.ClassID(v, c.Class)}
}

// newKey makes a key of printable ASCII that holds more than 128 random bits.
func newKey() string { return rand.Text() }

// PSK finds a device's key by its identity, and the device's namespace. It
// fails with KindUnauthenticated (unknown_identity).
func (f *Fleet) PSK(ctx context.Context, identity string) (k ota.PSK, ns ota.Namespace, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if k, err = tx.PSK(identity); err != nil {
			return err
		}
		d, err := tx.Device(k.Device)
		ns = d.Namespace
		return err
	})
	if err != nil && ota.KindOf(err) == ota.KindNotFound {
		err = ota.Fail(ota.KindUnauthenticated, "unknown_identity", "no device has such an identity")
	}
	return k, ns, err
}

// Claim is what a device that enrols says of itself; what is "" it does not say.
type Claim struct{ Name, Vendor, Class string }

// Enrol gives a device its key, in exchange for the one by which it proved to
// be one that was asked to enrol: that one is good no more. What it says of
// itself must be what the operator said of it. It fails with KindForbidden
// (enrolled, wrong_device).
func (f *Fleet) Enrol(ctx context.Context, identity string, c Claim) (key ota.PSK, err error) {
	err = f.write(ctx, func(tx ota.Tx) error {
		once, err := tx.PSK(identity)
		if !ota.IsEnrolment(identity) || ota.KindOf(err) == ota.KindNotFound && err != nil {
			return ota.Fail(ota.KindForbidden, "enrolled", "enrol with the token that was made for it, which is good once")
		}
		if err != nil {
			return err
		}
		d, err := tx.Device(once.Device)
		if err != nil {
			return err
		}
		if !c.isOf(d) {
			return ota.Fail(ota.KindForbidden, "wrong_device", "this token is for a device of another name, vendor or class")
		}
		if err := tx.DeletePSK(identity); err != nil {
			return err
		}
		key = keyOf(d.ID, false)
		if err := tx.PutPSK(key); err != nil {
			return err
		}
		return tell(tx, ota.DeviceEnrolled, d, "", nil)
	})
	return key, err
}

func (c Claim) isOf(d ota.Device) bool {
	same := func(said, known string) bool { return said == "" || said == known }
	return d.Constrained != nil && same(c.Name, d.Name) && same(c.Vendor, d.Constrained.Vendor) && same(c.Class, d.Constrained.Class)
}

// Constrained finds a constrained device by its uuid, or by its name in a
// namespace. It fails with KindNotFound (missing_device), also for a device
// that is not constrained.
func (f *Fleet) Constrained(ctx context.Context, ns ota.Namespace, ref string) (d ota.Device, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		d, err = ota.Device{}, nil
		if id, bad := ota.ParseDeviceID(ref); bad == nil {
			if d, err = tx.Device(id); err != nil && ota.KindOf(err) != ota.KindNotFound {
				return err
			}
		}
		if d.ID == "" && ref != "" {
			list, err := tx.Devices(ota.DeviceFilter{Namespace: ns, Name: ref})
			if err != nil {
				return err
			}
			if len(list) == 1 {
				d = list[0].Device
			}
		}
		if d.Constrained == nil {
			return ota.MissingDevice(ref)
		}
		return nil
	})
	return d, err
}

// ConstrainedWaiting lists the constrained devices of all namespaces that have
// updates that have not ended.
func (f *Fleet) ConstrainedWaiting(ctx context.Context) (ids []ota.DeviceID, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		ids, err = tx.ConstrainedWaiting()
		return err
	})
	return ids, err
}
