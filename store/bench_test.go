package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

const fleetSize = 10_000

func deviceID(i int) ota.DeviceID {
	return ota.DeviceID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", i*7919))
}

// crowd is a store with ten thousand devices that have a past; every hundredth
// also has something to do.
func crowd(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	err = s.Write(b.Context(), func(tx ota.Tx) error {
		pkg := ota.Package{Namespace: "default", ID: ota.PackageID{Name: "app", Version: "1"}, UUID: "p", CreatedAt: tx.Now(),
			Artifacts: []ota.Artifact{{Name: "image", Sums: ota.Sums{Size: 1, SHA256: "00", SHA1: "11", MD5: "22"}, Signature: "sig"}}}
		if err := tx.PutPackage(pkg); err != nil {
			return err
		}
		for i := range fleetSize {
			d := ota.Device{Namespace: "default", ID: deviceID(i), Name: fmt.Sprintf("device %d", i), Type: ota.Vehicle, CreatedAt: tx.Now()}
			if err := tx.PutDevice(d); err != nil {
				return err
			}
			for j := range 5 {
				u := ota.Update{Namespace: "default", Device: d.ID, ID: ota.UpdateID(fmt.Sprint(j)), Package: pkg.ID,
					Status: ota.Finished, CreatedAt: tx.Now(), EndedAt: tx.Now()}
				if j == 2 && i%100 == 0 {
					u.Status, u.EndedAt = ota.Pending, time.Time{}
				}
				if err := tx.PutUpdate(u); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkQueue(b *testing.B) {
	s := crowd(b)
	ask := func(b *testing.B, ctx context.Context, device, want int) {
		q, err := s.Queue(ctx, deviceID(device%fleetSize))
		if err != nil || len(q.Entries) != want {
			b.Errorf("%d entries, %v", len(q.Entries), err)
		}
	}
	b.Run("idle", func(b *testing.B) {
		ctx := b.Context()
		for i := 0; b.Loop(); i++ {
			ask(b, ctx, (i%100)*100+1+i%99, 0)
		}
	})
	b.Run("pending", func(b *testing.B) {
		ctx := b.Context()
		for i := 0; b.Loop(); i++ {
			ask(b, ctx, i*100, 1)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		ctx := b.Context()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				ask(b, ctx, (i%100)*100+1+i%99, 0)
			}
		})
	})
}

// BenchmarkSeen records that the whole fleet was seen, as fleet does in batches.
func BenchmarkSeen(b *testing.B) {
	s := crowd(b)
	now := time.Now()
	for b.Loop() {
		now = now.Add(time.Second)
		at := make(map[ota.DeviceID]time.Time, fleetSize)
		for i := range fleetSize {
			at[deviceID(i)] = now
		}
		err := s.Write(b.Context(), func(tx ota.Tx) error {
			_, err := tx.Seen(at)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInventory stores the longest list there may be.
func BenchmarkInventory(b *testing.B) {
	s := crowd(b)
	inv := ota.Inventory{Packages: make([]ota.Installed, ota.MaxInventory)}
	for i := range inv.Packages {
		inv.Packages[i].PackageID = ota.PackageID{Name: fmt.Sprintf("package-%d", i), Version: "1.0"}
	}
	put := func(b *testing.B) {
		err := s.Write(b.Context(), func(tx ota.Tx) error { return tx.PutInventory(deviceID(1), inv) })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("changed", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			inv.Packages[0].Version = fmt.Sprint(i)
			put(b)
		}
	})
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			put(b)
		}
	})
}

// BenchmarkOpen makes a store as tests do.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s, err := store.Open(b.Context(), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is the shortest decision: one row and one event, on disk.
func BenchmarkWrite(b *testing.B) {
	s := crowd(b)
	for b.Loop() {
		err := s.Write(b.Context(), func(tx ota.Tx) error {
			return tx.Append(ota.Event{Namespace: "default", Type: ota.ListRequested, Device: deviceID(1)})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
