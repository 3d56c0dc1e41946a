package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/updraft-ota/updraft/ota"
)

// memory is the simplest thing that could be right about devices, packages and
// updates.
type memory struct {
	devices  map[ota.DeviceID]ota.Device
	packages map[ota.PackageID]ota.Package
	updates  map[ota.DeviceID]map[ota.UpdateID]ota.Update
}

func (m memory) clone() memory {
	c := memory{maps.Clone(m.devices), maps.Clone(m.packages), map[ota.DeviceID]map[ota.UpdateID]ota.Update{}}
	for id, us := range m.updates {
		c.updates[id] = maps.Clone(us)
	}
	return c
}

func (m memory) queue(id ota.DeviceID) ota.DeviceQueue {
	d := m.devices[id]
	q := ota.DeviceQueue{Namespace: d.Namespace, Block: d.Block}
	for _, uid := range slices.Sorted(maps.Keys(m.updates[id])) {
		if u := m.updates[id][uid]; u.Status.Active() {
			q.Entries = append(q.Entries, ota.QueueEntry{Update: u, Package: m.packages[u.Package]})
		}
	}
	return q
}

func (m memory) summary(id ota.DeviceID) ota.DeviceSummary {
	s := ota.DeviceSummary{Device: m.devices[id]}
	var last ota.Update
	for _, u := range m.updates[id] {
		if u.Status.Active() {
			s.Active++
		} else if cmp.Or(u.EndedAt.Compare(last.EndedAt), cmp.Compare(u.ID, last.ID)) > 0 {
			last = u
		}
	}
	s.Status = ota.StatusOf(s.Device, s.Active, last.Status)
	return s
}

func (m memory) list(f ota.UpdateFilter) (list []ota.Update) {
	for _, us := range m.updates {
		for _, u := range us {
			if (f.Device == "" || u.Device == f.Device) && (f.ID == "" || u.ID == f.ID || string(u.Request) == string(f.ID)) &&
				(f.Package == ota.PackageID{} || u.Package == f.Package) && (f.Statuses == nil || slices.Contains(f.Statuses, u.Status)) {
				list = append(list, u)
			}
		}
	}
	slices.SortFunc(list, func(a, b ota.Update) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Device, b.Device), cmp.Compare(a.ID, b.ID))
	})
	list = list[min(f.Offset, len(list)):]
	if f.Limit > 0 {
		list = list[:min(f.Limit, len(list))]
	}
	return list
}

// act does one random thing to both.
func (m memory) act(t *rapid.T, tx ota.Tx, ns ota.Namespace) error {
	id := anyDevice(ns).Draw(t, "device")
	pkg := anyPackage.Draw(t, "package")
	known := m.devices[id].ID != ""
	switch rapid.SampledFrom([]string{"device", "delete", "seen", "publish", "withdraw", "update", "update", "update"}).Draw(t, "act") {
	case "device":
		d := ota.Device{Namespace: ns, ID: id, Name: string(id), Type: ota.Vehicle, LastSeen: m.devices[id].LastSeen, ActivatedAt: m.devices[id].ActivatedAt}
		d.Block.Since, d.Block.Reason = anyTime.Draw(t, "since"), rapid.String().Draw(t, "reason")
		m.devices[id] = d
		return tx.PutDevice(d)
	case "delete":
		if !known {
			return absent(tx.DeleteDevice(id))
		}
		delete(m.devices, id)
		delete(m.updates, id)
		return tx.DeleteDevice(id)
	case "seen":
		at := anyTime.Draw(t, "seen")
		if d := m.devices[id]; known && at.After(d.LastSeen) {
			d.LastSeen = at
			if d.ActivatedAt.IsZero() {
				d.ActivatedAt = at
			}
			m.devices[id] = d
		}
		_, err := tx.Seen(map[ota.DeviceID]time.Time{id: at})
		return err
	case "publish":
		p := ota.Package{Namespace: ns, ID: pkg, Vendor: rapid.String().Draw(t, "vendor")}
		for i := range rapid.IntRange(1, 3).Draw(t, "artifacts") {
			p.Artifacts = append(p.Artifacts, ota.Artifact{Name: fmt.Sprint(9 - i), Sums: ota.Sums{Size: rapid.Int64Min(0).Draw(t, "size")}})
		}
		m.packages[pkg] = p
		return tx.PutPackage(p)
	case "withdraw":
		if _, ok := m.packages[pkg]; !ok {
			return absent(tx.DeletePackage(ns, pkg))
		}
		delete(m.packages, pkg)
		return tx.DeletePackage(ns, pkg)
	}
	u := anyUpdate(ns, id, pkg).Draw(t, "update")
	if !known {
		return absent(tx.PutUpdate(u))
	}
	if m.updates[id] == nil {
		m.updates[id] = map[ota.UpdateID]ota.Update{}
	}
	m.updates[id][u.ID] = u
	return tx.PutUpdate(u)
}

