package fleet

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// inbox is how far someone has read the event log, and the notices in it that
// wait to be taken.
type inbox struct {
	mu      sync.Mutex
	device  ota.DeviceID // whose events; "" is everyone's
	started bool
	since   int64
	waiting []told
}

// told is a notice and whom it is for.
type told struct {
	device ota.DeviceID
	notice ota.Notice
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
	u.inbox.device = u.id
	t, err := u.inbox.next(ctx, u.f)
	return t.notice, err
}

// next waits for the next notice. After an error of the store it may be called
// again, and goes on where it was.
func (in *inbox) next(ctx context.Context, f *Fleet) (told, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		heard := f.bell.heard()
		if err := in.look(ctx, f); err != nil {
			return told{}, err
		}
		if w := in.waiting; len(w) > 0 {
			in.waiting = w[1:]
			return w[0], nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return told{}, ctx.Err()
		}
	}
}

// look reads new events, unless notices wait, and keeps what is to be told.
func (in *inbox) look(ctx context.Context, f *Fleet) error {
	if len(in.waiting) > 0 {
		return nil
	}
	return f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if !in.started {
			last, err := tx.LastEvent()
			in.since, in.started = last, err == nil
			return err
		}
		for len(in.waiting) == 0 {
			events, err := tx.Events(ota.EventFilter{Device: in.device}, in.since, eventPage)
			if err != nil {
				return err
			}
			for _, e := range events {
				in.since = e.Seq
				if n := notice(e); n != nil {
					in.waiting = append(in.waiting, told{e.Device, n})
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
	case ota.DeviceBlocked:
		return ota.Held{}
	case ota.UpdateChanged:
		var data struct {
			Status ota.Status `json:"status"`
			Reason string     `json:"reason"`
		}
		if json.Unmarshal(e.Data, &data) != nil {
			return nil
		}
		switch data.Status {
		case ota.Pending:
			if data.Reason != "" { // it came back (see ota.Update.Return), and waits for its time
				return nil
			}
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
