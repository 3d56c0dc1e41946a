package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

func (w *world) list(f ota.DeviceFilter) []ota.DeviceSummary {
	w.Helper()
	return ask(w, func(tx ota.ReadTx) ([]ota.DeviceSummary, error) { return tx.Devices(f) })
}

func (w *world) names(f ota.DeviceFilter) []string {
	w.Helper()
	var names []string
	for _, d := range w.list(f) {
		names = append(names, d.Name)
	}
	return names
}

func (w *world) seen(at map[ota.DeviceID]time.Time) (first []ota.DeviceID) {
	w.Helper()
	w.write(func(tx ota.Tx) (err error) {
		first, err = tx.Seen(at)
		return err
	})
	return first
}

var devices = []story{
	{"a device comes back as it was put", func(w *world) {
		d := ota.Device{Namespace: home, ID: "d", Name: "truck", HardwareID: "VIN1", Type: ota.OtherDevice,
			CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC),
			Block:     ota.Block{Since: time.Date(2026, 2, 3, 4, 5, 6, 1000, time.UTC), Update: "u", Reason: "it failed"}}
		w.put(d)
		w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device("d") }), d)
		w.same(w.list(ota.DeviceFilter{Namespace: home}), []ota.DeviceSummary{{Device: d, Status: ota.NotSeen}})
	}},

	{"putting a device again replaces all but when it was seen", func(w *world) {
		d := w.device("truck")
		d.ActivatedAt, d.LastSeen = w.clock.Now(), w.clock.Now()
		w.seen(map[ota.DeviceID]time.Time{d.ID: d.LastSeen})
		d.Name, d.HardwareID, d.Type, d.CreatedAt = "lorry", "VIN2", ota.OtherDevice, d.CreatedAt.Add(time.Second)
		d.Block = ota.Block{Since: w.clock.Now(), Reason: "by hand"}
		forged := d
		forged.LastSeen, forged.ActivatedAt = time.Time{}, w.clock.Now().Add(time.Hour)
		w.put(forged)
		w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(d.ID) }), d)
		d.Block, d.HardwareID = ota.Block{}, ""
		w.put(d)
		w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(d.ID) }), d)
	}},

	{"a name belongs to one device of a namespace", func(w *world) {
		w.device("truck")
		d := ota.Device{Namespace: home, ID: "other", Name: "truck", Type: ota.Vehicle}
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutDevice(d) }), ota.KindConflict, "conflicting_device")
		d.Namespace = away
		w.put(d)
		d = w.device("van")
		d.Name = "truck"
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutDevice(d) }), ota.KindConflict, "conflicting_device")
		w.same(w.names(ota.DeviceFilter{Namespace: home}), []string{"truck", "van"})
	}},

	{"a hardware id belongs to one device of a namespace, unless empty", func(w *world) {
		one, two, three := w.device("one"), w.device("two"), w.device("three")
		one.HardwareID, two.HardwareID = "VIN", "VIN"
		w.put(one)
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutDevice(two) }), ota.KindConflict, "conflicting_device")
		w.put(ota.Device{Namespace: away, ID: "x", Name: "x", HardwareID: "VIN", Type: ota.Vehicle})
		one.HardwareID = "other VIN"
		w.put(one)
		w.put(two)
		w.put(three)
	}},

	{"a device does not move to another namespace", func(w *world) {
		d := w.device("truck")
		d.Namespace = away
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutDevice(d) }), ota.KindConflict, "conflicting_device")
		w.same(w.names(ota.DeviceFilter{Namespace: away}), []string(nil))
	}},

	{"names are sorted by their bytes", func(w *world) {
		for _, name := range []string{"b", "a", "Z", "é", "zebra", "a b", "10", "9", "_", "日本"} {
			w.device(name)
		}
		w.same(w.names(ota.DeviceFilter{Namespace: home}), []string{"10", "9", "Z", "_", "a", "a b", "b", "zebra", "é", "日本"})
	}},

	{"a list is filtered and cut into pages", func(w *world) {
		for i := range 5 {
			d := w.device(fmt.Sprint("d", i))
			d.HardwareID = fmt.Sprint("VIN", i)
			if i > 2 {
				d.Block = ota.Block{Since: w.clock.Now(), Reason: "why"}
			}
			w.put(d)
		}
		w.put(ota.Device{Namespace: away, ID: "x", Name: "d1", HardwareID: "VIN1", Type: ota.Vehicle})
		for _, tt := range []struct {
			f    ota.DeviceFilter
			want []string
			all  int
		}{
			{ota.DeviceFilter{}, nil, 0},
			{ota.DeviceFilter{Namespace: away}, []string{"d1"}, 1},
			{ota.DeviceFilter{Namespace: home, Name: "d1"}, []string{"d1"}, 1},
			{ota.DeviceFilter{Namespace: home, Name: "D1"}, nil, 0},
			{ota.DeviceFilter{Namespace: home, Name: "d%"}, nil, 0},
			{ota.DeviceFilter{Namespace: home, HardwareID: "VIN3"}, []string{"d3"}, 1},
			{ota.DeviceFilter{Namespace: home, Name: "d1", HardwareID: "VIN3"}, nil, 0},
			{ota.DeviceFilter{Namespace: away, ID: "x"}, []string{"d1"}, 1},
			{ota.DeviceFilter{Namespace: home, ID: "x"}, nil, 0},
			{ota.DeviceFilter{Namespace: home, Blocked: true}, []string{"d3", "d4"}, 2},
			{ota.DeviceFilter{Namespace: home, Blocked: true, Name: "d1"}, nil, 0},
			{ota.DeviceFilter{Namespace: home, Limit: 2}, []string{"d0", "d1"}, 5},
			{ota.DeviceFilter{Namespace: home, Offset: 3}, []string{"d3", "d4"}, 5},
			{ota.DeviceFilter{Namespace: home, Offset: 1, Limit: 2}, []string{"d1", "d2"}, 5},
			{ota.DeviceFilter{Namespace: home, Offset: 9, Limit: 2}, nil, 5},
		} {
			w.same(w.names(tt.f), tt.want)
			w.same(ask(w, func(tx ota.ReadTx) (int, error) { return tx.CountDevices(tt.f) }), tt.all)
		}
	}},

	{"the status follows the device's updates", func(w *world) {
		now := w.clock.Now()
		status := func(d ota.Device) ota.DeviceSummary {
			w.Helper()
			got := w.list(ota.DeviceFilter{Namespace: home, ID: d.ID})[0]
			return ota.DeviceSummary{Status: got.Status, Active: got.Active}
		}
		d, other := w.device("truck"), w.device("other")
		w.send(other, ended(ota.Failed, now))
		w.same(status(d), ota.DeviceSummary{Status: ota.NotSeen})
		w.send(d)
		w.same(status(d), ota.DeviceSummary{Status: ota.NotSeen, Active: 1})
		w.seen(map[ota.DeviceID]time.Time{d.ID: now, other.ID: now})
		w.send(d, func(u *ota.Update) { u.Status = ota.InFlight })
		w.same(status(d), ota.DeviceSummary{Status: ota.Outdated, Active: 2})
		w.send(d, ended(ota.Failed, now.Add(2*time.Second)))
		w.same(status(d), ota.DeviceSummary{Status: ota.Failing, Active: 2})
		w.send(d, ended(ota.Finished, now.Add(time.Second))) // ended before the failure
		w.same(status(d), ota.DeviceSummary{Status: ota.Failing, Active: 2})
		w.send(d, ended(ota.Finished, now.Add(3*time.Second)))
		w.same(status(d), ota.DeviceSummary{Status: ota.Outdated, Active: 2})
		w.same(status(other), ota.DeviceSummary{Status: ota.Failing})
	}},

	{"the first time a device is seen is told and kept", func(w *world) {
		one, two := w.device("one"), w.device("two")
		t1 := w.clock.Now().Add(time.Minute)
		t2, t0 := t1.Add(time.Microsecond), t1.Add(-time.Hour)
		w.same(w.seen(map[ota.DeviceID]time.Time{one.ID: t1, "nobody": t1}), []ota.DeviceID{one.ID})
		w.same(w.seen(map[ota.DeviceID]time.Time{one.ID: t2, two.ID: t2}), []ota.DeviceID{two.ID})
		w.same(w.seen(map[ota.DeviceID]time.Time{one.ID: t0, two.ID: t2}), []ota.DeviceID{})
		w.same(w.seen(nil), []ota.DeviceID{})
		one.ActivatedAt, one.LastSeen = t1, t2
		two.ActivatedAt, two.LastSeen = t2, t2
		w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(one.ID) }), one)
		w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(two.ID) }), two)
	}},

	{"a constrained device comes back as it was put", func(w *world) {
		d := w.device("node")
		for _, c := range []*ota.Constrained{
			{Vendor: "example.com", Class: "thermostat \u00e9", Plain: true, Address: "[fd00::1]:5683/x", Until: w.clock.Now().Add(time.Hour), Sequence: 1<<64 - 1},
			{Vendor: "example.com", Class: "c"},
			nil,
		} {
			d.Constrained = c
			w.put(d)
			w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(d.ID) }), d)
			w.same(ask(w, func(tx ota.ReadTx) ([]ota.DeviceSummary, error) { return tx.Devices(ota.DeviceFilter{Namespace: home}) })[0].Device, d)
		}
	}},

	{"constrained devices that wait", func(w *world) {
		var all []ota.DeviceID
		for _, name := range []string{"idle", "waits", "runs", "ended", "theirs", "large"} {
			d := w.device(name)
			if name != "large" {
				d.Constrained = &ota.Constrained{Vendor: "example.com", Class: "c"}
			}
			w.put(d)
			all = append(all, d.ID)
		}
		w.send(ota.Device{Namespace: home, ID: all[1]})
		w.send(ota.Device{Namespace: home, ID: all[1]})
		w.send(ota.Device{Namespace: home, ID: all[2]}, func(u *ota.Update) { u.Status = ota.InFlight })
		w.send(ota.Device{Namespace: home, ID: all[3]}, ended(ota.Finished, w.clock.Now()))
		w.send(ota.Device{Namespace: home, ID: all[5]})
		w.same(ask(w, ota.ReadTx.ConstrainedWaiting), []ota.DeviceID{all[1], all[2]})
	}},

	{"a deleted device takes all its own with it", func(w *world) {
		d, stays := w.device("truck"), w.device("van")
		w.write(func(tx ota.Tx) error {
			var errs []error
			for i, id := range []ota.DeviceID{d.ID, stays.ID} {
				n := fmt.Sprint(i)
				errs = append(errs,
					tx.PutCredential(ota.Credential{ClientID: "client" + n, Device: id, Namespace: home}),
					tx.PutPublicCredentials(id, "a key"),
					tx.PutPSK(ota.PSK{Identity: "psk" + n, Device: id, Key: "k"}),
					tx.PutInventory(id, ota.Inventory{Packages: []ota.Installed{{PackageID: app.ID}}, Firmware: []ota.Firmware{{Module: "m"}}}),
					tx.PutSystemInfo(id, []byte(`{}`)),
					tx.PutContact(id, "rvi", []byte(`{}`)),
					tx.PutUpdate(ota.Update{Namespace: home, Device: id, ID: "u", Status: ota.Pending}),
					tx.AddResults([]ota.StoredResult{{ID: "r" + n, Device: id, Update: "u"}}),
					tx.Append(ota.Event{Namespace: home, Device: id, Type: ota.DeviceCreated}))
			}
			return errors.Join(errs...)
		})
		w.write(func(tx ota.Tx) error { return tx.DeleteDevice(d.ID) })

		missing := func(err error) { w.Helper(); w.refuses(err, ota.KindNotFound, "missing_device") }
		_, err := look(w, func(tx ota.ReadTx) (any, error) { return tx.Device(d.ID) })
		missing(err)
		_, err = look(w, func(tx ota.ReadTx) (any, error) { inv, _, err := tx.Inventory(d.ID); return inv, err })
		missing(err)
		_, err = look(w, func(tx ota.ReadTx) (any, error) { return tx.SystemInfo(d.ID) })
		missing(err)
		_, err = look(w, func(tx ota.ReadTx) (any, error) { return tx.PublicCredentials(d.ID) })
		missing(err)
		_, err = look(w, func(tx ota.ReadTx) (any, error) { return tx.Contact(d.ID, "rvi") })
		missing(err)
		_, err = w.store.Queue(w.Context(), d.ID)
		missing(err)
		w.same(ask(w, func(tx ota.ReadTx) ([]ota.DeviceID, error) { return tx.InstalledOn(home, app.ID) }), []ota.DeviceID{stays.ID})
		_, err = look(w, func(tx ota.ReadTx) (any, error) { return tx.Credential("client0") })
		w.refuses(err, ota.KindNotFound, "missing_entity")
		_, err = look(w, func(tx ota.ReadTx) (any, error) { return tx.PSK("psk0") })
		w.refuses(err, ota.KindNotFound, "missing_entity")
		_, err = look(w, func(tx ota.ReadTx) (any, error) { return tx.Update(d.ID, "u") })
		w.refuses(err, ota.KindNotFound, "missing_entity")
		w.same(len(ask(w, func(tx ota.ReadTx) ([]ota.StoredResult, error) { return tx.Results(d.ID, "") })), 0)
		missing(w.try(func(tx ota.Tx) error { return tx.DeleteDevice(d.ID) }))

		w.same(len(ask(w, func(tx ota.ReadTx) ([]ota.StoredResult, error) { return tx.Results(stays.ID, "") })), 1)
		w.same(len(ask(w, func(tx ota.ReadTx) ([]ota.Update, error) { return tx.Updates(ota.UpdateFilter{Namespace: home}) })), 1)
		w.same(ask(w, ota.ReadTx.LastEvent), int64(2)) // the log remembers both
		d.ID = "again"
		w.put(d) // its name is free
	}},
}

