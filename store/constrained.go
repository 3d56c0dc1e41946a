package store

import (
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

// constrainedOf is nil for a device that is not constrained.
func constrainedOf(row query.Device) *ota.Constrained {
	if row.Vendor == "" {
		return nil
	}
	return &ota.Constrained{Vendor: row.Vendor, Class: row.Class, Plain: row.Plain,
		Address: row.Address, Until: instant(row.AddressUntil), Sequence: uint64(row.Sequence)}
}

func (t *readTx) ConstrainedWaiting() ([]ota.DeviceID, error) {
	rows, err := t.q.ConstrainedWaiting(t.ctx)
	if err != nil {
		return nil, t.fail("list constrained devices", err)
	}
	ids := make([]ota.DeviceID, len(rows))
	for i, id := range rows {
		ids[i] = ota.DeviceID(id)
	}
	return ids, nil
}

func (t *readTx) PSK(identity string) (ota.PSK, error) {
	row, err := t.q.PSK(t.ctx, identity)
	if err != nil {
		return ota.PSK{}, t.found("read a key", err, missingIdentity())
	}
	return ota.PSK{Identity: row.Identity, Device: ota.DeviceID(row.DeviceID), Key: row.Secret}, nil
}

func (t *writeTx) PutPSK(k ota.PSK) error {
	n, err := t.q.PutPSK(t.ctx, query.PutPSKParams{Identity: k.Identity, DeviceID: string(k.Device), Secret: k.Key})
	if orphan(err) {
		return ota.MissingDevice(string(k.Device))
	}
	return t.changed("put a key", n, err, ota.Fail(ota.KindConflict, "conflicting_entity", "the identity belongs to another device"))
}

func (t *writeTx) DeletePSK(identity string) error {
	n, err := t.q.DeletePSK(t.ctx, identity)
	return t.changed("delete a key", n, err, missingIdentity())
}

func missingIdentity() *ota.Error {
	return ota.Fail(ota.KindNotFound, "missing_entity", "no device has such an identity")
}
