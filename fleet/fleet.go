// Package fleet makes every decision of the server, a file per flow: devices,
// packages, sending, the device's side of the conversation, upkeep.
//
// A decision is one transaction of the store and is told only once it is
// written. Doors (HTTP and every later protocol) translate into the calls
// here and decide nothing; they call with the namespace their caller proved,
// and what belongs to another namespace does not exist for them.
package fleet

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// Options are the parts and settings of a Fleet. Store and Blobs are
// required; the rest has defaults.
type Options struct {
	Store ota.Store
	Blobs ota.Blobs

	// TrustedKeys, if any, must have signed every uploaded artifact.
	TrustedKeys []ed25519.PublicKey
	// MaxUpload is the largest artifact accepted, in bytes (default 4 GiB).
	MaxUpload int64
	// PackageName and PackageVersion are stricter rules for managed names,
	// such as the original's; nil adds no rule.
	PackageName, PackageVersion *regexp.Regexp

	// SUITKeys may sign manifests for constrained devices. Without any, it is
	// not checked whose a signature is.
	SUITKeys []suit.Key
	// Certificates may prove to this server which constrained device one is.
	Certificates bool
	// RequireSUIT refuses files that have the name of a manifest and are none.
	RequireSUIT bool
	// CoAPRoot tells where devices find the files of this server, such as
	// "coap://[fd00::1]:5683"; nil, or "", if they do not.
	CoAPRoot func() string
	// Trigger speaks first to devices that are CoAP servers; nil if nothing does.
	Trigger ota.Trigger

	// Stoppable reports whether an update's bytes are under way over a transport
	// that can stop them, once it hears ota.Withdrawn; nil: none can.
	Stoppable func(ota.DeviceID, ota.UpdateID) bool

	// These are called once a device has been removed, its credential replaced,
	// or its key for coaps: what was proven by that ends now.
	DeviceGone, CredentialGone, KeyGone func(ota.DeviceID)

	Log   *slog.Logger
	Now   func() time.Time
	NewID func() string // makes UUIDs
}

// Fleet answers for all devices of a server.
type Fleet struct {
	Options
	bell bell
	seen seen

	edition    atomic.Uint64 // see Edition
	publishing sync.Mutex    // held from looking at what is there until the decision is written
	manifests  manifests
	versions   edition[publishKey, []ota.Package]
	deliveries edition[deliveryKey, objection]
}

// DefaultMaxUpload is the largest artifact accepted unless configured: 4 GiB.
const DefaultMaxUpload = 4 << 30

// New makes a fleet. Run its Upkeep beside it, and Close it at the end.
func New(o Options) *Fleet {
	if o.MaxUpload == 0 {
		o.MaxUpload = DefaultMaxUpload
	}
	for _, gone := range []*func(ota.DeviceID){&o.DeviceGone, &o.CredentialGone, &o.KeyGone} {
		if *gone == nil {
			*gone = func(ota.DeviceID) {}
		}
	}
	if o.CoAPRoot == nil {
		o.CoAPRoot = func() string { return "" }
	}
	if o.Stoppable == nil {
		o.Stoppable = func(ota.DeviceID, ota.UpdateID) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	f := &Fleet{Options: o}
	f.bell.init()
	return f
}

// Close writes what was held back. It does not close the store.
func (f *Fleet) Close(ctx context.Context) error { return f.flushSeen(ctx) }

// Ready reports whether the fleet can decide: the store answers.
func (f *Fleet) Ready(ctx context.Context) error { return f.Store.Ping(ctx) }

// write runs one decision and rings the bell once it is on disk.
func (f *Fleet) write(ctx context.Context, decide func(tx ota.Tx) error) error {
	packages := false
	if err := f.Store.Write(ctx, func(tx ota.Tx) error { return decide(watchedTx{tx, &packages}) }); err != nil {
		return err
	}
	if packages {
		f.edition.Add(1)
	}
	f.bell.ring()
	return nil
}

// watchedTx notes whether packages are written.
type watchedTx struct {
	ota.Tx
	packages *bool
}

func (t watchedTx) PutPackage(p ota.Package) error {
	*t.packages = true
	return t.Tx.PutPackage(p)
}

func (t watchedTx) DeletePackage(ns ota.Namespace, id ota.PackageID) error {
	*t.packages = true
	return t.Tx.DeletePackage(ns, id)
}

// writeIf is write for a decision that may find that there is nothing to
// change, which it says with errNoChange.
func (f *Fleet) writeIf(ctx context.Context, decide func(tx ota.Tx) error) error {
	if err := f.write(ctx, decide); err != errNoChange {
		return err
	}
	return nil
}

var errNoChange = errors.New("nothing to change")

// device reads a device as its namespace sees it.
func device(tx ota.ReadTx, ns ota.Namespace, id ota.DeviceID) (ota.Device, error) {
	d, err := tx.Device(id)
	if err == nil && d.Namespace != ns {
		return ota.Device{}, ota.MissingDevice(string(id))
	}
	return d, err
}

// tell appends an event about a device.
func tell(tx ota.Tx, t ota.EventType, d ota.Device, u ota.UpdateID, data any) error {
	e := ota.Event{Namespace: d.Namespace, Type: t, Device: d.ID, Update: u}
	if data != nil {
		b, err := json.Marshal(data)
		if err != nil {
			return err
		}
		e.Data = b
	}
	return tx.Append(e)
}

// putUpdate stores an update's transition and tells of it.
func putUpdate(tx ota.Tx, u ota.Update) error {
	if err := tx.PutUpdate(u); err != nil {
		return err
	}
	data, err := json.Marshal(map[string]string{"status": string(u.Status), "package": u.Package.String(), "reason": u.Reason})
	if err != nil {
		return err
	}
	return tx.Append(ota.Event{Namespace: u.Namespace, Type: ota.UpdateChanged, Device: u.Device, Update: u.ID, Data: data})
}
