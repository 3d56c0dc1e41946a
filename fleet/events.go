package fleet

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
)

// Events waits until there are events with a number above since, of any
// namespace, and returns the first of them, ascending, at most a hundred. It
// fails with ctx's error, or one of the store.
func (f *Fleet) Events(ctx context.Context, since int64) (list []ota.Event, err error) {
	for {
		heard := f.bell.heard()
		err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
			list, err = tx.Events(ota.EventFilter{}, since, eventPage)
			return err
		})
		if err != nil || len(list) > 0 {
			return list, err
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// LastEvent is the number of the newest event, 0 if there is none.
func (f *Fleet) LastEvent(ctx context.Context) (seq int64, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		seq, err = tx.LastEvent()
		return err
	})
	return seq, err
}
