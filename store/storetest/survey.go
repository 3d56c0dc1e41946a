package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// has is what a device reports, as "name version" each.
func (w *world) has(d ota.Device, list ...string) {
	w.Helper()
	var inv ota.Inventory
	for _, s := range list {
		name, version, _ := strings.Cut(s, " ")
		inv.Packages = append(inv.Packages, ota.Installed{PackageID: ota.PackageID{Name: name, Version: version}})
	}
	w.write(func(tx ota.Tx) error { return tx.PutInventory(d.ID, inv) })
}

// crowd is three devices at home, one of which says things twice, and one away
// that has the same software.
func (w *world) crowd() (one, two, idle, foreign ota.Device) {
	w.Helper()
	one, two, idle = w.device("one"), w.device("two"), w.device("idle")
	foreign = ota.Device{Namespace: away, ID: "x", Name: "one", Type: ota.Vehicle}
	w.put(foreign)
	w.has(one, "vim 2", "app 1", "Vim 1", "app 10")
	w.has(two, "vim 2", "app 1", "vim 2", "app 9", "app 1")
	w.has(foreign, "vim 2", "app 1", "app 2", "secret 1")
	return one, two, idle, foreign
}

// survey is what is asked about all devices of a namespace.
var survey = []story{
	{"the classes of constrained devices are listed once, with the highest sequence number", func(w *world) {
		w.device("no microcontroller")
		for i, c := range []ota.Constrained{{Vendor: "b.org", Class: "x", Sequence: 7}, {Vendor: "b.org", Class: "x", Sequence: 1<<32 + 1}, {Vendor: "b.org", Class: "a"}, {Vendor: "a.org", Class: "x", Sequence: 2}} {
			d := w.device(string(rune('a' + i)))
			d.Constrained = &c
			w.put(d)
		}
		foreign := ota.Device{Namespace: away, ID: "x", Name: "x", Type: ota.OtherDevice, Constrained: &ota.Constrained{Vendor: "b.org", Class: "x", Sequence: 1 << 40}}
		w.put(foreign)
		classes := func(ns ota.Namespace) []ota.Constrained {
			return ask(w, func(tx ota.ReadTx) ([]ota.Constrained, error) { return tx.ConstrainedClasses(ns) })
		}
		w.same(classes(home), []ota.Constrained{{Vendor: "a.org", Class: "x", Sequence: 2}, {Vendor: "b.org", Class: "a"}, {Vendor: "b.org", Class: "x", Sequence: 1<<32 + 1}})
		w.same(classes("nowhere"), []ota.Constrained{})
	}},

	{"everything installed is listed once, in order, by page, and counted", func(w *world) {
		w.crowd()
		all := []string{"Vim=1", "app=1", "app=10", "app=9", "vim=2"}
		for _, tt := range []struct {
			ns    ota.Namespace
			page  ota.Page
			want  []string
			total int
		}{
			{home, ota.Page{}, all, 5},
			{home, ota.Page{Limit: 2}, all[:2], 5},
			{home, ota.Page{Offset: 1, Limit: 3}, all[1:4], 5},
			{home, ota.Page{Offset: 4}, all[4:], 5},
			{home, ota.Page{Offset: 5, Limit: 1}, nil, 5},
			{home, ota.Page{Offset: 1 << 40, Limit: 1 << 40}, nil, 5},
			{away, ota.Page{}, []string{"app=1", "app=2", "secret=1", "vim=2"}, 4},
			{"nowhere", ota.Page{}, nil, 0},
		} {
			var got []string
			total := ask(w, func(tx ota.ReadTx) (int, error) {
				ids, total, err := tx.InstalledPackages(tt.ns, tt.page)
				for _, id := range ids {
					got = append(got, id.String())
				}
				return total, err
			})
			w.same(got, tt.want)
			w.same(total, tt.total)
		}
	}},

	{"a package's versions are counted by device, in one namespace", func(w *world) {
		w.crowd()
		for _, tt := range []struct {
			ns    ota.Namespace
			name  string
			page  ota.Page
			want  []ota.VersionCount
			total int
		}{
			{home, "app", ota.Page{}, []ota.VersionCount{{Version: "1", Devices: 2}, {Version: "10", Devices: 1}, {Version: "9", Devices: 1}}, 3},
			{home, "app", ota.Page{Offset: 1, Limit: 1}, []ota.VersionCount{{Version: "10", Devices: 1}}, 3},
			{home, "vim", ota.Page{}, []ota.VersionCount{{Version: "2", Devices: 2}}, 1},
			{home, "secret", ota.Page{}, nil, 0},
			{away, "app", ota.Page{}, []ota.VersionCount{{Version: "1", Devices: 1}, {Version: "2", Devices: 1}}, 2},
		} {
			var total int
			got := ask(w, func(tx ota.ReadTx) (list []ota.VersionCount, err error) {
				list, total, err = tx.InstalledVersions(tt.ns, tt.name, tt.page)
				return list, err
			})
			w.same(got, tt.want)
			w.same(total, tt.total)
		}
	}},

	{"who has a package is listed, until they have it no more", func(w *world) {
		one, two, _, foreign := w.crowd()
		on := func(ns ota.Namespace, name, version string) []ota.DeviceID {
			w.Helper()
			return ask(w, func(tx ota.ReadTx) ([]ota.DeviceID, error) {
				return tx.InstalledOn(ns, ota.PackageID{Name: name, Version: version})
			})
		}
		both := []ota.DeviceID{one.ID, two.ID}
		slices.Sort(both)
		w.same(on(home, "app", "1"), both)
		w.same(on(home, "app", "10"), []ota.DeviceID{one.ID})
		w.same(on(home, "secret", "1"), []ota.DeviceID{})
		w.same(on(home, "app", ""), []ota.DeviceID{})
		w.same(on(away, "app", "1"), []ota.DeviceID{foreign.ID})
		w.has(one)
		w.same(on(home, "app", "1"), []ota.DeviceID{two.ID})
	}},

	{"devices are counted by when they were first seen", func(w *world) {
		one, two, _, foreign := w.crowd()
		noon := w.clock.Now()
		later := noon.Add(time.Hour)
		w.seen(map[ota.DeviceID]time.Time{one.ID: noon, two.ID: later, foreign.ID: noon})
		w.seen(map[ota.DeviceID]time.Time{one.ID: later.Add(time.Hour)})
		for _, tt := range []struct {
			since, until time.Time
			want         int
		}{
			{noon, later, 1},
			{noon, later.Add(time.Microsecond), 2},
			{noon.Add(time.Microsecond), later, 0},
			{time.Time{}, later.AddDate(1000, 0, 0), 2},
			{noon.AddDate(-1000, 0, 0), noon.Add(time.Microsecond), 1},
			{later, noon, 0},
			{noon, time.Time{}, 0},
		} {
			w.same(ask(w, func(tx ota.ReadTx) (int, error) { return tx.CountActivated(home, tt.since, tt.until) }), tt.want)
		}
	}},
}
