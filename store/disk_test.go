package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// What Write promised must survive a power cut, which no test can cause.
func TestAFileIsWrittenDurably(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for setting, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := s.writer.db.QueryRow("PRAGMA " + setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s: %v", setting, got, want, err)
		}
	}
}

// full is a store whose database may not grow.
func full(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.writer.db.Exec("PRAGMA max_page_count = 1"); err != nil { // SQLite takes the present size
		t.Fatal(err)
	}
	return s
}

func putLarge(tx ota.Tx) error {
	return tx.PutPackage(ota.Package{Namespace: "n", ID: ota.PackageID{Name: "a", Version: "1"}, Description: strings.Repeat("x", 1<<20)})
}

func TestAFullDiskIsToldAsSuch(t *testing.T) {
	s := full(t)
	if err := s.Write(t.Context(), putLarge); ota.KindOf(err) != ota.KindNoSpace {
		t.Errorf("got %v", err)
	}
}

func TestAFailureOfTheDatabaseCannotBeIgnored(t *testing.T) {
	s := full(t)
	err := s.Write(t.Context(), func(tx ota.Tx) error {
		if putLarge(tx) == nil {
			return errors.New("it fitted")
		}
		return nil
	})
	if ota.KindOf(err) != ota.KindNoSpace {
		t.Errorf("got %v", err)
	}
	if _, err := s.writer.db.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), putLarge); err != nil { // room was made
		t.Error(err)
	}
}
