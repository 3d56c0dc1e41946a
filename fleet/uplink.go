package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// Uplink is the server's end of the conversation with one device. It is a
// cheap value: doors make one for every call. Whose it is, the door has
// proved; a device that is not there answers KindNotFound (missing_device).
func (f *Fleet) Uplink(id ota.DeviceID) *Uplink { return &Uplink{f: f, id: id} }

// Uplink implements ota.Uplink.
type Uplink struct {
	f     *Fleet
	id    ota.DeviceID
	inbox inbox
}

var _ ota.Uplink = (*Uplink)(nil)

// Pending lists what is offered now, and marks the device as seen.
func (u *Uplink) Pending(ctx context.Context) ([]ota.Offer, error) {
	queue, err := u.Queue(ctx)
	if err != nil {
		return nil, err
	}
	u.Heard()
	offers := make([]ota.Offer, len(queue))
	for i, e := range queue {
		offers[i] = Offer(e, i)
	}
	return offers, nil
}

// Offer is a queued update as its device sees it at a place in the order.
func Offer(e ota.QueueEntry, pos int) ota.Offer {
	return ota.Offer{
		Update: e.Update.ID, Request: e.Update.Request, Package: e.Update.Package, Status: e.Update.Status,
		Pos: pos, Description: e.Update.Description, Confirm: e.Update.Confirm,
		CreatedAt: e.Update.CreatedAt, UpdatedAt: e.Update.UpdatedAt, Artifacts: e.Package.Artifacts,
	}
}

// Fetch opens an artifact. The bytes are known to be whole before the update
// moves to InFlight, and the move is on disk before any of them is given.
func (u *Uplink) Fetch(ctx context.Context, q ota.FetchRequest) (*ota.Content, error) {
	art, begin, err := u.artifact(ctx, q)
	if err != nil {
		return nil, err
	}
	if q.From < 0 || q.From > art.Size || (q.Digest != "" && q.Digest != art.SHA256) {
		q.From = 0
	}
	blob, err := u.f.open(ctx, art)
	if err != nil {
		return nil, err
	}
	if begin && !q.Peek {
		err = u.begin(ctx, q.Update)
	}
	if err == nil && q.From > 0 {
		_, err = blob.Seek(q.From, io.SeekStart)
	}
	if err != nil {
		blob.Close()
		return nil, err
	}
	return &ota.Content{Body: blob, From: q.From, Size: art.Size, Digest: art.SHA256}, nil
}

// open opens an artifact's bytes. That they are gone is no caller's fault but
// damage as well: it fails with KindCorrupt (corrupt_blob).
func (f *Fleet) open(ctx context.Context, a ota.Artifact) (ota.Blob, error) {
	blob, err := f.Blobs.Open(ctx, a.SHA256)
	if err != nil && ota.KindOf(err) == ota.KindNotFound {
		err = &ota.Error{Kind: ota.KindCorrupt, Code: "corrupt_blob", Text: fmt.Sprintf("the stored artifact %s is gone, upload it again", a.SHA256), Err: err}
	}
	return blob, err
}

// artifact finds what a fetch is about and whether the update must begin, for
// the first time or anew.
func (u *Uplink) artifact(ctx context.Context, q ota.FetchRequest) (art ota.Artifact, begin bool, err error) {
	err = u.f.Store.Read(ctx, func(tx ota.ReadTx) error {
		d, err := tx.Device(u.id)
		if err != nil {
			return err
		}
		up, err := tx.Update(u.id, q.Update)
		if err != nil {
			return err
		}
		begin = up.Status == ota.Pending || !up.SentAt.IsZero()
		if err := up.Begin(d.Block, tx.Now()); err != nil {
			return err
		}
		p, err := tx.Package(up.Namespace, up.Package)
		if err != nil {
			return err
		}
		var ok bool
		if art, ok = p.Artifact(q.Artifact); !ok {
			return ota.Fail(ota.KindNotFound, "missing_entity", "%s has no file %q", p.ID, q.Artifact)
		}
		return nil
	})
	return art, begin, err
}

func (u *Uplink) begin(ctx context.Context, id ota.UpdateID) error {
	return u.f.writeIf(ctx, func(tx ota.Tx) error {
		d, err := tx.Device(u.id)
		if err != nil {
			return err
		}
		up, err := tx.Update(u.id, id)
		if err != nil {
			return err
		}
		if up.Status == ota.InFlight && up.SentAt.IsZero() {
			return errNoChange
		}
		if err := up.Begin(d.Block, tx.Now()); err != nil {
			return err
		}
		return putUpdate(tx, up)
	})
}

// Installed replaces the device's inventory and marks it as seen.
func (u *Uplink) Installed(ctx context.Context, inv ota.Inventory) error {
	if err := inv.Validate(); err != nil {
		return err
	}
	err := u.f.writeIf(ctx, func(tx ota.Tx) error {
		d, err := tx.Device(u.id)
		if err != nil {
			return err
		}
		old, at, err := tx.Inventory(u.id)
		if err != nil {
			return err
		}
		if !at.IsZero() && slices.Equal(old.Packages, inv.Packages) && slices.Equal(old.Firmware, inv.Firmware) {
			return errNoChange
		}
		if err := tx.PutInventory(u.id, inv); err != nil {
			return err
		}
		return tell(tx, ota.InventoryChanged, d, "", nil)
	})
	if err != nil {
		return err
	}
	u.Heard()
	return nil
}

// SystemInfo replaces the device's description of itself.
func (u *Uplink) SystemInfo(ctx context.Context, doc json.RawMessage) error {
	if err := checkSystemInfo(doc); err != nil {
		return err
	}
	return u.f.write(ctx, func(tx ota.Tx) error {
		if _, err := tx.Device(u.id); err != nil {
			return err
		}
		return tx.PutSystemInfo(u.id, doc)
	})
}

// MaxSystemInfo is the longest description taken from a device, in bytes.
const MaxSystemInfo = 1 << 20

func checkSystemInfo(doc json.RawMessage) error {
	if len(doc) > MaxSystemInfo {
		return ota.Fail(ota.KindTooLarge, "too_large", "system information may hold at most %d bytes", MaxSystemInfo)
	}
	if !json.Valid(doc) {
		return ota.Invalid("system information is not valid JSON")
	}
	return nil
}
