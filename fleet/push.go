package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// What a door that speaks first tells of its device. Only a device's own
// report of a failure blocks its queue: that it did not answer, or never told
// how an update ended, says nothing against the next one, which is offered.
var _ ota.Push = (*Uplink)(nil)

// Queue lists what Pending offers. It fails with KindNotFound (missing_device).
func (u *Uplink) Queue(ctx context.Context) ([]ota.QueueEntry, error) {
	q, err := u.f.Store.Queue(ctx, u.id)
	if err != nil {
		return nil, err
	}
	now := u.f.Now()
	queue := slices.DeleteFunc(q.Entries, func(e ota.QueueEntry) bool {
		return !e.Update.Offerable(q.Block, now) || len(e.Package.Artifacts) == 0
	})
	slices.SortFunc(queue, func(a, b ota.QueueEntry) int { return a.Update.Precedes(b.Update) })
	return queue, nil
}

// Heard notes in memory that the device was there now; Upkeep writes it.
func (u *Uplink) Heard() { u.f.seen.record(u.id, u.f.Now()) }

// Sent notes that the device has all bytes of an update.
func (u *Uplink) Sent(ctx context.Context, id ota.UpdateID) error {
	return u.transit(ctx, []ota.UpdateID{id}, (*ota.Update).Sent)
}

// Unreported ends an update that was sent and never reported, as Failed.
func (u *Uplink) Unreported(ctx context.Context, id ota.UpdateID) error {
	return u.transit(ctx, []ota.UpdateID{id}, (*ota.Update).Unreported)
}

// Unanswered returns updates to the queue, or ends them as Failed after
// ota.MaxTries, all in one transaction.
func (u *Uplink) Unanswered(ctx context.Context, ids []ota.UpdateID, reason string) error {
	return u.transit(ctx, ids, func(up *ota.Update, now time.Time) bool { return up.Return(reason, now) })
}

// Interrupted returns updates to the queue, all in one transaction.
func (u *Uplink) Interrupted(ctx context.Context, ids []ota.UpdateID) error {
	return u.transit(ctx, ids, (*ota.Update).Interrupt)
}

// transit lets updates take the same step in one transaction. One that is not
// there is passed over, as those for which the step is none are: the device
// may have been removed, and what is true of the others stays true.
func (u *Uplink) transit(ctx context.Context, ids []ota.UpdateID, step func(up *ota.Update, now time.Time) bool) error {
	return u.f.writeIf(ctx, func(tx ota.Tx) error {
		changed := false
		for _, id := range ids {
			up, err := tx.Update(u.id, id)
			if err == nil && step(&up, tx.Now()) {
				changed, err = true, putUpdate(tx, up)
			}
			if err != nil && ota.KindOf(err) != ota.KindNotFound {
				return err
			}
		}
		if !changed {
			return errNoChange
		}
		return nil
	})
}

// Contact reads what a protocol keeps of the device. It fails with
// KindNotFound (missing_device, missing_entity).
func (u *Uplink) Contact(ctx context.Context, protocol string) (state json.RawMessage, err error) {
	err = u.f.Store.Read(ctx, func(tx ota.ReadTx) error {
		state, err = tx.Contact(u.id, protocol)
		return err
	})
	return state, err
}

// PutContact keeps a JSON document for a protocol. It fails with KindTooLarge
// (too_large), KindInvalid, or KindNotFound (missing_device).
func (u *Uplink) PutContact(ctx context.Context, protocol string, state json.RawMessage) error {
	if len(state) > ota.MaxContact {
		return ota.Fail(ota.KindTooLarge, "too_large", "a protocol may keep at most %d bytes of a device, not %d", ota.MaxContact, len(state))
	}
	if !json.Valid(state) {
		return ota.Invalid("what a protocol keeps of a device must be JSON")
	}
	return u.f.writeIf(ctx, func(tx ota.Tx) error {
		old, err := tx.Contact(u.id, protocol)
		if err == nil && bytes.Equal(old, state) {
			return errNoChange
		}
		return tx.PutContact(u.id, protocol, state)
	})
}
