package ota

import (
	"context"
	"encoding/json"
	"time"
)

// Store remembers everything the server knows but the bytes of artifacts.
// One decision is one transaction, handed in as a function.
//
// Every method of a transaction fails with KindNotFound for what is not
// there, KindConflict for a clash of unique names (codes conflicting_device,
// conflicting_entity), and otherwise with an error of the database, which
// ends the transaction.
type Store interface {
	// Read runs fn on one consistent snapshot.
	Read(ctx context.Context, fn func(ReadTx) error) error

	// Write runs fn as the only writer and commits if fn returns nil: all of
	// it is on disk when Write returns nil, and none of it otherwise. fn may
	// be called again from the start if the database asks for it, so it must
	// not do anything but use its transaction.
	Write(ctx context.Context, fn func(Tx) error) error

	// Queue is the question every device keeps asking; see DeviceQueue. It
	// stands beside Read because it is one statement and must be fast.
	// It fails with KindNotFound (missing_device).
	Queue(ctx context.Context, id DeviceID) (DeviceQueue, error)

	// Ping reports whether the database answers.
	Ping(ctx context.Context) error

	Close() error
}

// DeviceQueue is a device's active updates, unordered, and what is needed to
// decide which to offer.
type DeviceQueue struct {
	Namespace Namespace
	Block     Block
	Entries   []QueueEntry
}

// QueueEntry is an active update with the package it installs. Package has no
// artifacts if the package is gone.
type QueueEntry struct {
	Update  Update
	Package Package
}

// ReadTx reads.
type ReadTx interface {
	// Now is the instant the transaction began, to the microsecond, UTC.
	Now() time.Time
	DeviceReader
	SurveyReader
	PackageReader
	UpdateReader
	EventReader
}

// Tx reads its own writes.
type Tx interface {
	ReadTx
	DeviceWriter
	PackageWriter
	UpdateWriter
	EventWriter
}

// DeviceReader reads devices and what they said about themselves.
type DeviceReader interface {
	Device(id DeviceID) (Device, error)
	// Devices lists devices ordered by name then id.
	Devices(f DeviceFilter) ([]DeviceSummary, error)
	// CountDevices ignores Offset and Limit.
	CountDevices(f DeviceFilter) (int, error)
	Credential(clientID string) (Credential, error)
	// Inventory returns what the device last reported; empty before that.
	Inventory(id DeviceID) (Inventory, time.Time, error)
	// SystemInfo fails with KindNotFound before the first report.
	SystemInfo(id DeviceID) (json.RawMessage, error)
	// PublicCredentials fails with KindNotFound before they are first put.
	PublicCredentials(id DeviceID) (string, error)
	// ConstrainedWaiting lists the constrained devices of all namespaces that
	// have updates that have not ended, ordered by id.
	ConstrainedWaiting() ([]DeviceID, error)
	// PSK finds a key by its identity. It fails with KindNotFound (missing_entity).
	PSK(identity string) (PSK, error)
	// Contact is what a protocol keeps of a device (see Push). It fails with
	// KindNotFound before the first is put.
	Contact(id DeviceID, protocol string) (json.RawMessage, error)
}

// SurveyReader answers questions about all devices of a namespace, from what
// they last reported.
type SurveyReader interface {
	// CountActivated counts devices first seen at or after since and before
	// until.
	CountActivated(ns Namespace, since, until time.Time) (int, error)
	// InstalledPackages lists what is installed anywhere, each package once,
	// ordered by name then version, and counts it whatever the page.
	InstalledPackages(ns Namespace, p Page) ([]PackageID, int, error)
	// InstalledVersions lists the versions of a package that are installed
	// anywhere, ordered as text, and counts them whatever the page.
	InstalledVersions(ns Namespace, name string, p Page) ([]VersionCount, int, error)
	// ConstrainedClasses lists each vendor and class of which there are
	// constrained devices, with the highest sequence number that one of them
	// has installed, ordered by both. Nothing else is set.
	ConstrainedClasses(ns Namespace) ([]Constrained, error)
	// InstalledOn lists the devices that have the package, ordered by id.
	InstalledOn(ns Namespace, id PackageID) ([]DeviceID, error)
}

// Page is a piece of an ordered list.
type Page struct {
	Offset, Limit int // Limit 0: all
}

// VersionCount tells how many devices have a version of some package.
type VersionCount struct {
	Version string
	Devices int
}

