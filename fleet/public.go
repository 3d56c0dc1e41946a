package fleet

import (
	"context"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// maxPublic bounds a device's public credentials, in bytes.
const maxPublic = 64 << 10

// PutPublicCredentials sets the public credentials of the device with that
// hardware id, which is registered first if there is none; one that is there
// keeps its name and type. Both members are needed: it fails with KindInvalid
// (reguest_needs_deviceid, as the original spells it, or
// request_needs_credentials), and otherwise as AddDevice does.
func (f *Fleet) PutPublicCredentials(ctx context.Context, ns ota.Namespace, n NewDevice) (id ota.DeviceID, err error) {
	if n.HardwareID == "" {
		return "", ota.Fail(ota.KindInvalid, "reguest_needs_deviceid", "say which device: deviceId is missing")
	}
	if n.Public == "" {
		return "", ota.Fail(ota.KindInvalid, "request_needs_credentials", "credentials are missing")
	}
	err = f.write(ctx, func(tx ota.Tx) error {
		there, err := tx.Devices(ota.DeviceFilter{Namespace: ns, HardwareID: n.HardwareID})
		if err != nil {
			return err
		}
		if len(there) == 0 {
			d, err := f.addDevice(tx, ns, n)
			id = d.ID
			return err
		}
		d := there[0].Device
		if id = d.ID; n.ID != "" && n.ID != id {
			return ota.Fail(ota.KindConflict, "conflicting_device", "the device id %q belongs to device %s", n.HardwareID, id)
		}
		return putPublic(tx, d, n.Public)
	})
	return id, err
}

// PublicCredentials reads a device's public credentials. It fails with
// KindNotFound (missing_device; missing_entity if there are none).
func (f *Fleet) PublicCredentials(ctx context.Context, ns ota.Namespace, id ota.DeviceID) (text string, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if _, err := device(tx, ns, id); err != nil {
			return err
		}
		text, err = tx.PublicCredentials(id)
		return err
	})
	return text, err
}

// putPublic stores credentials unless there are none, or the same, and tells
// of it.
func putPublic(tx ota.Tx, d ota.Device, text string) error {
	if text == "" {
		return nil
	}
	if len(text) > maxPublic || strings.ContainsRune(text, 0) {
		return ota.Invalid("public credentials may hold at most %d bytes of text, and no NUL", maxPublic)
	}
	old, err := tx.PublicCredentials(d.ID)
	if err == nil && old == text {
		return nil
	}
	if err != nil && ota.KindOf(err) != ota.KindNotFound {
		return err
	}
	if err := tx.PutPublicCredentials(d.ID, text); err != nil {
		return err
	}
	return tell(tx, ota.PublicCredentialsSet, d, "", map[string]string{"credentials": text})
}
