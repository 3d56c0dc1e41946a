package ota

import "time"

// Device is one machine that receives updates.
type Device struct {
	Namespace   Namespace
	ID          DeviceID
	Name        string // unique in its namespace
	HardwareID  string // such as a VIN; unique in its namespace unless empty
	Type        string // "Vehicle" or "Other"
	CreatedAt   time.Time
	ActivatedAt time.Time    // first time seen; zero until then
	LastSeen    time.Time    // zero until first seen
	Block       Block        // zero while the queue is open
	Constrained *Constrained // nil unless it is a microcontroller that speaks CoAP
}

// Device types of the original (server.md 1.4).
const (
	Vehicle     = "Vehicle"
	OtherDevice = "Other"
)

// Validate checks names and type. It fails with KindInvalid.
func (d Device) Validate() error {
	if err := ValidateDeviceName(d.Name); err != nil {
		return err
	}
	if d.HardwareID != "" {
		if err := ValidateHardwareID(d.HardwareID); err != nil {
			return err
		}
	}
	if d.Type != Vehicle && d.Type != OtherDevice {
		return Invalid("device type %q: expected %q or %q", clip(d.Type), Vehicle, OtherDevice)
	}
	if d.Constrained != nil {
		return d.Constrained.Validate()
	}
	return nil
}

// Block keeps a device's pending updates back, after a failure or by an
// operator's hand. Updates already in flight go on (server.md 2.1, Blocking).
type Block struct {
	Since  time.Time // zero: not blocked
	Update UpdateID  // the failed update that caused it; empty if an operator did
	Reason string    // for humans
}

// Blocked reports whether the queue is held.
func (b Block) Blocked() bool { return !b.Since.IsZero() }

// DeviceStatus is a device's health in one word (server.md 1.4).
type DeviceStatus string

const (
	NotSeen  DeviceStatus = "NotSeen"  // never seen
	UpToDate DeviceStatus = "UpToDate" // nothing to do
	Outdated DeviceStatus = "Outdated" // some update not ended
	Failing  DeviceStatus = "Error"    // the update that ended last failed
)

// StatusOf derives a device's status: active is the number of its updates
// that have not ended, last the status of the one that ended most recently
// ("" if none).
func StatusOf(d Device, active int, last Status) DeviceStatus {
	switch {
	case d.LastSeen.IsZero():
		return NotSeen
	case last == Failed:
		return Failing
	case active > 0:
		return Outdated
	}
	return UpToDate
}

// Credential lets a device prove who it is at the token endpoint. The secret
// itself is never stored: it is random, so its SHA-256 is enough.
type Credential struct {
	ClientID   string
	Device     DeviceID
	Namespace  Namespace
	SecretHash [32]byte
}
