package fleet

import (
	"context"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// Queue returns a device's active updates in the order the device will get
// them, held back ones included. It fails with KindNotFound (missing_device).
func (f *Fleet) Queue(ctx context.Context, ns ota.Namespace, id ota.DeviceID) (queue []ota.QueueEntry, block ota.Block, err error) {
	q, err := f.Store.Queue(ctx, id)
	if err == nil && q.Namespace != ns {
		err = ota.MissingDevice(string(id))
	}
	if err != nil {
		return nil, block, err
	}
	now := f.Now()
	queue = slices.DeleteFunc(q.Entries, func(e ota.QueueEntry) bool { return e.Update.ExpiredAt(now) })
	slices.SortFunc(queue, func(a, b ota.QueueEntry) int { return a.Update.Precedes(b.Update) })
	return queue, q.Block, nil
}

// CountUpdates tells how many updates of each status there are.
func (f *Fleet) CountUpdates(ctx context.Context, filter ota.UpdateFilter) (counts map[ota.Status]int, err error) {
	f.attempt(ctx, taskExpire, f.expire)
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		counts, err = tx.CountUpdates(filter)
		return err
	})
	return counts, err
}

// Updates lists updates, oldest first unless the filter says otherwise.
func (f *Fleet) Updates(ctx context.Context, filter ota.UpdateFilter) (list []ota.Update, err error) {
	f.attempt(ctx, taskExpire, f.expire)
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if filter.Device != "" {
			if _, err := device(tx, filter.Namespace, filter.Device); err != nil {
				return err
			}
		}
		list, err = tx.Updates(filter)
		return err
	})
	return list, err
}

// Results lists a device's reported results in the order received; update ""
// means all. It fails with KindNotFound (missing_device, missing_entity).
func (f *Fleet) Results(ctx context.Context, ns ota.Namespace, id ota.DeviceID, update ota.UpdateID) (list []ota.StoredResult, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		if _, err := device(tx, ns, id); err != nil {
			return err
		}
		if update != "" {
			if _, err := tx.Update(id, update); err != nil {
				return err
			}
		}
		list, err = tx.Results(id, update)
		return err
	})
	return list, err
}

// Cancel withdraws an update that is pending, or under way over a transport
// that can stop it. It fails with KindNotFound
// (missing_device, missing_entity: unknown or ended) or KindConflict
// (update_in_flight).
func (f *Fleet) Cancel(ctx context.Context, ns ota.Namespace, id ota.DeviceID, update ota.UpdateID) error {
	withdraw := (*ota.Update).Cancel
	if f.Stoppable(id, update) {
		withdraw = (*ota.Update).Stop
	}
	return f.write(ctx, func(tx ota.Tx) error {
		if _, err := device(tx, ns, id); err != nil {
			return err
		}
		u, err := tx.Update(id, update)
		if err != nil {
			return err
		}
		if u.Expire(tx.Now()) {
			return ota.Fail(ota.KindNotFound, "missing_entity", "update %s is not pending, it is %s", u.ID, u.Status)
		}
		if err := withdraw(&u, "canceled by an operator", tx.Now()); err != nil {
			return err
		}
		return putUpdate(tx, u)
	})
}

// Order sets the order in which a device gets its pending updates. The list
// must name each of them once, or KindInvalid is the answer.
func (f *Fleet) Order(ctx context.Context, ns ota.Namespace, id ota.DeviceID, order []ota.UpdateID) error {
	return f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		queue, err := tx.Updates(ota.UpdateFilter{Namespace: ns, Device: d.ID, Statuses: []ota.Status{ota.Pending}})
		if err != nil {
			return err
		}
		queue = slices.DeleteFunc(queue, func(u ota.Update) bool { return u.ExpiredAt(tx.Now()) })
		if len(queue) != len(order) {
			return ota.Invalid("the order names %d updates, but %d are pending: name each pending one once", len(order), len(queue))
		}
		for _, u := range queue {
			i := slices.Index(order, u.ID)
			if i < 0 {
				return ota.Invalid("the order lacks the pending update %s", u.ID)
			}
			u.Pos, u.UpdatedAt = i+1, tx.Now()
			if err := putUpdate(tx, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// Block holds a device's pending updates back; again, it renews the time.
func (f *Fleet) Block(ctx context.Context, ns ota.Namespace, id ota.DeviceID) error {
	return f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		d.Block = ota.Block{Since: tx.Now(), Reason: "blocked by an operator"}
		return putBlock(tx, d, ota.DeviceBlocked)
	})
}

// Unblock opens a device's queue; an open one stays open.
func (f *Fleet) Unblock(ctx context.Context, ns ota.Namespace, id ota.DeviceID) error {
	return f.write(ctx, func(tx ota.Tx) error {
		d, err := device(tx, ns, id)
		if err != nil || !d.Block.Blocked() {
			return err
		}
		d.Block = ota.Block{}
		return putBlock(tx, d, ota.DeviceUnblocked)
	})
}

func putBlock(tx ota.Tx, d ota.Device, t ota.EventType) error {
	if err := tx.PutDevice(d); err != nil {
		return err
	}
	return tell(tx, t, d, d.Block.Update, map[string]string{"reason": d.Block.Reason})
}
