package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

// Inventory returns the lists in the order in which they were put.
func (t *readTx) Inventory(id ota.DeviceID) (inv ota.Inventory, at time.Time, err error) {
	const doing = "read inventory"
	row, err := t.q.Inventory(t.ctx, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		_, err := t.Device(id)
		return inv, at, err
	}
	if err != nil {
		return inv, at, t.fail(doing, err)
	}
	packages, err := t.q.Installed(t.ctx, string(id))
	if err != nil {
		return inv, at, t.fail(doing, err)
	}
	modules, err := t.q.Firmware(t.ctx, string(id))
	if err != nil {
		return inv, at, t.fail(doing, err)
	}
	for _, p := range packages {
		inv.Packages = append(inv.Packages, ota.Installed{PackageID: ota.PackageID{Name: p.Name, Version: p.Version}})
	}
	for _, m := range modules {
		inv.Firmware = append(inv.Firmware, ota.Firmware{Module: m.Module, ID: m.FirmwareID, LastModified: m.LastModified})
	}
	return inv, instant(row.PutAt), nil
}

// PutInventory writes the lists only if they differ from what is there: most
// devices report the same, time after time.
func (t *writeTx) PutInventory(id ota.DeviceID, inv ota.Inventory) error {
	const doing = "put inventory"
	digest := inventoryDigest(inv)
	old, err := t.q.Inventory(t.ctx, string(id))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return t.fail(doing, err)
	}
	err = t.q.PutInventory(t.ctx, query.PutInventoryParams{DeviceID: string(id), Digest: digest, PutAt: micros(t.now)})
	if orphan(err) {
		return ota.MissingDevice(string(id))
	}
	if err == nil && old.Digest != digest {
		err = errors.Join(t.putInstalled(id, inv.Packages), t.putFirmware(id, inv.Firmware))
	}
	return t.fail(doing, err)
}

func (t *writeTx) putInstalled(id ota.DeviceID, list []ota.Installed) error {
	if err := t.q.ClearInstalled(t.ctx, string(id)); err != nil {
		return err
	}
	for i, p := range list {
		row := query.AddInstalledParams{DeviceID: string(id), Pos: int64(i), Name: p.Name, Version: p.Version}
		if err := t.q.AddInstalled(t.ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func (t *writeTx) putFirmware(id ota.DeviceID, list []ota.Firmware) error {
	if err := t.q.ClearFirmware(t.ctx, string(id)); err != nil {
		return err
	}
	for i, m := range list {
		row := query.AddFirmwareParams{DeviceID: string(id), Pos: int64(i), Module: m.Module, FirmwareID: m.ID, LastModified: m.LastModified}
		if err := t.q.AddFirmware(t.ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// inventoryDigest is the SHA-256 over the quoted lists, so that two inventories
// have the same digest only if they are equal.
func inventoryDigest(inv ota.Inventory) string {
	h := sha256.New()
	for _, p := range inv.Packages {
		fmt.Fprintf(h, "package %q %q\n", p.Name, p.Version)
	}
	for _, m := range inv.Firmware {
		fmt.Fprintf(h, "firmware %q %q %d\n", m.Module, m.ID, m.LastModified)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (t *readTx) SystemInfo(id ota.DeviceID) (json.RawMessage, error) {
	doc, err := t.q.SystemInfo(t.ctx, string(id))
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := t.Device(id); err != nil {
			return nil, err
		}
		return nil, ota.Fail(ota.KindNotFound, "missing_entity", "the device has not told its system info yet")
	}
	return json.RawMessage(doc), t.fail("read system info", err)
}

func (t *writeTx) PutSystemInfo(id ota.DeviceID, doc json.RawMessage) error {
	err := t.q.PutSystemInfo(t.ctx, query.PutSystemInfoParams{DeviceID: string(id), Doc: string(doc)})
	if orphan(err) {
		return ota.MissingDevice(string(id))
	}
	return t.fail("put system info", err)
}

func (t *readTx) Contact(id ota.DeviceID, protocol string) (json.RawMessage, error) {
	state, err := t.q.Contact(t.ctx, query.ContactParams{DeviceID: string(id), Protocol: protocol})
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := t.Device(id); err != nil {
			return nil, err
		}
		return nil, ota.Fail(ota.KindNotFound, "missing_entity", "nothing is kept of the device for %s", protocol)
	}
	return json.RawMessage(state), t.fail("read contact", err)
}

func (t *writeTx) PutContact(id ota.DeviceID, protocol string, state json.RawMessage) error {
	err := t.q.PutContact(t.ctx, query.PutContactParams{DeviceID: string(id), Protocol: protocol, State: string(state)})
	if orphan(err) {
		return ota.MissingDevice(string(id))
	}
	return t.fail("put contact", err)
}
