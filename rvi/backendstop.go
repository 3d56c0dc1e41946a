package rvi

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
)

// sending finds the unit of an update whose chunks are under way.
func (t *talk) sending(id ota.UpdateID) (Unit, bool) {
	for u, f := range t.files {
		if f.update == id && f.sent.IsZero() && t.vehicle.active[u] != nil {
			return u, true
		}
	}
	return Unit{}, false
}

// withdrawn stops what the operator took back. The protocol knows only an
// abort of all transfers of the vehicle, so that the others begin anew (rvi.md
// 4.9). Nothing is said of what has not begun, and what the vehicle has as a
// whole it may still report.
func (t *talk) withdrawn(ctx context.Context, id ota.UpdateID) {
	gone, ok := t.sending(id)
	if !ok {
		return
	}
	t.discard(gone)
	turn := t.vehicle.Abort()
	others := t.letGo(turn.Returned)
	for _, other := range others {
		delete(t.offered, other)
	}
	if err := t.push.Interrupted(ctx, others); err != nil {
		t.failed("updates cannot be taken back", err)
	}
	t.act(ctx, Turn{Send: turn.Send})
	t.offer(ctx)
}
