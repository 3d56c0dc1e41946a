package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
	"github.com/updraft-ota/updraft/store/storetest"
)

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestInMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) ota.Store {
		return open(t, store.Options{Now: now})
	})
}

func TestInAFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) ota.Store {
		return open(t, store.Options{Now: now, Path: filepath.Join(t.TempDir(), "db")})
	})
}
