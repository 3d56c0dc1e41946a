package rvi

import (
	"errors"

	"github.com/updraft-ota/updraft/ota"
)

// Action is what a peer sees of a message that was not taken (rvi.md 7).
type Action uint8

const (
	Refuse Action = iota // answer with a JSON-RPC error
	Ignore               // answer success, log
	Drop                 // answer success, log as a security event
)

func (a Action) String() string { return [...]string{"rpc-error", "ignore", "drop"}[a%3] }

// Outcome is the answer to a message that was not taken, in the terms of rvi.md 2.7.
type Outcome struct {
	Action Action
	Code   int    // of the JSON-RPC error; 0 if none
	Reason string // slug of rvi.md 7
}

// RefusedAtDevice turns an error of this package into a device's answer.
func RefusedAtDevice(err error) Outcome { return outcome(err, Outcome{Action: Refuse, Code: -32100}) }

// RefusedAtBackend turns an error of this package into a backend's answer. What
// is well said but does not fit is ignored there: the vehicle could not help it.
func RefusedAtBackend(err error) Outcome { return outcome(err, Outcome{Action: Ignore}) }

// outcome is the table; unfit is the answer to what fits no transfer.
func outcome(err error, unfit Outcome) Outcome {
	e, ok := errors.AsType[*ota.Error](err)
	if !ok {
		return Outcome{Action: Refuse, Code: -32603, Reason: "internal"}
	}
	o := unfit
	switch {
	case e.Code == "parse_error":
		o = Outcome{Action: Refuse, Code: -32700}
	case e.Code == "unknown_service":
		o = Outcome{Action: Refuse, Code: -32600}
	case e.Kind == ota.KindInvalid || e.Kind == ota.KindTooLarge:
		o = Outcome{Action: Refuse, Code: -32602}
	case e.Kind == ota.KindForbidden:
		o = Outcome{Action: Drop}
	case e.Kind == ota.KindInternal:
		o = Outcome{Action: Refuse, Code: -32603}
	}
	o.Reason = e.Code
	return o
}

// UnknownPackage is a BackendStart's unit for which the vehicle has no update.
func UnknownPackage(u Unit) error {
	return ota.Fail(ota.KindNotFound, "unknown_package", "the vehicle has no update to %s", u)
}

// UnknownUpdate is a report of something the server never sent to the vehicle.
func UnknownUpdate(u Unit) error {
	return ota.Fail(ota.KindNotFound, "unknown_update", "the vehicle has no update %s", u)
}
