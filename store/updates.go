package store

import (
	"math"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

func (t *readTx) Update(device ota.DeviceID, id ota.UpdateID) (ota.Update, error) {
	row, err := t.q.Update(t.ctx, query.UpdateParams{DeviceID: string(device), ID: string(id)})
	if err != nil {
		return ota.Update{}, t.found("read update", err, ota.MissingUpdate(id))
	}
	return updateOf(row), nil
}

func (t *readTx) Updates(f ota.UpdateFilter) ([]ota.Update, error) {
	tail := t.updates(f)
	order := "u.created_at, u.device_id, u.id"
	if f.Newest {
		order = "u.created_at DESC, u.device_id DESC, u.id DESC"
	}
	tail.page(order, f.Offset, f.Limit)
	rows, err := tail.queries().Updates(t.ctx, string(f.Namespace))
	return updatesOf(rows), t.fail("list updates", err)
}

func (t *readTx) CountUpdates(f ota.UpdateFilter) (map[ota.Status]int, error) {
	tail := t.updates(f)
	tail.group("u.status")
	rows, err := tail.queries().CountUpdates(t.ctx, string(f.Namespace))
	counts := make(map[ota.Status]int, len(rows))
	for _, row := range rows {
		counts[ota.Status(row.Status)] = int(row.Updates)
	}
	return counts, t.fail("count updates", err)
}

// updates narrows to those of a filter, on all its pages.
func (t *readTx) updates(f ota.UpdateFilter) *filter {
	tail := t.narrow()
	tail.equal("u.device_id", string(f.Device))
	tail.either("u.id", "u.request_id", string(f.ID))
	tail.equal("u.package", f.Package.Name)
	tail.equal("u.version", f.Package.Version)
	among(tail, "u.status", f.Statuses)
	return tail
}

func (t *readTx) DueUpdates(at time.Time, limit int) ([]ota.Update, error) {
	limit = min(max(0, limit), math.MaxInt32)
	rows, err := t.q.DueUpdates(t.ctx, query.DueUpdatesParams{At: micros(at), Max: int32(limit)})
	return updatesOf(rows), t.fail("list due updates", err)
}

func updatesOf(rows []query.DeviceUpdate) []ota.Update {
	list := make([]ota.Update, len(rows))
	for i, row := range rows {
		list[i] = updateOf(row)
	}
	return list
}

func updateOf(row query.DeviceUpdate) ota.Update {
	return ota.Update{
		Namespace:   ota.Namespace(row.Namespace),
		ID:          ota.UpdateID(row.ID),
		Request:     ota.RequestID(row.RequestID),
		Device:      ota.DeviceID(row.DeviceID),
		Package:     ota.PackageID{Name: row.Package, Version: row.Version},
		Status:      ota.Status(row.Status),
		Pos:         int(row.Pos),
		Priority:    int(row.Priority),
		Confirm:     row.Confirm,
		Description: row.Description,
		Until:       instant(row.UntilAt),
		CreatedAt:   instant(row.CreatedAt),
		UpdatedAt:   instant(row.UpdatedAt),
		EndedAt:     instant(row.EndedAt),
		Reason:      row.Reason,
		Tries:       int(row.Tries),
		RetryAt:     instant(row.RetryAt),
		SentAt:      instant(row.SentAt),
		Forced:      row.Forced,
	}
}

func (t *writeTx) PutUpdate(u ota.Update) error {
	err := t.q.PutUpdate(t.ctx, query.PutUpdateParams{
		DeviceID:    string(u.Device),
		ID:          string(u.ID),
		Namespace:   string(u.Namespace),
		RequestID:   string(u.Request),
		Package:     u.Package.Name,
		Version:     u.Package.Version,
		Status:      string(u.Status),
		Pos:         int64(u.Pos),
		Priority:    int64(u.Priority),
		Confirm:     u.Confirm,
		Description: u.Description,
		UntilAt:     micros(u.Until),
		CreatedAt:   micros(u.CreatedAt),
		UpdatedAt:   micros(u.UpdatedAt),
		EndedAt:     micros(u.EndedAt),
		Reason:      u.Reason,
		Tries:       int64(u.Tries),
		RetryAt:     micros(u.RetryAt),
		SentAt:      micros(u.SentAt),
		Forced:      u.Forced,
	})
	if orphan(err) {
		return ota.MissingDevice(string(u.Device))
	}
	return t.fail("put update", err)
}

func (t *readTx) Results(device ota.DeviceID, update ota.UpdateID) ([]ota.StoredResult, error) {
	var rows []query.Result
	var err error
	if update == "" {
		rows, err = t.q.DeviceResults(t.ctx, string(device))
	} else {
		rows, err = t.q.UpdateResults(t.ctx, query.UpdateResultsParams{DeviceID: string(device), UpdateID: string(update)})
	}
	list := make([]ota.StoredResult, len(rows))
	for i, row := range rows {
		list[i] = ota.StoredResult{
			ID:         row.ID,
			Device:     ota.DeviceID(row.DeviceID),
			Update:     ota.UpdateID(row.UpdateID),
			Result:     ota.OperationResult{ID: row.Operation, Code: ota.ResultCode(row.Code), Text: row.Text},
			ReceivedAt: instant(row.ReceivedAt),
		}
	}
	return list, t.fail("list results", err)
}

// AddResults fails with KindNotFound (missing_entity) for a result of no
// update, and with KindConflict (conflicting_entity) for an id that is taken.
func (t *writeTx) AddResults(rs []ota.StoredResult) error {
	for _, r := range rs {
		err := t.q.AddResult(t.ctx, query.AddResultParams{
			DeviceID:   string(r.Device),
			ID:         r.ID,
			UpdateID:   string(r.Update),
			Operation:  r.Result.ID,
			Code:       int64(r.Result.Code),
			Text:       r.Result.Text,
			ReceivedAt: micros(r.ReceivedAt),
		})
		switch {
		case duplicate(err):
			return ota.Fail(ota.KindConflict, "conflicting_entity", "there is already a result %s", r.ID)
		case orphan(err):
			return ota.MissingUpdate(r.Update)
		case err != nil:
			return t.fail("add result", err)
		}
	}
	return nil
}
