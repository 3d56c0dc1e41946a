package fleet_test

import (
	"context"
	"errors"
	"testing"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

func TestWhoWatchesReadsEventsSince(t *testing.T) {
	w := newWorld(t)
	before, err := w.LastEvent(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan []ota.Event)
	go func() {
		list, err := w.Events(w.ctx, before)
		if err != nil {
			t.Error(err)
		}
		heard <- list
	}()
	w.puts(fleet.Publication{ID: "app"}, "file1:one", "app=r1 file1")
	list := <-heard
	if len(list) != 1 || list[0].Type != ota.PackageCreated || list[0].Seq <= before {
		t.Errorf("heard %+v", list)
	}
	again, err := w.Events(w.ctx, before)
	if err != nil || len(again) != 1 || again[0].Seq != list[0].Seq {
		t.Errorf("since the same number: %+v, %v", again, err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if _, err := w.Events(ctx, list[0].Seq); !errors.Is(err, context.Canceled) {
		t.Errorf("a watcher who leaves: %v", err)
	}
}
