package ota

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is. Each door has one table that
// turns kinds into its own terms (HTTP statuses, CoAP codes, exit codes).
type Kind uint8

const (
	KindInternal        Kind = iota // a fault of ours; details go to the log only
	KindInvalid                     // the caller's input is wrong; nothing was changed
	KindUnauthenticated             // no or no valid proof of identity
	KindForbidden                   // known, but not allowed
	KindNotFound                    // no such thing, or not the caller's to see
	KindConflict                    // clashes with what is there
	KindTooLarge                    // over a configured limit
	KindLocked                      // exists, but withheld for now (blocked queue)
	KindTooMany                     // asked too often; try later
	KindCorrupt                     // stored bytes no longer match their digest
	KindNoSpace                     // a disk is full
	KindUnavailable                 // a part that is needed is down; try later
	KindUnreachable                 // the other side of a conversation does not answer
)

var kindNames = [...]string{"internal error", "invalid", "not authenticated", "forbidden", "not found", "conflict",
	"too large", "locked", "too many requests", "corrupt", "no space", "unavailable", "unreachable"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown kind"
}

// Error is a failure with a kind, a machine-readable code and a text for
// humans. The codes are those of server.md 1.1 wherever it has one.
type Error struct {
	Kind Kind
	Code string // such as "missing_package"; never empty
	Text string // what was wrong and what to do, lower case, no secrets
	Err  error  // cause for the log; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first Error in err's chain, or KindInternal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// CodeOf returns the machine code of the first Error in err's chain, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Fail makes an Error.
func Fail(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Text: fmt.Sprintf(format, args...)}
}

// Invalid reports input that breaks a rule (code invalid_entity).
func Invalid(format string, args ...any) *Error {
	return Fail(KindInvalid, "invalid_entity", format, args...)
}

// MissingDevice reports an unknown device (code missing_device).
func MissingDevice(ref string) *Error {
	return Fail(KindNotFound, "missing_device", "there is no device %q", clip(ref))
}

// MissingPackage reports an unknown package (code missing_package).
func MissingPackage(id PackageID) *Error {
	return Fail(KindNotFound, "missing_package", "there is no package %s", id)
}

// MissingUpdate reports an update the device does not have (code missing_entity).
func MissingUpdate(id UpdateID) *Error {
	return Fail(KindNotFound, "missing_entity", "there is no update %q for this device", clip(string(id)))
}
