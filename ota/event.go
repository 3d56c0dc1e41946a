package ota

import (
	"encoding/json"
	"time"
)

// Event is something that became true on the server. It is numbered and
// written in the transaction that made it true; doors and users read "since"
// a number. Types and fields follow server.md 5.2 where it has them.
type Event struct {
	Seq       int64 // from 1, ascending, without reuse; set by the store
	Namespace Namespace
	At        time.Time
	Type      EventType
	Device    DeviceID // "" if it concerns none
	Update    UpdateID // "" if it concerns none
	Data      json.RawMessage
}

// EventType names what happened.
type EventType string

const (
	DeviceCreated    EventType = "DeviceCreated"
	DeviceChanged    EventType = "DeviceChanged"
	DeviceActivated  EventType = "DeviceActivated" // seen for the first time
	DeviceDeleted    EventType = "DeviceDeleted"
	DeviceEnrolled   EventType = "DeviceEnrolled" // it got the key by which it proves who it is
	DeviceRekeyed    EventType = "DeviceRekeyed"  // an operator gave it another key; Data is {"by"}
	DeviceBlocked    EventType = "DeviceBlocked"
	DeviceUnblocked  EventType = "DeviceUnblocked"
	InventoryChanged EventType = "InventoryChanged"
	// PublicCredentialsSet carries {"credentials"} in Data.
	PublicCredentialsSet EventType = "DevicePublicCredentialsSet"
	ListRequested        EventType = "ListRequested" // an operator wants a device's list anew
	PackageCreated       EventType = "PackageCreated"
	PackageDeleted       EventType = "PackageDeleted"
	// PackageChanged tells of a version whose files are no longer the same;
	// Data is {"name","version","files"}.
	PackageChanged EventType = "PackageChanged"
	// PackageForced tells that an operator insisted on what was refused; Data is
	// {"name","version","doing","by","reasons"}, see Forced.
	PackageForced EventType = "PackageForced"
	// PackageNotified tells that devices were told of a manifest; Data is
	// {"name","version","scheme","told","failed"}, the last two lists of targets.
	PackageNotified EventType = "PackageNotified"
	// UpdateChanged tells every transition of an update; Data is
	// {"status","package","reason"}. The original calls it UpdateSpec.
	UpdateChanged EventType = "UpdateSpec"
)
