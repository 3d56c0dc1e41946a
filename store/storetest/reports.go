package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

func (w *world) inventory(id ota.DeviceID) (ota.Inventory, time.Time) {
	w.Helper()
	var at time.Time
	inv := ask(w, func(tx ota.ReadTx) (inv ota.Inventory, err error) {
		inv, at, err = tx.Inventory(id)
		return inv, err
	})
	return inv, at
}

// reports are what devices say about themselves.
var reports = []story{
	{"an inventory is empty before the first report", func(w *world) {
		inv, at := w.inventory(w.device("truck").ID)
		w.same(inv, ota.Inventory{})
		w.same(at, time.Time{})
	}},

	{"an inventory keeps order and repetitions and is replaced as a whole", func(w *world) {
		d := w.device("truck")
		pkg := func(name, version string) ota.Installed {
			return ota.Installed{PackageID: ota.PackageID{Name: name, Version: version}}
		}
		for _, inv := range []ota.Inventory{
			{Packages: []ota.Installed{pkg("b", "1"), pkg("a", "2"), pkg("b", "1"), pkg("a/b c", "1:2~3")},
				Firmware: []ota.Firmware{{Module: "ecu", ID: "7", LastModified: 1 << 40}, {Module: "ecu", ID: "6", LastModified: -1}}},
			{Packages: []ota.Installed{pkg("a", "2")}},
			{Packages: []ota.Installed{pkg("ab", "c")}},
			{Packages: []ota.Installed{pkg("a", "bc")}}, // the same letters
			{Packages: []ota.Installed{pkg(`a" "b`, "c")}},
			{Firmware: []ota.Firmware{{Module: "ecu", ID: "7"}}},
			{},
		} {
			w.clock.Advance(time.Hour)
			w.write(func(tx ota.Tx) error { return tx.PutInventory(d.ID, inv) })
			got, at := w.inventory(d.ID)
			w.same(got, inv)
			w.same(at, w.clock.Now())
		}
	}},

	{"the same inventory again is only younger", func(w *world) {
		d := w.device("truck")
		inv := ota.Inventory{Packages: []ota.Installed{{PackageID: app.ID}}}
		w.write(func(tx ota.Tx) error { return tx.PutInventory(d.ID, inv) })
		w.clock.Advance(time.Hour)
		w.write(func(tx ota.Tx) error { return tx.PutInventory(d.ID, inv) })
		got, at := w.inventory(d.ID)
		w.same(got, inv)
		w.same(at, w.clock.Now())
	}},

	{"thousands of packages are one report", func(w *world) {
		d, other := w.device("truck"), w.device("van")
		var inv ota.Inventory
		for i := range 3000 {
			inv.Packages = append(inv.Packages, ota.Installed{PackageID: ota.PackageID{Name: fmt.Sprint("p", i), Version: "1"}})
		}
		w.write(func(tx ota.Tx) error { return tx.PutInventory(d.ID, inv) })
		got, _ := w.inventory(d.ID)
		w.same(got, inv)
		got, _ = w.inventory(other.ID)
		w.same(got, ota.Inventory{})
	}},

	{"each protocol keeps what it told last of a device", func(w *world) {
		d, other := w.device("truck"), w.device("van")
		contact := func(id ota.DeviceID, protocol string) (json.RawMessage, error) {
			return look(w, func(tx ota.ReadTx) (json.RawMessage, error) { return tx.Contact(id, protocol) })
		}
		for _, doc := range []string{`{"dialect":"2015"}`, `{"dialect":"2016"}`} {
			w.write(func(tx ota.Tx) error {
				return errors.Join(tx.PutContact(d.ID, "rvi", []byte(doc)), tx.PutContact(d.ID, "coap", []byte(`{}`)))
			})
			got, err := contact(d.ID, "rvi")
			w.same(string(got), doc)
			w.same(err, nil)
		}
		_, err := contact(d.ID, "r")
		w.refuses(err, ota.KindNotFound, "missing_entity")
		_, err = contact(other.ID, "rvi")
		w.refuses(err, ota.KindNotFound, "missing_entity")
		_, err = contact("nobody", "rvi")
		w.refuses(err, ota.KindNotFound, "missing_device")
		w.refuses(w.try(func(tx ota.Tx) error { return tx.PutContact("nobody", "rvi", []byte(`{}`)) }), ota.KindNotFound, "missing_device")
	}},

	{"system info is any document, the last one told", func(w *world) {
		d := w.device("truck")
		info := func(tx ota.ReadTx) (json.RawMessage, error) { return tx.SystemInfo(d.ID) }
		_, err := look(w, info)
		w.refuses(err, ota.KindNotFound, "missing_entity")
		for _, doc := range []string{`{"b":1,"a":[1.50,"é\u0000"]}`, `null`, ` [ ] `} {
			w.write(func(tx ota.Tx) error { return tx.PutSystemInfo(d.ID, json.RawMessage(doc)) })
			w.same(string(ask(w, info)), doc)
		}
	}},

	{"only a device has something to report", func(w *world) {
		missing := func(err error) { w.Helper(); w.refuses(err, ota.KindNotFound, "missing_device") }
		missing(w.try(func(tx ota.Tx) error { return tx.PutInventory("nobody", ota.Inventory{}) }))
		missing(w.try(func(tx ota.Tx) error { return tx.PutSystemInfo("nobody", json.RawMessage(`{}`)) }))
		_, err := look(w, func(tx ota.ReadTx) (any, error) { return tx.SystemInfo("nobody") })
		missing(err)
		_, err = look(w, func(tx ota.ReadTx) (any, error) { inv, _, err := tx.Inventory("nobody"); return inv, err })
		missing(err)
	}},
}
