package rvi

import (
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Identity names a vehicle: by VIN (2015 and 2016a) or by device (2016). One of
// the two is set.
type Identity struct {
	VIN    string
	Device ota.DeviceID
}

const (
	vinPrefix    = "genivi.org/vin/"
	devicePrefix = "genivi.org/device/"
)

// Prefix is that of the vehicle's services, with a trailing slash (rvi.md 2.2, 5.1).
func (i Identity) Prefix() string {
	if i.Device != "" {
		return devicePrefix + string(i.Device) + "/"
	}
	return vinPrefix + i.VIN + "/"
}

// Check fails with KindInvalid if it is not one that a vehicle can have.
func (i Identity) Check() error {
	if i.Device != "" {
		_, err := ota.ParseDeviceID(string(i.Device))
		return err
	}
	return checkVIN(i.VIN)
}

// IdentityOf reads a vehicle's prefix, or a name below it. It fails with
// KindInvalid if this is neither genivi.org/vin/V/ nor genivi.org/device/U/.
func IdentityOf(name string) (Identity, error) {
	if rest, ok := strings.CutPrefix(name, vinPrefix); ok {
		vin, _, _ := strings.Cut(rest, "/")
		return Identity{VIN: vin}, checkVIN(vin)
	}
	if rest, ok := strings.CutPrefix(name, devicePrefix); ok {
		id, _, _ := strings.Cut(rest, "/")
		device, err := ota.ParseDeviceID(id)
		return Identity{Device: device}, err
	}
	return Identity{}, ota.Fail(ota.KindInvalid, "bad_prefix", "no vehicle's prefix: expected genivi.org/vin/V/ or genivi.org/device/U/")
}

// checkVIN holds a VIN against rvi.md 4.1: opaque, [A-Za-z0-9._-]{1,64}, but
// nothing that means another place in a path.
func checkVIN(s string) error {
	bad := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r))
	}
	if s == "" || s == "." || s == ".." || len(s) > 64 || strings.ContainsFunc(s, bad) {
		return ota.Fail(ota.KindInvalid, "bad_vin", "a VIN has 1 to 64 letters, digits, dots, underscores and hyphens")
	}
	return nil
}

// CheckSender holds what a message says of its sender against the prefix the
// peer proved to own (rvi.md 4.11, 6.3): the identity, and for a BackendStart
// the services too. A backend at an external node, which is not told the peer,
// gives the prefix of the claim itself, and remembers it. The error has
// KindForbidden and the code vin_mismatch, device_mismatch or service_prefix_mismatch.
func CheckSender(m BackendMessage, prefix string) error {
	from := m.Sender()
	switch {
	case from.Device != "" && !strings.EqualFold(from.Prefix(), prefix):
		return ota.Fail(ota.KindForbidden, "device_mismatch", "the message speaks for device %s, its sender owns %q", from.Device, prefix)
	case from.Device == "" && from.Prefix() != prefix:
		return ota.Fail(ota.KindForbidden, "vin_mismatch", "the message speaks for VIN %s, its sender owns %q", from.VIN, prefix)
	}
	start, ok := m.(BackendStart)
	if !ok {
		return nil
	}
	for _, name := range start.Services.all() {
		if !strings.HasPrefix(name, prefix) {
			return ota.Fail(ota.KindForbidden, "service_prefix_mismatch", "the start names services that are not its sender's")
		}
	}
	return nil
}
