package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// NewDevice is what an operator says of a device when adding or changing it.
type NewDevice struct {
	ID         ota.DeviceID // chosen by the server if empty
	Name       string
	HardwareID string
	Type       string // "" means Vehicle
	Public     string // public credentials; "" leaves them as they are

	constrained *ota.Constrained
}

// AddDevice registers a device. It fails with KindInvalid, or KindConflict
// (conflicting_device) if the id, the name or the hardware id is taken.
func (f *Fleet) AddDevice(ctx context.Context, ns ota.Namespace, n NewDevice) (d ota.Device, err error) {
	err = f.write(ctx, func(tx ota.Tx) error {
		d, err = f.addDevice(tx, ns, n)
		return err
	})
	return d, err
}

func (f *Fleet) addDevice(tx ota.Tx, ns ota.Namespace, n NewDevice) (ota.Device, error) {
	d := ota.Device{Namespace: ns, ID: n.ID, Name: n.Name, HardwareID: n.HardwareID, Type: cmp.Or(n.Type, ota.Vehicle), CreatedAt: tx.Now(), Constrained: n.constrained}
	if d.ID == "" {
		d.ID = ota.DeviceID(f.NewID())
	}
	if err := d.Validate(); err != nil {
		return d, err
	}
	if _, err := tx.Device(d.ID); err == nil {
		return d, ota.Fail(ota.KindConflict, "conflicting_device", "a device with uuid %s exists already", d.ID)
	} else if ota.KindOf(err) != ota.KindNotFound {
		return d, err
	}
	if err := tx.PutDevice(d); err != nil {
		return d, err
	}
	if err := tell(tx, ota.DeviceCreated, d, "", map[string]string{"deviceName": d.Name, "deviceId": d.HardwareID, "deviceType": d.Type}); err != nil {
		return d, err
	}
	return d, putPublic(tx, d, n.Public)
}

// ChangeDevice replaces a device's name, hardware id and type, and its public
// credentials if there are new ones. It fails with
// KindNotFound, KindInvalid, or KindConflict (conflicting_device).
func (f *Fleet) ChangeDevice(ctx context.Context, ns ota.Namespace, id ota.DeviceID, n NewDevice) error {
	return f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		d.Name, d.HardwareID = n.Name, n.HardwareID
		if n.Type != "" {
			d.Type = n.Type
		}
		if err := d.Validate(); err != nil {
			return err
		}
		if err := tx.PutDevice(d); err != nil {
			return err
		}
		if err := tell(tx, ota.DeviceChanged, d, "", nil); err != nil {
			return err
		}
		return putPublic(tx, d, n.Public)
	})
}

// RemoveDevice forgets a device and everything that is its own, and ends its
// tokens at once. It fails with KindNotFound.
func (f *Fleet) RemoveDevice(ctx context.Context, ns ota.Namespace, id ota.DeviceID) error {
	err := f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteDevice(id); err != nil {
			return err
		}
		return tell(tx, ota.DeviceDeleted, d, "", nil)
	})
	if err == nil {
		f.DeviceGone(id)
	}
	return err
}

// Device reads one device. It fails with KindNotFound (missing_device).
func (f *Fleet) Device(ctx context.Context, ns ota.Namespace, id ota.DeviceID) (ota.DeviceSummary, error) {
	f.attempt(ctx, taskSeen, f.flushSeen)
	var s ota.DeviceSummary
	err := f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if _, err := device(tx, ns, id); err != nil {
			return err
		}
		list, err := tx.Devices(ota.DeviceFilter{Namespace: ns, ID: id})
		if err == nil && len(list) != 1 {
			err = ota.MissingDevice(string(id))
		}
		if err == nil {
			s = list[0]
		}
		return err
	})
	return s, err
}

// Known fails with KindNotFound (missing_device) if there is no such device.
func (f *Fleet) Known(ctx context.Context, ns ota.Namespace, id ota.DeviceID) error {
	return f.Store.Read(ctx, func(tx ota.ReadTx) error {
		_, err := device(tx, ns, id)
		return err
	})
}

// Vehicle finds a device by its hardware id, which for a vehicle is its VIN.
// It fails with KindNotFound (missing_device).
func (f *Fleet) Vehicle(ctx context.Context, ns ota.Namespace, hardwareID string) (id ota.DeviceID, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if hardwareID == "" { // would be everyone
			return ota.MissingDevice(hardwareID)
		}
		list, err := tx.Devices(ota.DeviceFilter{Namespace: ns, HardwareID: hardwareID})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return ota.MissingDevice(hardwareID)
		}
		id = list[0].ID
		return nil
	})
	return id, err
}

// Names are those of the devices that the namespace has; others are left out.
func (f *Fleet) Names(ctx context.Context, ns ota.Namespace, ids []ota.DeviceID) (map[ota.DeviceID]string, error) {
	names := make(map[ota.DeviceID]string, len(ids))
	err := f.Store.Read(ctx, func(tx ota.ReadTx) error {
		for _, id := range ids {
			d, err := device(tx, ns, id)
			if err == nil {
				names[id] = d.Name
			} else if ota.KindOf(err) != ota.KindNotFound {
				return err
			}
		}
		return nil
	})
	return names, err
}

// Devices lists devices ordered by name, and counts all that the filter
// matches, whatever its offset and limit.
func (f *Fleet) Devices(ctx context.Context, filter ota.DeviceFilter) (list []ota.DeviceSummary, total int, err error) {
	f.attempt(ctx, taskSeen, f.flushSeen)
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		var err error
		if list, err = tx.Devices(filter); err != nil {
			return err
		}
		total, err = tx.CountDevices(filter)
		return err
	})
	return list, total, err
}

// Inventory returns what a device last reported as installed, and when
// (zero: never). It fails with KindNotFound (missing_device).
func (f *Fleet) Inventory(ctx context.Context, ns ota.Namespace, id ota.DeviceID) (inv ota.Inventory, at time.Time, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if _, err := device(tx, ns, id); err != nil {
			return err
		}
		inv, at, err = tx.Inventory(id)
		return err
	})
	return inv, at, err
}

// SystemInfo returns a device's description of itself, nil if there is none
// yet. It fails with KindNotFound (missing_device).
func (f *Fleet) SystemInfo(ctx context.Context, ns ota.Namespace, id ota.DeviceID) (doc json.RawMessage, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if _, err := device(tx, ns, id); err != nil {
			return err
		}
		doc, err = tx.SystemInfo(id)
		if ota.KindOf(err) == ota.KindNotFound {
			doc, err = nil, nil
		}
		return err
	})
	return doc, err
}

// SetSystemInfo replaces a device's description on an operator's word.
func (f *Fleet) SetSystemInfo(ctx context.Context, ns ota.Namespace, id ota.DeviceID, doc json.RawMessage) error {
	if err := checkSystemInfo(doc); err != nil {
		return err
	}
	return f.write(ctx, func(tx ota.Tx) error {
		if _, err := device(tx, ns, id); err != nil {
			return err
		}
		return tx.PutSystemInfo(id, doc)
	})
}
