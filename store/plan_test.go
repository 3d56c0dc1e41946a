package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

// planner asks the database how it would answer a query, and does not ask the
// query.
type planner struct {
	query.DBTX
	plan string
}

var errPlanned = errors.New("planned only")

func (p *planner) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := p.DBTX.QueryContext(ctx, "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		p.plan += step + "\n"
	}
	return nil, errors.Join(errPlanned, rows.Err())
}

// A question about one thing must not get slower with the number of all other
// things. The queue is asked thousands of times a second by devices that have
// a long past and nothing to do: it looks at active updates alone, unsorted.
func TestEveryQuestionHasItsIndex(t *testing.T) {
	s, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	device := func(f ota.DeviceFilter) func(*readTx) error {
		return func(tx *readTx) error { _, err := tx.Devices(f); return err }
	}
	updates := func(f ota.UpdateFilter) func(*readTx) error {
		return func(tx *readTx) error { _, err := tx.Updates(f); return err }
	}
	count := func(f ota.UpdateFilter) func(*readTx) error {
		return func(tx *readTx) error { _, err := tx.CountUpdates(f); return err }
	}
	events := func(f ota.EventFilter) func(*readTx) error {
		return func(tx *readTx) error { _, err := tx.Events(f, 1, 1); return err }
	}
	for _, tt := range []struct {
		about string
		ask   func(*readTx) error
		index string
	}{
		{"queue", func(tx *readTx) error { _, err := tx.q.Queue(tx.ctx, "d"); return err }, "u USING INDEX device_update_active (device_id=?)"},
		{"due", func(tx *readTx) error { _, err := tx.DueUpdates(s.now(), 1); return err }, "device_update_due (until_at<?)"},
		{"device by id", device(ota.DeviceFilter{Namespace: "n", ID: "d"}), "(id=?"},
		{"device by name", device(ota.DeviceFilter{Namespace: "n", Name: "d"}), "(namespace=? AND name=?)"},
		{"blocked devices", device(ota.DeviceFilter{Namespace: "n", Blocked: true}), "device_blocked (namespace=? AND blocked_at>?)"},
		{"device by hardware id", device(ota.DeviceFilter{Namespace: "n", HardwareID: "V"}), "device_hardware_id (namespace=? AND hardware_id=?)"},
		{"devices' last end", device(ota.DeviceFilter{Namespace: "n"}), "device_update_ended (device_id=?)"},
		{"devices that have a package", func(tx *readTx) error {
			_, err := tx.InstalledOn("n", ota.PackageID{Name: "a", Version: "1"})
			return err
		},
			"installed_package (name=? AND version=?)"},
		{"versions of a package", func(tx *readTx) error { _, _, err := tx.InstalledVersions("n", "a", ota.Page{}); return err }, "installed_package (name=?)"},
		{"updates by age", updates(ota.UpdateFilter{Namespace: "n"}), "device_update_age (namespace=?)"},
		{"updates of a device", updates(ota.UpdateFilter{Namespace: "n", Device: "d"}), "device_update_device (namespace=? AND device_id=?)"},
		{"updates of a package", updates(ota.UpdateFilter{Namespace: "n", Package: ota.PackageID{Name: "a", Version: "1"}}),
			"device_update_package (namespace=? AND package=? AND version=?)"},
		{"the newest updates of a package", updates(ota.UpdateFilter{Namespace: "n", Package: ota.PackageID{Name: "a", Version: "1"}, Newest: true}),
			"device_update_package (namespace=? AND package=? AND version=?)"},
		{"how many updates of a package", count(ota.UpdateFilter{Namespace: "n", Package: ota.PackageID{Name: "a", Version: "1"}}),
			"device_update_package (namespace=? AND package=? AND version=?)"},
		{"events", events(ota.EventFilter{}), "(seq>?)"},
		{"events of a namespace", events(ota.EventFilter{Namespace: "n"}), "event_namespace (namespace=? AND seq>?)"},
		{"events of a device", events(ota.EventFilter{Namespace: "n", Device: "d"}), "event_device (namespace=? AND device_id=? AND seq>?)"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			p := &planner{DBTX: s.readers.db}
			if err := tt.ask(&readTx{ctx: t.Context(), caller: t.Context(), q: query.New(p), sql: p}); !errors.Is(err, errPlanned) {
				t.Fatal(err)
			}
			if !strings.Contains(p.plan, tt.index) || strings.Contains(p.plan, "SCAN") {
				t.Errorf("want %s in the plan:\n%s", tt.index, p.plan)
			}
			if tt.about == "queue" && strings.Contains(p.plan, "B-TREE") {
				t.Errorf("it sorts:\n%s", p.plan)
			}
		})
	}
}