var credentials = []story{
	{"a credential comes back as it was put", func(w *world) {
		c := ota.Credential{ClientID: "client", Device: w.device("truck").ID, Namespace: home}
		for i := range c.SecretHash {
			c.SecretHash[i] = byte(255 - i)
		}
		w.write(func(tx ota.Tx) error { return tx.PutCredential(c) })
		w.same(ask(w, func(tx ota.ReadTx) (ota.Credential, error) { return tx.Credential("client") }), c)
		_, err := look(w, func(tx ota.ReadTx) (any, error) { return tx.Credential("CLIENT") })
		w.refuses(err, ota.KindNotFound, "missing_entity")
	}},

	{"a new credential replaces the old one", func(w *world) {
		c := ota.Credential{ClientID: "old", Device: w.device("truck").ID, Namespace: home}
		w.write(func(tx ota.Tx) error { return tx.PutCredential(c) })
		c.ClientID, c.SecretHash[0] = "new", 1
		w.write(func(tx ota.Tx) error { return tx.PutCredential(c) })
		c.SecretHash[0] = 2
		w.write(func(tx ota.Tx) error { return tx.PutCredential(c) })
		w.same(ask(w, func(tx ota.ReadTx) (ota.Credential, error) { return tx.Credential("new") }), c)
		_, err := look(w, func(tx ota.ReadTx) (any, error) { return tx.Credential("old") })
		w.refuses(err, ota.KindNotFound, "missing_entity")
	}},

	{"a client id belongs to one device", func(w *world) {
		c := ota.Credential{ClientID: "client", Device: w.device("truck").ID, Namespace: home}
		w.write(func(tx ota.Tx) error { return tx.PutCredential(c) })
		c.Device = w.device("van").ID
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutCredential(c) }), ota.KindConflict, "conflicting_entity")
	}},

	{"keys are found by their identity", func(w *world) {
		k := ota.PSK{Identity: "one", Device: w.device("truck").ID, Key: "secret \u00e9"}
		find := func(identity string) func(tx ota.ReadTx) (ota.PSK, error) {
			return func(tx ota.ReadTx) (ota.PSK, error) { return tx.PSK(identity) }
		}
		w.write(func(tx ota.Tx) error { return tx.PutPSK(k) })
		k.Key = "another"
		w.write(func(tx ota.Tx) error { return tx.PutPSK(k) })
		w.same(ask(w, find("one")), k)
		theirs := ota.PSK{Identity: "one", Device: w.device("van").ID, Key: "theirs"}
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutPSK(theirs) }), ota.KindConflict, "conflicting_entity")
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutPSK(ota.PSK{Identity: "x", Device: "nobody"}) }), ota.KindNotFound, "missing_device")
		w.same(ask(w, find("one")), k)
		w.write(func(tx ota.Tx) error { return tx.DeletePSK("one") })
		w.refuses(w.try(func(tx ota.Tx) error { return tx.DeletePSK("one") }), ota.KindNotFound, "missing_entity")
		for _, none := range append(hostile, "one", "") {
			_, err := look(w, find(none))
			w.refuses(err, ota.KindNotFound, "missing_entity")
		}
	}},

	{"public credentials are any text, the last one put", func(w *world) {
		d := w.device("truck")
		public := func(tx ota.ReadTx) (string, error) { return tx.PublicCredentials(d.ID) }
		_, err := look(w, public)
		w.refuses(err, ota.KindNotFound, "missing_entity")
		for _, s := range append(hostile, "", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n") {
			w.write(func(tx ota.Tx) error { return tx.PutPublicCredentials(d.ID, s) })
			w.same(ask(w, public), s)
		}
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutPublicCredentials("nobody", "key") }), ota.KindNotFound, "missing_device")
	}},

	{"a credential needs its device, in its namespace", func(w *world) {
		d := w.device("truck")
		for _, c := range []ota.Credential{
			{ClientID: "client", Device: "nobody", Namespace: home},
			{ClientID: "client", Device: d.ID, Namespace: away},
		} {
			w.refuses(w.try(func(tx ota.Tx) error { return tx.PutCredential(c) }), ota.KindNotFound, "missing_device")
		}
	}},
}
