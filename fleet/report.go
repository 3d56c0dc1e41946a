package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// maxResults bounds how many results one update gathers; no more are taken
// either once their texts have more bytes than maxResultText.
const (
	maxResults    = 2000
	maxResultText = 8 << 20
)

// Report takes how an update ended. The first report decides: success ends
// the update as Finished, anything else as Failed, and then the device's
// queue is blocked. The same report again has no effect; a different one
// after the end is kept in history and changes nothing. It fails with
// KindNotFound (missing_entity), KindInvalid, or KindConflict
// (update_canceled) if the update was withdrawn; what was reported is kept
// even then.
func (u *Uplink) Report(ctx context.Context, r ota.Report) error {
	if err := r.Validate(); err != nil {
		return err
	}
	var canceled error
	err := u.f.writeIf(ctx, func(tx ota.Tx) error {
		d, err := tx.Device(u.id)
		if err != nil {
			return err
		}
		up, err := tx.Update(u.id, r.Update)
		if err != nil {
			return err
		}
		if up.Status == ota.Canceled {
			canceled = ota.Fail(ota.KindConflict, "update_canceled", "update %s was canceled", up.ID)
		}
		fresh, err := keepResults(tx, u.id, r)
		if err != nil {
			return err
		}
		if !fresh {
			return errNoChange
		}
		if !up.Conclude(r, tx.Now()) {
			return nil
		}
		if err := putUpdate(tx, up); err != nil {
			return err
		}
		if up.Status != ota.Failed {
			return nil
		}
		d.Block = ota.Block{Since: tx.Now(), Update: up.ID, Reason: fmt.Sprintf("%s failed: %s", up.Package, up.Reason)}
		return putBlock(tx, d, ota.DeviceBlocked)
	})
	if err != nil {
		return err
	}
	u.Heard()
	return canceled
}

// keepResults stores a report's results unless they are there already, and
// reports whether it did.
func keepResults(tx ota.Tx, id ota.DeviceID, r ota.Report) (bool, error) {
	stored, err := tx.Results(id, r.Update)
	if err != nil {
		return false, err
	}
	fresh := storedResults(tx, id, r)
	if slices.ContainsFunc(stored, func(s ota.StoredResult) bool { return s.ID == fresh[0].ID }) {
		return false, nil
	}
	if len(stored)+len(fresh) > maxResults || textOf(stored) > maxResultText {
		return false, ota.Invalid("update %s has %d results already, no more are taken", r.Update, len(stored))
	}
	return true, tx.AddResults(fresh)
}

// textOf counts the bytes of the texts.
func textOf(rs []ota.StoredResult) (n int) {
	for _, r := range rs {
		n += len(r.Result.Text)
	}
	return n
}

// storedResults gives each result an id made from the whole report, so that
// an equal report is recognised by it.
func storedResults(tx ota.Tx, id ota.DeviceID, r ota.Report) []ota.StoredResult {
	whole, _ := json.Marshal(r) // plain strings and numbers always marshal
	space := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s\n%s", id, whole))
	out := make([]ota.StoredResult, len(r.Results))
	for i, res := range r.Marked() {
		out[i] = ota.StoredResult{
			ID:     uuid.NewSHA1(space, fmt.Append(nil, i)).String(),
			Device: id, Update: r.Update, Result: res, ReceivedAt: tx.Now(),
		}
	}
	return out
}
