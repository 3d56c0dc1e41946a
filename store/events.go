package store

import (
	"encoding/json"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

func (t *readTx) Events(f ota.EventFilter, since int64, limit int) ([]ota.Event, error) {
	if limit <= 0 {
		return nil, nil
	}
	tail := t.narrow()
	tail.equal("e.namespace", string(f.Namespace))
	tail.equal("e.device_id", string(f.Device))
	tail.page("e.seq", 0, limit)
	rows, err := tail.queries().Events(t.ctx, since)
	list := make([]ota.Event, len(rows))
	for i, row := range rows {
		list[i] = ota.Event{
			Seq:       row.Seq,
			Namespace: ota.Namespace(row.Namespace),
			At:        instant(row.At),
			Type:      ota.EventType(row.Type),
			Device:    ota.DeviceID(row.DeviceID),
			Update:    ota.UpdateID(row.UpdateID),
		}
		if row.Data != "" {
			list[i].Data = json.RawMessage(row.Data)
		}
	}
	return list, t.fail("list events", err)
}

func (t *readTx) LastEvent() (int64, error) {
	n, err := t.q.LastEvent(t.ctx)
	return n, t.fail("read the last event's number", err)
}

func (t *writeTx) Append(e ota.Event) error {
	const doing = "append event"
	seq, err := t.q.NextEvent(t.ctx)
	if err != nil {
		return t.fail(doing, err)
	}
	return t.fail(doing, t.q.AddEvent(t.ctx, query.AddEventParams{
		Seq:       seq,
		Namespace: string(e.Namespace),
		At:        micros(t.now),
		Type:      string(e.Type),
		DeviceID:  string(e.Device),
		UpdateID:  string(e.Update),
		Data:      string(e.Data),
	}))
}
