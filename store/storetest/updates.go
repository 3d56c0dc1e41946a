package storetest

import (
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

func (w *world) updates(f ota.UpdateFilter) []ota.Update {
	w.Helper()
	return ask(w, func(tx ota.ReadTx) ([]ota.Update, error) { return tx.Updates(f) })
}

var updates = []story{
	{"an update comes back as it was put", func(w *world) {
		d := w.device("truck")
		at := w.clock.Now().Add(123456 * time.Microsecond)
		full := w.send(d, func(u *ota.Update) {
			u.Status, u.Pos, u.Priority, u.Confirm = ota.Failed, 3, 100, true
			u.Description, u.Reason = "why", "INSTALL_FAILED: no\nroom"
			u.Until, u.UpdatedAt, u.EndedAt = at, at.Add(time.Microsecond), at.Add(time.Hour)
			u.Tries, u.RetryAt, u.SentAt = 9, at.Add(time.Minute), at.Add(time.Second)
			u.Forced = "manifest: it is not signed"
		})
		bare := w.send(d)
		for _, u := range []ota.Update{full, bare} {
			w.same(ask(w, func(tx ota.ReadTx) (ota.Update, error) { return tx.Update(d.ID, u.ID) }), u)
		}
	}},

	{"putting an update again replaces it", func(w *world) {
		u := w.send(w.device("truck"), func(u *ota.Update) { u.Until, u.Confirm = w.clock.Now(), true })
		u.Request, u.Package, u.Status, u.Pos, u.Priority, u.Confirm = "r2", ota.PackageID{Name: "b", Version: "2"}, ota.Expired, 7, 1, false
		u.Description, u.Until, u.Reason = "new", time.Time{}, "expired"
		u.CreatedAt, u.UpdatedAt, u.EndedAt = u.CreatedAt.Add(1e6), u.UpdatedAt.Add(2e6), u.CreatedAt.Add(3e6)
		u.Tries, u.RetryAt, u.SentAt, u.Forced = 1, u.CreatedAt.Add(4e6), u.CreatedAt.Add(5e6), "one; two"
		w.write(func(tx ota.Tx) error { return tx.PutUpdate(u) })
		w.same(ask(w, func(tx ota.ReadTx) (ota.Update, error) { return tx.Update(u.Device, u.ID) }), u)
	}},

	{"two devices may have updates of the same id", func(w *world) {
		same := func(u *ota.Update) { u.ID = "u" }
		one := w.send(w.device("one"), same)
		two := w.send(w.device("two"), same, func(u *ota.Update) { u.Description = "other" })
		w.same(ask(w, func(tx ota.ReadTx) (ota.Update, error) { return tx.Update(one.Device, "u") }), one)
		w.same(ask(w, func(tx ota.ReadTx) (ota.Update, error) { return tx.Update(two.Device, "u") }), two)
	}},

	{"an update is its device's alone", func(w *world) {
		u, other := w.send(w.device("truck")), w.device("van")
		for _, id := range []ota.DeviceID{other.ID, "nobody"} {
			_, err := look(w, func(tx ota.ReadTx) (any, error) { return tx.Update(id, u.ID) })
			w.refuses(err, ota.KindNotFound, "missing_entity")
		}
	}},

	{"an update needs its device, in its namespace", func(w *world) {
		d := w.device("truck")
		for _, u := range []ota.Update{
			{Namespace: home, Device: "nobody", ID: "u", Status: ota.Pending},
			{Namespace: away, Device: d.ID, ID: "u", Status: ota.Pending},
		} {
			w.refuses(w.try(func(tx ota.Tx) error { return tx.PutUpdate(u) }), ota.KindNotFound, "missing_device")
		}
		u := w.send(d)
		u.Namespace = away
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutUpdate(u) }), ota.KindNotFound, "missing_device")
	}},

	{"updates are listed oldest first, filtered and cut into pages", func(w *world) {
		one, two := w.device("one"), w.device("two")
		foreign := ota.Device{Namespace: away, ID: "x", Name: "x", Type: ota.Vehicle}
		w.put(foreign)
		other := func(u *ota.Update) { u.Package = ota.PackageID{Name: "app", Version: "2"} }
		together := func(u *ota.Update) { u.Request = "together" }
		c := w.send(two, together, func(u *ota.Update) { u.CreatedAt = u.CreatedAt.Add(3e9); u.Status = ota.InFlight })
		b := w.send(one, together, other, func(u *ota.Update) { u.CreatedAt = u.CreatedAt.Add(2e9) })
		a := w.send(one, ended(ota.Finished, w.clock.Now()), func(u *ota.Update) { u.CreatedAt = u.CreatedAt.Add(1e9) })
		x := w.send(foreign, together)
		for _, tt := range []struct {
			about string
			f     ota.UpdateFilter
			want  []ota.Update
		}{
			{"all", ota.UpdateFilter{Namespace: home}, []ota.Update{a, b, c}},
			{"no namespace", ota.UpdateFilter{}, nil},
			{"foreign", ota.UpdateFilter{Namespace: away}, []ota.Update{x}},
			{"device", ota.UpdateFilter{Namespace: home, Device: one.ID}, []ota.Update{a, b}},
			{"foreign device", ota.UpdateFilter{Namespace: home, Device: foreign.ID}, nil},
			{"id", ota.UpdateFilter{Namespace: home, ID: b.ID}, []ota.Update{b}},
			{"request", ota.UpdateFilter{Namespace: home, ID: "together"}, []ota.Update{b, c}},
			{"package", ota.UpdateFilter{Namespace: home, Package: app.ID}, []ota.Update{a, c}},
			{"package name", ota.UpdateFilter{Namespace: home, Package: ota.PackageID{Name: "app"}}, []ota.Update{a, b, c}},
			{"status", ota.UpdateFilter{Namespace: home, Statuses: []ota.Status{ota.Pending}}, []ota.Update{b}},
			{"statuses", ota.UpdateFilter{Namespace: home, Statuses: []ota.Status{ota.InFlight, ota.Finished}}, []ota.Update{a, c}},
			{"all at once", ota.UpdateFilter{Namespace: home, Device: two.ID, ID: "together", Package: app.ID, Statuses: []ota.Status{ota.InFlight}}, []ota.Update{c}},
			{"page", ota.UpdateFilter{Namespace: home, Offset: 1, Limit: 1}, []ota.Update{b}},
			{"rest", ota.UpdateFilter{Namespace: home, Offset: 1}, []ota.Update{b, c}},
			{"page of some", ota.UpdateFilter{Namespace: home, ID: "together", Limit: 1}, []ota.Update{b}},
		} {
			w.Log(tt.about)
			w.same(w.updates(tt.f), tt.want)
			tt.f.Newest = true
			if tt.f.Offset == 0 && tt.f.Limit == 0 {
				slices.Reverse(tt.want)
				w.same(w.updates(tt.f), tt.want)
			}
			counts := map[ota.Status]int{}
			tt.f.Offset, tt.f.Limit = 0, 0
			for _, u := range w.updates(tt.f) {
				counts[u.Status]++
			}
			w.same(ask(w, func(tx ota.ReadTx) (map[ota.Status]int, error) { return tx.CountUpdates(tt.f) }), counts)
		}
		w.same(w.updates(ota.UpdateFilter{Namespace: home, Newest: true, Limit: 2}), []ota.Update{c, b})
		w.same(w.updates(ota.UpdateFilter{Namespace: home, Newest: true, Offset: 1, Limit: 1}), []ota.Update{b})
	}},

	{"a pending update is due when its time has come", func(w *world) {
		d := w.device("truck")
		now := w.clock.Now()
		until := func(t time.Time) func(*ota.Update) { return func(u *ota.Update) { u.Until = t } }
		w.send(d) // no end
		later := w.send(d, until(now.Add(time.Microsecond)))
		b := w.send(d, until(now))
		a := w.send(d, until(now.Add(-time.Hour)))
		w.send(d, until(now), func(u *ota.Update) { u.Status = ota.InFlight })
		w.send(d, until(now), ended(ota.Expired, now))
		due := func(t time.Time, limit int) []ota.Update {
			return ask(w, func(tx ota.ReadTx) ([]ota.Update, error) { return tx.DueUpdates(t, limit) })
		}
		w.same(due(now, 10), []ota.Update{a, b})
		w.same(due(now, 1), []ota.Update{a})
		w.same(due(now, 0), []ota.Update{})
		w.same(due(now.Add(time.Hour), 10), []ota.Update{a, b, later})
		w.same(due(now.Add(-2*time.Hour), 10), []ota.Update{})
	}},
}

