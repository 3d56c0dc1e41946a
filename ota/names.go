package ota

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Namespace separates customers on one server. Every object belongs to
// exactly one.
type Namespace string

// DefaultNamespace is used where nothing else is said (server.md 1.1).
const DefaultNamespace Namespace = "default"

// Validate checks a namespace's name: 1 to 200 bytes of UTF-8 without control
// characters. It fails with KindInvalid.
func (n Namespace) Validate() error {
	switch s := string(n); {
	case s == "":
		return Invalid("the namespace is empty")
	case len(s) > maxName:
		return Invalid("the namespace is %d bytes long, at most %d are allowed", len(s), maxName)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return Invalid("namespace %q holds control characters or is not UTF-8", s)
	}
	return nil
}

// DeviceID is the server's name for a device: a canonical lower-case UUID.
type DeviceID string

// UpdateID names an update on its device. The server makes UUIDs; a device
// treats the text as opaque.
type UpdateID string

// RequestID names an operator's wish, shared by all updates it made.
type RequestID string

// PackageID is the name and version an operator gave to a package. Two ids
// are the same package exactly when both texts are equal.
type PackageID struct {
	Name    string
	Version string
}

// String writes the id as NAME=VERSION, the form the command line reads.
func (p PackageID) String() string { return p.Name + "=" + p.Version }

// ParsePackageID reads NAME=VERSION, splitting at the first "=" (versions may
// hold more of them). It fails with KindInvalid if there is no "=" or either
// part is not a managed name.
func ParsePackageID(s string) (PackageID, error) {
	name, version, ok := strings.Cut(s, "=")
	if !ok {
		return PackageID{}, Invalid("package %q: write it as NAME=VERSION", s)
	}
	id := PackageID{Name: name, Version: version}
	return id, id.Validate()
}

// maxName is the longest managed name or version, in bytes.
const maxName = 200

// Validate checks both parts against the rule for managed names: 1 to 200
// bytes of UTF-8 without space, control character, "/" or "\", and not "." or
// "..", which no URL path can carry. It fails with KindInvalid.
func (p PackageID) Validate() error {
	if err := validateManaged("package name", p.Name); err != nil {
		return err
	}
	return validateManaged("package version", p.Version)
}

func validateManaged(what, s string) error {
	switch {
	case s == "":
		return Invalid("%s is empty", what)
	case len(s) > maxName:
		return Invalid("%s is %d bytes long, at most %d are allowed", what, len(s), maxName)
	case !utf8.ValidString(s):
		return Invalid("%s is not valid UTF-8", what)
	case s == "." || s == "..":
		return Invalid("%s %q cannot be part of a URL path", what, s)
	}
	for _, r := range s {
		if r == '/' || r == '\\' || unicode.IsSpace(r) || unicode.IsControl(r) {
			return Invalid("%s %q contains %q: no spaces, control characters, \"/\" or \"\\\"", what, s, r)
		}
	}
	return nil
}

// ValidateArtifactName applies the managed-name rule to an artifact's name.
func ValidateArtifactName(s string) error { return validateManaged("artifact name", s) }

// ValidateInstalled checks a name or version a device reports as installed.
// The rule is looser than for managed names (server.md 1.2, trap): anything
// non-empty of at most 1024 bytes without control characters.
func ValidateInstalled(what, s string) error {
	switch {
	case s == "":
		return Invalid("installed package: %s is empty", what)
	case len(s) > 1024:
		return Invalid("installed package: %s is longer than 1024 bytes", what)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return Invalid("installed package: %s %q holds control characters or is not UTF-8", what, s)
	}
	return nil
}

// ValidateDeviceName checks a device's display name: 1 to 200 bytes without
// control characters.
func ValidateDeviceName(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return Invalid("device name is empty")
	case len(s) > maxName:
		return Invalid("device name is %d bytes long, at most %d are allowed", len(s), maxName)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return Invalid("device name %q holds control characters or is not UTF-8", s)
	}
	return nil
}

// ValidateHardwareID checks the id a device carries from its maker, such as a
// VIN: 1 to 64 bytes (server.md SRV-VIN-2) without spaces or control characters.
func ValidateHardwareID(s string) error {
	switch {
	case s == "" || len(s) > 64:
		return Invalid("device id must be 1 to 64 bytes long, not %d", len(s))
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return Invalid("device id %q holds spaces or control characters", s)
	}
	return nil
}

// ParseDeviceID reads a UUID in canonical form, upper case allowed, and
// returns it in lower case. It fails with KindInvalid.
func ParseDeviceID(s string) (DeviceID, error) {
	id, err := parseUUID("device uuid", s)
	return DeviceID(id), err
}

// ParseUpdateID reads the id of an update made by this server; see ParseDeviceID.
func ParseUpdateID(s string) (UpdateID, error) {
	id, err := parseUUID("update id", s)
	return UpdateID(id), err
}

func parseUUID(what, s string) (string, error) {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	ok := len(s) == len(form)
	for i := 0; ok && i < len(s); i++ {
		if form[i] == '-' {
			ok = s[i] == '-'
		} else {
			ok = strings.IndexByte("0123456789abcdefABCDEF", s[i]) >= 0
		}
	}
	if !ok {
		return "", Invalid("%s %q is not a UUID (%s)", what, clip(s), form)
	}
	return strings.ToLower(s), nil
}

// clip shortens foreign text for error messages.
func clip(s string) string { return clipTo(80, s) }

func clipTo(bytes int, s string) string {
	if len(s) > bytes {
		return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:bytes], "�"), len(s))
	}
	return s
}

// firstLine returns the first non-empty line of s, of which the digests of a
// manifest and an image are not cut off.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return clipTo(300, line)
		}
	}
	return ""
}
