package storetest

import (
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// hostile texts are all valid UTF-8; rules about names are not the store's.
var hostile = []string{
	`'; DROP TABLE device; --`, `"quoted" ''twice''`, `%`, `_`, `*`, `?`, `$1`, `:name`, `@p`, `\`, `\'`, `{}`, `null`, `NULL`, `0`, `1e3`,
	" leading", "trailing ", "tab\tline\nreturn\r", "é", "e\u0301", "ß", "SS", "日本語", "🚚", "\u202e", "\ufeff", "ı", "İ",
	strings.Repeat("x", 70_000),
}

var texts = []story{
	{"every text stays itself, and different texts stay different", func(w *world) {
		for _, s := range hostile {
			d := ota.Device{Namespace: ota.Namespace(s), ID: ota.DeviceID(s), Name: s, HardwareID: s, Type: s,
				Block: ota.Block{Since: w.clock.Now(), Update: ota.UpdateID(s), Reason: s}}
			p := ota.Package{Namespace: d.Namespace, UUID: s, ID: ota.PackageID{Name: s, Version: s}, Description: s, Vendor: s,
				Artifacts: []ota.Artifact{{Name: s, Sums: ota.Sums{SHA256: ota.Digest(s), SHA1: s, MD5: s}, Signature: s}}}
			u := ota.Update{Namespace: d.Namespace, ID: ota.UpdateID(s), Request: ota.RequestID(s), Device: d.ID, Package: p.ID,
				Status: ota.Pending, Description: s, Reason: s}
			r := ota.StoredResult{ID: s, Device: d.ID, Update: u.ID, Result: ota.OperationResult{ID: s, Text: s}}
			w.put(d)
			w.publish(p)
			w.write(func(tx ota.Tx) error {
				if err := tx.PutUpdate(u); err != nil {
					return err
				}
				return tx.AddResults([]ota.StoredResult{r})
			})
			w.same(w.list(ota.DeviceFilter{Namespace: d.Namespace, ID: d.ID, Name: s, HardwareID: s})[0].Device, d)
			w.same(w.queue(d.ID), ota.DeviceQueue{Namespace: d.Namespace, Block: d.Block, Entries: []ota.QueueEntry{{Update: u, Package: p}}})
			w.same(w.updates(ota.UpdateFilter{Namespace: d.Namespace, Device: d.ID, ID: u.ID, Package: p.ID}), []ota.Update{u})
			w.same(ask(w, func(tx ota.ReadTx) ([]ota.StoredResult, error) { return tx.Results(d.ID, u.ID) }), []ota.StoredResult{r})
			w.same(w.published(ota.PackageFilter{Namespace: p.Namespace, Name: s}), []string{p.ID.String()})
		}
		for _, s := range hostile {
			w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(ota.DeviceID(s)) }).Name, s)
		}
	}},

	{"a NUL is kept or refused, and nothing is cut off at it", func(w *world) {
		d := ota.Device{Namespace: home, ID: "d", Name: "a\x00b", Type: ota.Vehicle}
		if w.try(func(tx ota.Tx) error { return tx.PutDevice(d) }) != nil {
			w.same(w.count(), 0)
			return
		}
		w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device("d") }), d)
		w.same(w.names(ota.DeviceFilter{Namespace: home, Name: "a"}), []string{})
		d.ID, d.Name = "e", "a\x00c"
		w.put(d)
	}},

	{"times keep their microsecond and come back in UTC", func(w *world) {
		for _, at := range []time.Time{
			{},
			time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC),
			time.Date(2026, 3, 29, 2, 30, 0, 999999999, time.FixedZone("CEST", 7200)),
			time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		} {
			want := at
			if !at.IsZero() {
				want = at.UTC().Truncate(time.Microsecond)
			}
			d := w.device(at.String())
			d.CreatedAt, d.Block.Since = at, at
			w.put(d)
			got := ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(d.ID) })
			if got.CreatedAt != want || got.Block.Since != want {
				w.Errorf("put %v, got %v and %v", at, got.CreatedAt, got.Block.Since)
			}
		}
	}},
}