var results = []story{
	{"results come back in the order received", func(w *world) {
		d, other := w.device("truck"), w.device("van")
		u, v := w.send(d), w.send(d)
		x := w.send(other)
		result := func(id string, u ota.Update, code ota.ResultCode) ota.StoredResult {
			return ota.StoredResult{ID: id, Device: u.Device, Update: u.ID, ReceivedAt: w.clock.Now(),
				Result: ota.OperationResult{ID: "op", Code: code, Text: "line 1\nline 2"}}
		}
		z, y, a := result("z", u, ota.OK), result("y", v, ota.GeneralError), result("a", u, ota.AlreadyProcessed)
		w.write(func(tx ota.Tx) error { return tx.AddResults([]ota.StoredResult{z, y}) })
		w.write(func(tx ota.Tx) error { return tx.AddResults([]ota.StoredResult{result("o", x, ota.OK)}) })
		w.write(func(tx ota.Tx) error { return tx.AddResults([]ota.StoredResult{a}) })
		w.write(func(tx ota.Tx) error { return tx.AddResults(nil) })
		all := func(id ota.UpdateID) []ota.StoredResult {
			return ask(w, func(tx ota.ReadTx) ([]ota.StoredResult, error) { return tx.Results(d.ID, id) })
		}
		w.same(all(""), []ota.StoredResult{z, y, a})
		w.same(all(u.ID), []ota.StoredResult{z, a})
		w.same(all(x.ID), []ota.StoredResult{})
	}},

	{"a result needs its update and an id of its own", func(w *world) {
		u, other := w.send(w.device("truck")), w.device("van")
		r := ota.StoredResult{ID: "r", Device: u.Device, Update: u.ID}
		w.write(func(tx ota.Tx) error { return tx.AddResults([]ota.StoredResult{r}) })
		w.refuses(w.try(func(tx ota.Tx) error { return tx.AddResults([]ota.StoredResult{r}) }), ota.KindConflict, "conflicting_entity")
		r = ota.StoredResult{ID: "r2", Device: other.ID, Update: u.ID}
		w.refuses(w.try(func(tx ota.Tx) error { return tx.AddResults([]ota.StoredResult{r}) }), ota.KindNotFound, "missing_entity")
	}},
}
