package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// Whoever gives up in the middle leaves nothing under way: a store that is
// closed then is closed.
func TestNothingIsUnderWayAfterwards(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 200 {
		ctx, giveUp := context.WithCancel(t.Context())
		err := s.Read(ctx, func(tx ota.ReadTx) error {
			giveUp()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		ctx, giveUp = context.WithCancel(t.Context())
		err = s.Write(ctx, func(tx ota.Tx) error {
			giveUp()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if r, w := s.readers.db.Stats().InUse, s.writer.db.Stats().InUse; r+w > 0 {
			t.Fatalf("%d readers and %d writers are still at work", r, w)
		}
	}
}
