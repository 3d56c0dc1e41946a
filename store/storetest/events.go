package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-ota/updraft/ota"
)

func (w *world) since(f ota.EventFilter, since int64, limit int) []ota.Event {
	w.Helper()
	return ask(w, func(tx ota.ReadTx) ([]ota.Event, error) { return tx.Events(f, since, limit) })
}

var events = []story{
	{"events are numbered from 1 and carry the time of their transaction", func(w *world) {
		w.same(ask(w, ota.ReadTx.LastEvent), int64(0))
		e := ota.Event{Namespace: home, Type: ota.UpdateChanged, Device: "d", Update: "u", Data: json.RawMessage(`{"status":"Pending"}`)}
		forged := e
		forged.Seq, forged.At = 99, w.clock.Now().Add(time.Hour)
		w.write(func(tx ota.Tx) error { return tx.Append(forged) })
		first := w.clock.Now()
		second := w.clock.Advance(1234567 * time.Microsecond)
		bare := ota.Event{Namespace: home, Type: ota.PackageCreated}
		w.write(func(tx ota.Tx) error { return errors.Join(tx.Append(bare), tx.Append(bare)) })
		e.Seq, e.At = 1, first
		bare.Seq, bare.At = 2, second
		third := bare
		third.Seq = 3
		w.same(w.since(ota.EventFilter{Namespace: home}, 0, 10), []ota.Event{e, bare, third})
		w.same(ask(w, ota.ReadTx.LastEvent), int64(3))
	}},

	{"one reads on from where one was, by namespace and device", func(w *world) {
		for _, e := range []ota.Event{
			{Namespace: home, Device: "a"}, {Namespace: away, Device: "a"}, {Namespace: home, Device: "b"},
			{Namespace: home}, {Namespace: home, Device: "a"},
		} {
			w.write(func(tx ota.Tx) error { return tx.Append(e) })
		}
		for _, tt := range []struct {
			f     ota.EventFilter
			since int64
			limit int
			want  []int64
		}{
			{ota.EventFilter{}, 0, 10, []int64{1, 2, 3, 4, 5}},
			{ota.EventFilter{}, 3, 10, []int64{4, 5}},
			{ota.EventFilter{}, 1, 2, []int64{2, 3}},
			{ota.EventFilter{}, 0, 0, nil},
			{ota.EventFilter{}, 5, 10, nil},
			{ota.EventFilter{}, -7, 1, []int64{1}},
			{ota.EventFilter{Namespace: home}, 0, 10, []int64{1, 3, 4, 5}},
			{ota.EventFilter{Namespace: home, Device: "a"}, 0, 10, []int64{1, 5}},
			{ota.EventFilter{Namespace: home, Device: "a"}, 1, 1, []int64{5}},
			{ota.EventFilter{Device: "a"}, 0, 10, []int64{1, 2, 5}},
			{ota.EventFilter{Namespace: "nowhere"}, 0, 10, nil},
		} {
			var got []int64
			for _, e := range w.since(tt.f, tt.since, tt.limit) {
				got = append(got, e.Seq)
			}
			w.Log(tt.f, tt.since, tt.limit)
			w.same(got, tt.want)
		}
	}},

	{"a transaction sees its own events", func(w *world) {
		w.write(func(tx ota.Tx) error {
			if err := tx.Append(ota.Event{Namespace: home}); err != nil {
				return err
			}
			n, err := tx.LastEvent()
			w.same(n, int64(1))
			return err
		})
	}},

	{"numbers follow the commits without gaps, whoever writes and whatever fails", func(w *world) {
		sorry := errors.New("sorry")
		var all errgroup.Group
		for g := range 8 {
			all.Go(func() error {
				for i := range 25 {
					err := w.store.Write(w.Context(), func(tx ota.Tx) error {
						e := ota.Event{Namespace: home, Device: ota.DeviceID(fmt.Sprint(g)), Update: ota.UpdateID(fmt.Sprint(i))}
						if err := tx.Append(e); err != nil {
							return err
						}
						if i%5 == 4 {
							return sorry
						}
						return nil
					})
					if err != nil && !errors.Is(err, sorry) {
						return err
					}
				}
				return nil
			})
		}
		if err := all.Wait(); err != nil {
			w.Fatal(err)
		}
		list := w.since(ota.EventFilter{Namespace: home}, 0, 1000)
		w.same(len(list), 8*20)
		last := map[ota.DeviceID]string{}
		for i, e := range list {
			if e.Seq != int64(i+1) {
				w.Fatalf("event %d has number %d", i+1, e.Seq)
			}
			if turn := fmt.Sprintf("%2s", e.Update); turn <= last[e.Device] {
				w.Errorf("writer %s: %s came after %s", e.Device, turn, last[e.Device])
			} else {
				last[e.Device] = turn
			}
		}
	}},
}
