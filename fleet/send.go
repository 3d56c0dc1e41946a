package fleet

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Request asks that a device install packages, in that order.
type Request struct {
	Device      ota.DeviceID
	Packages    []ota.PackageID
	ID          ota.UpdateID // of the first update, and of the request; chosen by the server if empty
	Until       time.Time    // zero: no end
	Priority    int          // 0: ota.DefaultPriority
	Confirm     bool
	Description string // "": the package's
	// Force sends to a constrained device what it cannot install. It is noted
	// (see ota.Forced).
	Force bool
}

// maxRequest bounds the packages of one request.
const maxRequest = 100

// Send queues updates that belong together. It answers with them and with the
// device's block, which holds them back if it stands. It fails with
//   - KindNotFound (missing_device, missing_package), KindInvalid;
//   - KindInvalid (a Refusal with every reason) if the device is constrained,
//     and could not install what is sent;
//   - KindConflict (conflicting_entity) if the device has an update of that id.
func (f *Fleet) Send(ctx context.Context, ns ota.Namespace, r Request) (updates []ota.Update, block ota.Block, err error) {
	if r.Priority == 0 {
		r.Priority = ota.DefaultPriority
	}
	switch {
	case len(r.Packages) == 0 || len(r.Packages) > maxRequest:
		return nil, block, ota.Invalid("a request needs 1 to %d packages, not %d", maxRequest, len(r.Packages))
	case r.Priority < 1 || r.Priority > 100:
		return nil, block, ota.Invalid("priority must be 1 (first) to 100, not %d", r.Priority)
	}
	if err := checkText("description", r.Description); err != nil {
		return nil, block, err
	}
	against, err := f.refused(ctx, ns, r)
	if err != nil {
		return nil, block, err
	}
	if len(against) > 0 && !r.Force || against.firm() {
		return nil, block, against.refusal(r.Packages)
	}
	err = f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, r.Device)
		if err != nil {
			return err
		}
		if !r.Until.IsZero() && !r.Until.After(tx.Now()) {
			return ota.Invalid("the end %s has passed", r.Until.UTC().Format(time.RFC3339))
		}
		block = d.Block
		if updates, err = f.queue(tx, d, r, against); err != nil {
			return err
		}
		return tellSentByForce(ctx, tx, updates, against)
	})
	if err != nil {
		return nil, block, err
	}
	for _, u := range updates {
		f.warnForced(ctx, "send", u.Package, against[u.Package].reasons, "device", u.Device)
	}
	return updates, block, nil
}

func tellSentByForce(ctx context.Context, tx ota.Tx, updates []ota.Update, against objections) error {
	for _, u := range updates {
		if u.Forced == "" {
			continue
		}
		reasons := against[u.Package].reasons
		if err := tellForced(tx, ota.Event{Namespace: u.Namespace, Device: u.Device, Update: u.ID}, u.Package, forced(ctx, tx, "send", reasons), reasons); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) queue(tx ota.Tx, d ota.Device, r Request, against objections) ([]ota.Update, error) {
	if r.ID == "" {
		r.ID = ota.UpdateID(f.NewID())
	}
	pos, err := nextPos(tx, d, len(r.Packages))
	if err != nil {
		return nil, err
	}
	var updates []ota.Update
	for i, id := range r.Packages {
		p, err := managed(tx, d.Namespace, id)
		if err != nil {
			return nil, err
		}
		u := ota.Update{
			Namespace: d.Namespace, ID: r.ID, Request: ota.RequestID(r.ID), Device: d.ID, Package: id,
			Status: ota.Pending, Priority: r.Priority, Confirm: r.Confirm, Description: r.Description,
			Until: r.Until, CreatedAt: tx.Now(), UpdatedAt: tx.Now(), Forced: strings.Join(against[id].reasons, "; "),
		}
		if u.Description == "" {
			u.Description = p.Description
		}
		if pos > 0 {
			u.Pos = pos + i
		}
		if i > 0 {
			u.ID = ota.UpdateID(f.NewID())
		}
		if _, err := tx.Update(d.ID, u.ID); err == nil {
			return nil, ota.Fail(ota.KindConflict, "conflicting_entity", "the device has an update %s already", u.ID)
		} else if ota.KindOf(err) != ota.KindNotFound {
			return nil, err
		}
		if err := putUpdate(tx, u); err != nil {
			return nil, err
		}
		updates = append(updates, u)
	}
	return updates, nil
}

// nextPos returns the explicit place for the first of n new updates: none (0)
// for a single one in a queue nobody ordered, else after all that have one.
func nextPos(tx ota.Tx, d ota.Device, n int) (int, error) {
	queue, err := tx.Updates(activeOf(d))
	if err != nil {
		return 0, err
	}
	last := 0
	for _, u := range queue {
		last = max(last, u.Pos)
	}
	if last == 0 && n == 1 {
		return 0, nil
	}
	return last + 1, nil
}

// activeOf selects what is not ended of a device's updates.
func activeOf(d ota.Device) ota.UpdateFilter {
	return ota.UpdateFilter{Namespace: d.Namespace, Device: d.ID, Statuses: []ota.Status{ota.Pending, ota.InFlight}}
}

// packageData is what package events carry.
func packageData(id ota.PackageID) json.RawMessage {
	b, _ := json.Marshal(map[string]string{"name": id.Name, "version": id.Version}) // strings always marshal
	return b
}
