package store

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

func (t *readTx) Device(id ota.DeviceID) (ota.Device, error) {
	row, err := t.q.Device(t.ctx, string(id))
	if err != nil {
		return ota.Device{}, t.found("read device", err, ota.MissingDevice(string(id)))
	}
	return deviceOf(row), nil
}

func deviceOf(row query.Device) ota.Device {
	return ota.Device{
		Namespace:   ota.Namespace(row.Namespace),
		ID:          ota.DeviceID(row.ID),
		Name:        row.Name,
		HardwareID:  row.HardwareID,
		Type:        row.Type,
		CreatedAt:   instant(row.CreatedAt),
		ActivatedAt: instant(row.ActivatedAt),
		LastSeen:    instant(row.SeenAt),
		Block:       blockOf(row.BlockedAt, row.BlockedBy, row.BlockReason),
		Constrained: constrainedOf(row),
	}
}

func blockOf(at int64, by, reason string) ota.Block {
	return ota.Block{Since: instant(at), Update: ota.UpdateID(by), Reason: reason}
}

func (t *readTx) Devices(f ota.DeviceFilter) ([]ota.DeviceSummary, error) {
	tail := t.narrowDevices(f)
	tail.page("d.name, d.id", f.Offset, f.Limit)
	rows, err := tail.queries().Devices(t.ctx, string(f.Namespace))
	if err != nil {
		return nil, t.fail("list devices", err)
	}
	list := make([]ota.DeviceSummary, len(rows))
	for i, row := range rows {
		d := deviceOf(query.Device{ID: row.ID, Namespace: row.Namespace, Name: row.Name, HardwareID: row.HardwareID, Type: row.Type,
			CreatedAt: row.CreatedAt, ActivatedAt: row.ActivatedAt, SeenAt: row.SeenAt,
			BlockedAt: row.BlockedAt, BlockedBy: row.BlockedBy, BlockReason: row.BlockReason,
			Vendor: row.Vendor, Class: row.Class, Plain: row.Plain, Address: row.Address, AddressUntil: row.AddressUntil, Sequence: row.Sequence})
		active := int(row.Active)
		list[i] = ota.DeviceSummary{Device: d, Active: active, Status: ota.StatusOf(d, active, ota.Status(row.Last))}
	}
	return list, nil
}

func (t *readTx) CountDevices(f ota.DeviceFilter) (int, error) {
	n, err := t.narrowDevices(f).queries().CountDevices(t.ctx, string(f.Namespace))
	return int(n), t.fail("count devices", err)
}

func (t *readTx) narrowDevices(f ota.DeviceFilter) *filter {
	tail := t.narrow()
	tail.equal("d.id", string(f.ID))
	tail.equal("d.name", f.Name)
	if f.Blocked {
		tail.only("d.blocked_at > 0") // as the index says
	}
	if f.HardwareID != "" {
		tail.equal("d.hardware_id", f.HardwareID)
		tail.only("d.hardware_id <> ''") // as the index says, which is not used otherwise
	}
	return tail
}

func (t *writeTx) PutDevice(d ota.Device) error {
	const doing = "put device"
	var c ota.Constrained
	if d.Constrained != nil {
		c = *d.Constrained
	}
	n, err := t.q.PutDevice(t.ctx, query.PutDeviceParams{
		ID:           string(d.ID),
		Namespace:    string(d.Namespace),
		Name:         d.Name,
		HardwareID:   d.HardwareID,
		Type:         d.Type,
		CreatedAt:    micros(d.CreatedAt),
		BlockedAt:    micros(d.Block.Since),
		BlockedBy:    string(d.Block.Update),
		BlockReason:  d.Block.Reason,
		Vendor:       c.Vendor,
		Class:        c.Class,
		Plain:        c.Plain,
		Address:      c.Address,
		AddressUntil: micros(c.Until),
		Sequence:     int64(c.Sequence), // above half of its range it is negative there, and comes back as it was
	})
	if duplicate(err) {
		if d.HardwareID == "" {
			return ota.Fail(ota.KindConflict, "conflicting_device", "the name %q belongs to another device", d.Name)
		}
		return ota.Fail(ota.KindConflict, "conflicting_device", "the name %q or the device id %q belongs to another device", d.Name, d.HardwareID)
	}
	return t.changed(doing, n, err,
		ota.Fail(ota.KindConflict, "conflicting_device", "the uuid %s belongs to a device elsewhere", d.ID))
}

func (t *writeTx) DeleteDevice(id ota.DeviceID) error {
	n, err := t.q.DeleteDevice(t.ctx, string(id))
	return t.changed("delete device", n, err, ota.MissingDevice(string(id)))
}

// Seen goes through the devices in the order of their ids and answers in it.
func (t *writeTx) Seen(at map[ota.DeviceID]time.Time) ([]ota.DeviceID, error) {
	var first []ota.DeviceID
	for _, id := range slices.Sorted(maps.Keys(at)) {
		seen := micros(at[id])
		activated, err := t.q.Seen(t.ctx, query.SeenParams{At: seen, ID: string(id)})
		switch {
		case errors.Is(err, sql.ErrNoRows): // unknown, or no news
		case err != nil:
			return nil, t.fail("record that a device was seen", err)
		case activated == seen:
			first = append(first, id)
		}
	}
	return first, nil
}

func (t *readTx) Credential(clientID string) (ota.Credential, error) {
	row, err := t.q.Credential(t.ctx, clientID)
	if err != nil {
		return ota.Credential{}, t.found("read credential", err,
			ota.Fail(ota.KindNotFound, "missing_entity", "there is no such client id"))
	}
	c := ota.Credential{ClientID: row.ClientID, Device: ota.DeviceID(row.DeviceID), Namespace: ota.Namespace(row.Namespace)}
	hash, err := hex.DecodeString(row.SecretHash)
	if err != nil || len(hash) != len(c.SecretHash) {
		return ota.Credential{}, t.fail("read credential", fmt.Errorf("the hash of client %s is not 32 bytes", c.ClientID))
	}
	copy(c.SecretHash[:], hash)
	return c, nil
}

func (t *writeTx) PutCredential(c ota.Credential) error {
	err := t.q.PutCredential(t.ctx, query.PutCredentialParams{
		ClientID:   c.ClientID,
		DeviceID:   string(c.Device),
		Namespace:  string(c.Namespace),
		SecretHash: hex.EncodeToString(c.SecretHash[:]),
	})
	switch {
	case duplicate(err):
		return ota.Fail(ota.KindConflict, "conflicting_entity", "the client id belongs to another device")
	case orphan(err):
		return ota.MissingDevice(string(c.Device))
	}
	return t.fail("put credential", err)
}

func (t *readTx) PublicCredentials(id ota.DeviceID) (string, error) {
	text, err := t.q.PublicCredentials(t.ctx, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := t.Device(id); err != nil {
			return "", err
		}
		return "", ota.Fail(ota.KindNotFound, "missing_entity", "the device has no public credentials")
	}
	return text, t.fail("read public credentials", err)
}

func (t *writeTx) PutPublicCredentials(id ota.DeviceID, text string) error {
	err := t.q.PutPublicCredentials(t.ctx, query.PutPublicCredentialsParams{DeviceID: string(id), Credentials: text})
	if orphan(err) {
		return ota.MissingDevice(string(id))
	}
	return t.fail("put public credentials", err)
}
