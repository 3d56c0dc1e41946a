package storetest

import (
	"cmp"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// queue asks for a device's queue and sorts what has no order by id.
func (w *world) queue(id ota.DeviceID) ota.DeviceQueue {
	w.Helper()
	q, err := w.store.Queue(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	slices.SortFunc(q.Entries, func(a, b ota.QueueEntry) int { return cmp.Compare(a.Update.ID, b.Update.ID) })
	return q
}

var queues = []story{
	{"an idle device has an empty queue", func(w *world) {
		d := w.device("truck")
		w.send(d, ended(ota.Finished, w.clock.Now()))
		w.send(w.device("other"))
		w.same(w.queue(d.ID), ota.DeviceQueue{Namespace: home})
	}},

	{"nobody has no queue", func(w *world) {
		_, err := w.store.Queue(w.Context(), "nobody")
		w.refuses(err, ota.KindNotFound, "missing_device")
	}},

	{"a queue holds what has not ended, each with its package and files", func(w *world) {
		d := w.device("truck")
		w.publish(app)
		small := ota.Package{Namespace: home, UUID: "s", ID: ota.PackageID{Name: "small", Version: "1"}, Artifacts: app.Artifacts[1:]}
		w.publish(small)
		a := w.send(d, func(u *ota.Update) {
			u.Status, u.Pos, u.Priority, u.Confirm, u.Description, u.Until = ota.InFlight, 2, 1, true, "hello", w.clock.Now()
			u.Tries, u.RetryAt, u.SentAt, u.Reason = 2, w.clock.Now().Add(time.Minute), w.clock.Now().Add(time.Second), "no answer"
		})
		b := w.send(d, func(u *ota.Update) { u.Package = small.ID })
		c := w.send(d)
		for _, s := range []ota.Status{ota.Canceled, ota.Expired, ota.Failed, ota.Finished} {
			w.send(d, ended(s, w.clock.Now()))
		}
		w.same(w.queue(d.ID), ota.DeviceQueue{Namespace: home, Entries: []ota.QueueEntry{
			{Update: a, Package: app}, {Update: b, Package: small}, {Update: c, Package: app}}})
	}},

	{"an update outlives its package", func(w *world) {
		u := w.send(w.device("truck"))
		theirs := app
		theirs.Namespace = away
		w.publish(theirs)
		w.same(w.queue(u.Device).Entries, []ota.QueueEntry{{Update: u}})
		w.publish(app)
		w.same(w.queue(u.Device).Entries, []ota.QueueEntry{{Update: u, Package: app}})
		w.write(func(tx ota.Tx) error { return tx.DeletePackage(home, app.ID) })
		w.same(w.queue(u.Device).Entries, []ota.QueueEntry{{Update: u}})
	}},

	{"a queue tells the device's block", func(w *world) {
		d := w.device("truck")
		u := w.send(d)
		d.Block = ota.Block{Since: w.clock.Now(), Update: u.ID, Reason: "it failed"}
		w.put(d)
		q := w.queue(d.ID)
		w.same(q.Block, d.Block)
		w.same(len(q.Entries), 1)
		d.Block = ota.Block{}
		w.put(d)
		w.same(w.queue(d.ID).Block, ota.Block{})
	}},
}
