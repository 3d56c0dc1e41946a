package fleet

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
)

// Feed implements ota.Feed by one place in the event log for all devices: one
// that nothing happens to costs nothing.
type Feed struct {
	f     *Fleet
	inbox inbox
}

var _ ota.Feed = (*Feed)(nil)

// Feed begins at the present: what is queued already, each device's Queue tells.
func (f *Fleet) Feed() *Feed {
	d := &Feed{f: f}
	_ = d.inbox.look(context.Background(), f) // if the store does not answer now, the first Next begins
	return d
}

// Next waits for the next notice to any device. It may fail with an error of
// the store, and then goes on where it was when it is called again.
func (d *Feed) Next(ctx context.Context) (ota.DeviceID, ota.Notice, error) {
	t, err := d.inbox.next(ctx, d.f)
	return t.device, t.notice, err
}
