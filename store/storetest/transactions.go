package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-ota/updraft/ota"
)

func (w *world) count() int {
	w.Helper()
	return ask(w, func(tx ota.ReadTx) (int, error) { return tx.CountDevices(ota.DeviceFilter{Namespace: home}) })
}

var transactions = []story{
	{"a write that fails leaves nothing", func(w *world) {
		d := w.device("old")
		sorry := errors.New("sorry")
		err := w.try(func(tx ota.Tx) error {
			return errors.Join(
				tx.PutPackage(app),
				tx.PutDevice(ota.Device{Namespace: home, ID: "new", Name: "new", Type: ota.Vehicle}),
				tx.PutUpdate(ota.Update{Namespace: home, Device: d.ID, ID: "u", Status: ota.Pending}),
				tx.Append(ota.Event{Namespace: home, Type: ota.DeviceCreated}),
				tx.DeleteDevice(d.ID),
				sorry)
		})
		if !errors.Is(err, sorry) || err.Error() != "sorry" {
			w.Errorf("write failed with %v, want what its function returned", err)
		}
		w.same(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(d.ID) }), d)
		w.same(ask(w, func(tx ota.ReadTx) ([]ota.Update, error) { return tx.Updates(ota.UpdateFilter{Namespace: home}) }), []ota.Update{})
		w.same(ask(w, func(tx ota.ReadTx) ([]ota.Package, error) { return tx.Packages(ota.PackageFilter{Namespace: home}) }), []ota.Package{})
		w.same(ask(w, ota.ReadTx.LastEvent), int64(0))
	}},

	{"a write that panics leaves nothing and the store goes on", func(w *world) {
		func() {
			defer func() {
				if recover() == nil {
					w.Error("the panic was swallowed")
				}
			}()
			w.try(func(tx ota.Tx) error {
				tx.PutDevice(ota.Device{Namespace: home, ID: "new", Name: "new", Type: ota.Vehicle})
				panic("oh")
			})
		}()
		w.device("next")
		w.same(w.count(), 1)
	}},

	{"a write reads its own words", func(w *world) {
		w.write(func(tx ota.Tx) error {
			d := ota.Device{Namespace: home, ID: "d", Name: "d", Type: ota.Vehicle}
			if err := tx.PutDevice(d); err != nil {
				return err
			}
			got, err := tx.Device("d")
			w.same(got, d)
			return err
		})
	}},

	{"a refusal leaves the write able to go on", func(w *world) {
		w.device("taken")
		w.write(func(tx ota.Tx) error {
			_, err := tx.Device("nobody")
			w.refuses(err, ota.KindNotFound, "missing_device")
			return tx.PutDevice(ota.Device{Namespace: home, ID: "d", Name: "free", Type: ota.Vehicle})
		})
		w.same(w.count(), 2)
	}},

	{"a reader keeps its view while a writer commits", func(w *world) {
		w.device("first")
		err := w.store.Read(w.Context(), func(tx ota.ReadTx) error {
			before, err := tx.CountDevices(ota.DeviceFilter{Namespace: home})
			if err != nil {
				return err
			}
			w.device("second")
			after, err := tx.CountDevices(ota.DeviceFilter{Namespace: home})
			w.same([]int{before, after}, []int{1, 1})
			return err
		})
		if err != nil {
			w.Fatal(err)
		}
		w.same(w.count(), 2)
	}},

	{"readers beside a writer see what was committed", func(w *world) {
		d := w.device("first")
		w.write(func(tx ota.Tx) error {
			err := errors.Join(
				tx.PutUpdate(ota.Update{Namespace: home, Device: d.ID, ID: "u", Status: ota.Pending}),
				tx.PutDevice(ota.Device{Namespace: home, ID: "d", Name: "second", Type: ota.Vehicle}))
			w.same(w.count(), 1)
			q, qerr := w.store.Queue(w.Context(), d.ID)
			w.same(len(q.Entries), 0)
			return errors.Join(err, qerr)
		})
		q, err := w.store.Queue(w.Context(), d.ID)
		if err != nil {
			w.Fatal(err)
		}
		w.same(len(q.Entries), 1)
	}},

	{"a transaction carries the instant it began", func(w *world) {
		w.clock.now = time.Date(2026, 3, 1, 13, 0, 0, 123456789, time.FixedZone("", 3600))
		want := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
		w.write(func(tx ota.Tx) error {
			w.same(tx.Now(), want)
			w.clock.Advance(time.Hour)
			w.same(tx.Now(), want)
			return nil
		})
		w.same(ask(w, func(tx ota.ReadTx) (time.Time, error) { return tx.Now(), nil }), want.Add(time.Hour))
	}},

	{"nothing begins once the caller has gone", func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		never := func(ota.ReadTx) error { w.Error("the function ran"); return nil }
		_, err := w.store.Queue(ctx, "d")
		for _, err := range []error{err, w.store.Read(ctx, never), w.store.Write(ctx, func(tx ota.Tx) error { return never(tx) })} {
			if !errors.Is(err, context.Canceled) {
				w.Errorf("got %v, want context.Canceled", err)
			}
		}
	}},

	{"nothing is kept when the caller goes half-way", func(w *world) {
		ctx, cancel := context.WithCancel(w.Context())
		err := w.store.Write(ctx, func(tx ota.Tx) error {
			cancel()
			return tx.PutDevice(ota.Device{Namespace: home, ID: "d", Name: "d", Type: ota.Vehicle})
		})
		if !errors.Is(err, context.Canceled) {
			w.Errorf("got %v, want context.Canceled", err)
		}
		w.same(w.count(), 0)
	}},

	{"writers take turns", func(w *world) {
		d := w.device("shared")
		var all errgroup.Group
		for range 8 {
			all.Go(func() error {
				for range 10 {
					err := w.store.Write(w.Context(), func(tx ota.Tx) error {
						d, err := tx.Device(d.ID)
						if err != nil {
							return err
						}
						d.Name += "x"
						return tx.PutDevice(d)
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := all.Wait(); err != nil {
			w.Fatal(err)
		}
		w.same(len(ask(w, func(tx ota.ReadTx) (ota.Device, error) { return tx.Device(d.ID) }).Name), len("shared")+80)
	}},

	{"readers never see half a write", func(w *world) {
		var all errgroup.Group
		done := make(chan struct{})
		all.Go(func() error {
			defer close(done)
			for i := range 50 {
				err := w.store.Write(w.Context(), func(tx ota.Tx) error {
					for j := range 2 {
						name := fmt.Sprintf("%d-%d", i, j)
						if err := tx.PutDevice(ota.Device{Namespace: home, ID: ota.DeviceID(name), Name: name, Type: ota.Vehicle}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		for range 4 {
			all.Go(func() error {
				for {
					err := w.store.Read(w.Context(), func(tx ota.ReadTx) error {
						n, err := tx.CountDevices(ota.DeviceFilter{Namespace: home})
						if n%2 != 0 {
							return fmt.Errorf("a reader saw %d devices, which come in pairs", n)
						}
						return err
					})
					if err != nil {
						return err
					}
					select {
					case <-done:
						return nil
					default:
					}
				}
			})
		}
		if err := all.Wait(); err != nil {
			w.Fatal(err)
		}
	}},

	{"an open store answers a ping, a closed one does not", func(w *world) {
		if err := w.store.Ping(w.Context()); err != nil {
			w.Error(err)
		}
		if err := w.store.Close(); err != nil {
			w.Error(err)
		}
		if w.store.Ping(w.Context()) == nil {
			w.Error("a closed store answered")
		}
		if w.try(func(ota.Tx) error { return nil }) == nil {
			w.Error("a closed store took a write")
		}
	}},
}