// absent turns the right refusal into success and success into a failure.
func absent(err error) error {
	if ota.KindOf(err) == ota.KindNotFound {
		return nil
	}
	return fmt.Errorf("want %v, got %v", ota.KindNotFound, err)
}

var (
	anyPackage = rapid.Custom(func(t *rapid.T) ota.PackageID {
		return ota.PackageID{Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), Version: "1"}
	})
	anyTime = rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(1_700_000_000+rapid.Int64Range(0, 5).Draw(t, "second"), 0).UTC()
	})
)

func anyDevice(ns ota.Namespace) *rapid.Generator[ota.DeviceID] {
	return rapid.SampledFrom([]ota.DeviceID{ota.DeviceID(ns) + "-1", ota.DeviceID(ns) + "-2"})
}

func anyUpdate(ns ota.Namespace, device ota.DeviceID, pkg ota.PackageID) *rapid.Generator[ota.Update] {
	return rapid.Custom(func(t *rapid.T) ota.Update {
		u := ota.Update{Namespace: ns, Device: device, Package: pkg,
			ID:        rapid.SampledFrom([]ota.UpdateID{"1", "2", "3", "4"}).Draw(t, "id"),
			Request:   rapid.SampledFrom([]ota.RequestID{"r1", "r2", "1"}).Draw(t, "request"),
			Status:    rapid.SampledFrom(ota.Statuses).Draw(t, "status"),
			Pos:       rapid.IntRange(0, 9).Draw(t, "pos"),
			Confirm:   rapid.Bool().Draw(t, "confirm"),
			CreatedAt: anyTime.Draw(t, "created"),
			Reason:    rapid.String().Draw(t, "reason"),
			Tries:     rapid.IntRange(0, 9).Draw(t, "tries"),
		}
		if !u.Status.Active() {
			u.EndedAt = anyTime.Draw(t, "ended")
		}
		return u
	})
}

var model = []story{
	{"whatever happens, the store answers as a map would", func(w *world) {
		run := 0
		rapid.Check(w.T, func(t *rapid.T) {
			run++
			ns := ota.Namespace(fmt.Sprint("run", run)) // each begins with nothing of its own
			m := memory{map[ota.DeviceID]ota.Device{}, map[ota.PackageID]ota.Package{}, map[ota.DeviceID]map[ota.UpdateID]ota.Update{}}
			for range rapid.IntRange(1, 8).Draw(t, "transactions") {
				m = m.transact(t, w, ns)
			}
			m.compare(t, w, ns)
		})
	}},
}

// transact does some things in one transaction, which may be given up.
func (m memory) transact(t *rapid.T, w *world, ns ota.Namespace) memory {
	after := m.clone()
	sorry := errors.New("sorry")
	err := w.store.Write(w.Context(), func(tx ota.Tx) error {
		for range rapid.IntRange(1, 5).Draw(t, "acts") {
			if err := after.act(t, tx, ns); err != nil {
				return err
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "give up") == 0 {
			return sorry
		}
		return nil
	})
	switch {
	case errors.Is(err, sorry):
		return m
	case err != nil:
		t.Fatal(err)
	}
	return after
}

// compare asks both the same questions.
func (m memory) compare(t *rapid.T, w *world, ns ota.Namespace) {
	same := func(about string, got, want any) {
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s: -want +got:\n%s", about, diff)
		}
	}
	var summaries []ota.DeviceSummary
	for _, id := range slices.Sorted(maps.Keys(m.devices)) {
		same("queue of "+string(id), w.queue(id), m.queue(id))
		summaries = append(summaries, m.summary(id))
	}
	same("devices", w.list(ota.DeviceFilter{Namespace: ns}), summaries)
	f := ota.UpdateFilter{Namespace: ns,
		Device: rapid.OneOf(rapid.Just(ota.DeviceID("")), anyDevice(ns)).Draw(t, "filter device"),
		ID:     rapid.SampledFrom([]ota.UpdateID{"", "", "1", "2", "r1"}).Draw(t, "filter id"),
		Offset: rapid.IntRange(0, 2).Draw(t, "offset"), Limit: rapid.IntRange(0, 3).Draw(t, "limit"),
		Statuses: rapid.SampledFrom([][]ota.Status{nil, {ota.Pending}, {ota.InFlight, ota.Failed}}).Draw(t, "statuses"),
	}
	if rapid.Bool().Draw(t, "filter package") {
		f.Package = anyPackage.Draw(t, "package")
	}
	same(fmt.Sprintf("updates %+v", f), w.updates(f), m.list(f))
}
