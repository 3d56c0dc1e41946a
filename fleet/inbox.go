package fleet

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// inbox is how far an uplink has read its device's events.
type inbox struct {
	mu      sync.Mutex
	started bool
	since   int64
	waiting []ota.Notice
}

// eventPage is how many events are read at a time.
const eventPage = 100

// Since makes the inbox begin after the event of that number. Without it the
// first Next begins at the present: what is already queued, Pending tells.
func (u *Uplink) Since(event int64) *Uplink {
	u.inbox.since, u.inbox.started = event, true
	return u
}

// Next waits for the next notice to the device.
func (u *Uplink) Next(ctx context.Context) (ota.Notice, error) {
	u.inbox.mu.Lock()
	defer u.inbox.mu.Unlock()
	for {
		heard := u.f.bell.heard()
		if err := u.look(ctx); err != nil {
			return nil, err
		}
		if w := u.inbox.waiting; len(w) > 0 {
			u.inbox.waiting = w[1:]
			return w[0], nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look reads the device's new events and keeps those it should hear of.
func (u *Uplink) look(ctx context.Context) error {
	in := &u.inbox
	return u.f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if !in.started {
			last, err := tx.LastEvent()
			in.since, in.started = last, err == nil
			return err
		}
		for len(in.waiting) == 0 {
			events, err := tx.Events(ota.EventFilter{Device: u.id}, in.since, eventPage)
			if err != nil {
				return err
			}
			for _, e := range events {
				in.since = e.Seq
				if n := notice(e); n != nil {
					in.waiting = append(in.waiting, n)
				}
			}
			if len(events) < eventPage {
				return nil
			}
		}
		return nil
	})
}

// notice is what an event means to its device, nil if nothing.
func notice(e ota.Event) ota.Notice {
	switch e.Type {
	case ota.ListRequested:
		return ota.ListWanted{}
	case ota.DeviceUnblocked:
		return ota.Offered{}
	case ota.UpdateChanged:
		var data struct {
			Status ota.Status `json:"status"`
		}
		if json.Unmarshal(e.Data, &data) != nil {
			return nil
		}
		switch data.Status {
		case ota.Pending:
			return ota.Offered{}
		case ota.Canceled, ota.Expired:
			return ota.Withdrawn{Update: e.Update}
		}
	}
	return nil
}

// WantList asks a device for its list of installed software anew.
func (f *Fleet) WantList(ctx context.Context, ns ota.Namespace, id ota.DeviceID) error {
	return f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		return tell(tx, ota.ListRequested, d, "", nil)
	})
}
