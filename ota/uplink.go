package ota

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// Uplink is the conversation of one device with its server, in both
// directions. The server's side is answered by fleet; every protocol's client
// speaks it; a simulator may call fleet directly.
//
// Errors carry a Kind. KindUnauthenticated and KindForbidden mean the device
// must prove itself again; KindUnreachable, KindUnavailable, KindTooMany and
// KindInternal are worth another try later; the rest are final for that call.
// Every call may be repeated harmlessly.
type Uplink interface {
	// Pending asks what there is to do: the updates offered now, in install
	// order, possibly none.
	Pending(ctx context.Context) ([]Offer, error)

	// Fetch opens an artifact of an update, from byte q.From on. It moves the
	// update to InFlight before any byte is given. Three things might happen:
	//   - the content, whose From may be smaller than asked for when the
	//     source could not resume (or the artifact changed, see q.Digest);
	//   - KindNotFound, KindConflict or KindLocked: not this device's, ended,
	//     or withheld (missing_entity, update_ended, device_blocked);
	//   - KindCorrupt: the server's copy is damaged, and it gives no byte of it.
	Fetch(ctx context.Context, q FetchRequest) (*Content, error)

	// Report tells how an update ended. The same report again is taken
	// without effect. KindNotFound and KindInvalid are final, and so is
	// KindConflict (the update was canceled).
	Report(ctx context.Context, r Report) error

	// Installed replaces the server's list of what the device has installed.
	Installed(ctx context.Context, inv Inventory) error

	// SystemInfo replaces the server's description of the device, any JSON document.
	SystemInfo(ctx context.Context, doc json.RawMessage) error

	Inbox
}

// Keeper is an Uplink that has an update's bytes on this machine's disk until
// its caller has put them elsewhere, for good.
type Keeper interface{ Release(UpdateID) }

// Inbox is what the server says unasked. A transport the server cannot speak
// over fills it by polling.
type Inbox interface {
	// Next waits for the next notice. It ends with ctx's error when ctx does.
	// Notices are hints: a lost one costs time, never an update, because
	// Pending has the truth.
	Next(ctx context.Context) (Notice, error)
}

// Notice is one thing a server says unasked: Offered, Withdrawn, Held or
// ListWanted.
type Notice interface{ notice() }

// Offered says that there is something to ask Pending for. Offers holds what
// the transport already told, and may be empty.
type Offered struct{ Offers []Offer }

// Withdrawn says that an update is no longer wanted. Withdrawing one that the
// device never heard of, or has begun to install, changes nothing.
type Withdrawn struct{ Update UpdateID }

// Held says that what is pending is held back for now: Pending answers less.
type Held struct{}

// ListWanted asks for the list of installed software.
type ListWanted struct{}

func (Offered) notice()    {}
func (Withdrawn) notice()  {}
func (Held) notice()       {}
func (ListWanted) notice() {}

// Offer is an update as its device learns of it.
type Offer struct {
	Update      UpdateID
	Request     RequestID
	Package     PackageID
	Status      Status // Pending or InFlight
	Pos         int    // place in the install order, from 0 without gaps
	Description string
	Confirm     bool // the user must agree first
	CreatedAt   time.Time
	UpdatedAt   time.Time
	// Artifacts are the files, the main one first. A server that does not
	// tell sizes and digests leaves the list empty.
	Artifacts []Artifact
}

// Main returns the main artifact as far as it is known.
func (o Offer) Main() Artifact { return Package{Artifacts: o.Artifacts}.Main() }

// FetchRequest asks for an artifact.
type FetchRequest struct {
	Update   UpdateID
	Artifact string // "" is the main one
	From     int64  // first byte wanted, from 0
	Digest   Digest // what the first part belongs to; "" if From is 0 or unknown
	// Peek asks only what the content would be (HTTP HEAD): it fails as a
	// fetch would, but the update keeps its status, and Body is not read.
	Peek bool
}

// Content is an artifact, or the rest of one, ready to be read. The reader
// must close Body.
type Content struct {
	// Body yields Size-From bytes. Where the bytes lie on this machine it is
	// an io.ReadSeeker over the whole artifact instead, placed at From.
	Body   io.ReadCloser
	From   int64
	Size   int64  // of the whole artifact; -1 if the source does not tell
	Digest Digest // of the whole artifact; "" if the source does not tell
	// Signature vouches for the artifact, see Artifact; "" if the source does
	// not tell it here, as it has offered it before.
	Signature string
}

// Inventory is everything installed on a device.
type Inventory struct {
	Packages []Installed
	Firmware []Firmware
}

// MaxInventory bounds each list of an inventory.
const MaxInventory = 50_000

// Validate checks every name, and that no list is longer than MaxInventory.
// It fails with KindInvalid.
func (inv Inventory) Validate() error {
	if len(inv.Packages) > MaxInventory || len(inv.Firmware) > MaxInventory {
		return Invalid("more than %d installed packages or firmware modules", MaxInventory)
	}
	for _, p := range inv.Packages {
		if err := ValidateInstalled("name", p.Name); err != nil {
			return err
		}
		if err := ValidateInstalled("version", p.Version); err != nil {
			return err
		}
	}
	for _, f := range inv.Firmware {
		if err := ValidateInstalled("firmware module", f.Module); err != nil {
			return err
		}
		if err := ValidateInstalled("firmware id", f.ID); err != nil {
			return err
		}
	}
	return nil
}

// Installed is one package on a device.
type Installed struct {
	PackageID
}

// Firmware is what one module of a device runs (server.md 1.11).
type Firmware struct {
	Module       string
	ID           string
	LastModified int64 // as the device told it, Unix seconds in practice
}
