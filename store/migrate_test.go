package store

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// What older programs left is there after the migration, and what is new
// works with it.
func TestADatabaseOfVersionOneIsMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	old, err := sql.Open("sqlite", dsn(path, "&_foreign_keys=on"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`INSERT INTO device VALUES ('d', 'default', 'truck', '', 'Vehicle', 1, 2, 3, 0, '', '')`,
		`INSERT INTO device_update VALUES ('d', 'u', 'default', 'r', 'app', '1', 'InFlight', 0, 10, 0, '', 0, 1, 1, 0, '')`,
		`INSERT INTO installed VALUES ('d', 0, 'vim', '2'), ('d', 1, 'app', '1')`,
	} {
		if _, err := old.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	err = s.Write(t.Context(), func(tx ota.Tx) error {
		ids, total, err := tx.InstalledPackages("default", ota.Page{})
		if diff := cmp.Diff([]ota.PackageID{{Name: "app", Version: "1"}, {Name: "vim", Version: "2"}}, ids); diff != "" || total != 2 {
			t.Errorf("%d installed: %s", total, diff)
		}
		if err != nil {
			return err
		}
		u, err := tx.Update("d", "u")
		if u.Status != ota.InFlight || u.Tries != 0 || !u.RetryAt.IsZero() || !u.SentAt.IsZero() || u.Forced != "" {
			t.Errorf("the update became %+v", u)
		}
		if err != nil {
			return err
		}
		if d, err := tx.Device("d"); err != nil || d.Constrained != nil {
			t.Errorf("the device became %+v, %v", d, err)
		}
		if err := tx.PutContact("d", "rvi", []byte(`{}`)); err != nil {
			return err
		}
		return tx.PutPublicCredentials("d", "key")
	})
	if err != nil {
		t.Fatal(err)
	}
	if have, err := version(t.Context(), path); err != nil || have != 6 {
		t.Errorf("version %d, %v", have, err)
	}
}