// DeviceWriter changes devices.
type DeviceWriter interface {
	// PutDevice creates or replaces by id, all but LastSeen and ActivatedAt,
	// which Seen alone changes. Conflict: conflicting_device.
	PutDevice(d Device) error
	// DeleteDevice removes the device with everything that is its own:
	// credentials of both kinds, keys, inventory, system info, contacts,
	// updates and results.
	DeleteDevice(id DeviceID) error
	// PutCredential replaces the device's credential; it has at most one.
	PutCredential(c Credential) error
	// PutPSK creates a key, or replaces its device's under the same identity.
	PutPSK(k PSK) error
	// DeletePSK fails with KindNotFound (missing_entity).
	DeletePSK(identity string) error
	PutInventory(id DeviceID, inv Inventory) error
	PutSystemInfo(id DeviceID, doc json.RawMessage) error
	// PutPublicCredentials replaces them; they are any text.
	PutPublicCredentials(id DeviceID, text string) error
	// PutContact replaces what the protocol keeps of the device.
	PutContact(id DeviceID, protocol string, state json.RawMessage) error
	// Seen records when devices were last seen and returns those seen for
	// the first time ever. Unknown ids are passed over, older times ignored.
	Seen(at map[DeviceID]time.Time) ([]DeviceID, error)
}

// DeviceFilter narrows a list of devices. Zero members do not filter.
type DeviceFilter struct {
	Namespace     Namespace // always applies
	ID            DeviceID
	Name          string // exact
	HardwareID    string // exact
	Blocked       bool   // only those that are
	Offset, Limit int    // Limit 0: all
}

// DeviceSummary is a device as lists show it.
type DeviceSummary struct {
	Device
	Status DeviceStatus
	Active int // updates that have not ended
}

// PackageReader reads packages.
type PackageReader interface {
	Package(ns Namespace, id PackageID) (Package, error)
	// Packages lists packages ordered by name, then creation (see
	// PackageFilter.Newest).
	Packages(f PackageFilter) ([]Package, error)
	// ArtifactByDigest finds an artifact of a namespace whose digest begins
	// with prefix, lower-case hex; of several, the one with the smallest.
	// It fails with KindNotFound (missing_entity).
	ArtifactByDigest(ns Namespace, prefix string) (Artifact, error)
	// BlobInUse reports whether any artifact of any namespace has that digest.
	BlobInUse(d Digest) (bool, error)
}

// PackageFilter narrows a list of packages. Zero members do not filter.
type PackageFilter struct {
	Namespace     Namespace // always applies
	Name          string    // exact
	Newest        bool      // of each name the newest first, instead of last
	Offset, Limit int       // Limit 0: all
}

// PackageWriter changes packages.
type PackageWriter interface {
	// PutPackage creates or replaces by namespace and id, artifacts included.
	PutPackage(p Package) error
	DeletePackage(ns Namespace, id PackageID) error
}

// UpdateReader reads updates and their results.
type UpdateReader interface {
	Update(device DeviceID, id UpdateID) (Update, error)
	// Updates lists updates, oldest first (see UpdateFilter.Newest).
	Updates(f UpdateFilter) ([]Update, error)
	// CountUpdates tells how many updates of each status there are, whatever
	// the page; a status of which there are none is left out.
	CountUpdates(f UpdateFilter) (map[Status]int, error)
	// DueUpdates lists pending updates whose Until is at or before t, at most limit.
	DueUpdates(t time.Time, limit int) ([]Update, error)
	// Results lists stored results in the order received; update "" means all of the device.
	Results(device DeviceID, update UpdateID) ([]StoredResult, error)
}

// UpdateFilter narrows a list of updates. Zero members do not filter.
type UpdateFilter struct {
	Namespace     Namespace // always applies
	Device        DeviceID
	ID            UpdateID // matches the update's id or its request's
	Package       PackageID
	Statuses      []Status
	Newest        bool // the newest first, instead of last
	Offset, Limit int  // Limit 0: all
}

// UpdateWriter changes updates.
type UpdateWriter interface {
	// PutUpdate creates or replaces by device and id.
	PutUpdate(u Update) error
	AddResults(rs []StoredResult) error
}

// EventReader reads the event log.
type EventReader interface {
	// Events lists events with a number above since, ascending, at most limit.
	Events(f EventFilter, since int64, limit int) ([]Event, error)
	// LastEvent is the number of the newest event, 0 if there is none.
	LastEvent() (int64, error)
}

// EventFilter narrows a list of events. Zero members do not filter.
type EventFilter struct {
	Namespace Namespace
	Device    DeviceID
}

// EventWriter writes the event log.
type EventWriter interface {
	// Append adds an event; the store sets Seq, and At to Now.
	Append(e Event) error
}
