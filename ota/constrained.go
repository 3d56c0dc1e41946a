package ota

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Constrained is what else is known of a device that is a microcontroller: it
// speaks CoAP, and is updated by manifests.
type Constrained struct {
	// Vendor is a domain, and Class a text of the vendor's, from which the ids
	// in manifests are made (coap-suit.md 7.6).
	Vendor string
	Class  string
	// Plain lets whoever names the device without any proof speak for it, over
	// CoAP without DTLS. What is reported that way is marked as Unauthenticated.
	Plain bool
	// Address is where the device is a CoAP server itself, as a Target; "" if
	// it is none, or not known. An operator said so, or the device by
	// registering: then it is good before Until.
	Address  string
	Until    time.Time // zero: for ever
	Sequence uint64    // of the manifest installed last; 0 until it is told
}

// AddressAt is where the device can be told something at t, "" if nowhere.
func (c Constrained) AddressAt(t time.Time) string {
	if !c.Until.IsZero() && !t.Before(c.Until) {
		return ""
	}
	return c.Address
}

// Validate checks vendor, class and address. It fails with KindInvalid.
func (c Constrained) Validate() error {
	if len(c.Vendor) > 253 || c.Vendor != strings.Trim(c.Vendor, ".-") || strings.Contains(c.Vendor, "..") || c.Vendor == "" ||
		strings.Trim(strings.ToLower(c.Vendor), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return Invalid("vendor %q: expected the vendor's domain, such as example.com", clip(c.Vendor))
	}
	if c.Class == "" || len(c.Class) > maxName || !utf8.ValidString(c.Class) || strings.ContainsFunc(c.Class, unicode.IsControl) {
		return Invalid("class %q: expected 1 to %d bytes without control characters", clip(c.Class), maxName)
	}
	if c.Address != "" {
		return Target(c.Address)
	}
	return nil
}

// PSK is a key by which a device proves who it is over DTLS: the bytes of Key,
// which is printable ASCII. It is kept as it is, because both ends need it.
type PSK struct {
	Identity string
	Device   DeviceID
	Key      string
}

// enrolPrefix begins the identity of a key that is good for enrolment only,
// and only once.
const enrolPrefix = "enrol-"

// EnrolmentOf is the identity by which a device enrols.
func EnrolmentOf(id DeviceID) string { return enrolPrefix + string(id) }

// IsEnrolment reports whether an identity is one by which a device enrols.
func IsEnrolment(identity string) bool { return strings.HasPrefix(identity, enrolPrefix) }

// Unauthenticated marks what was reported by a device that proved nothing.
const Unauthenticated = "unauthenticated report"
