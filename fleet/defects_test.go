package fleet_test

import (
	"testing"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// Defects of the original that are not to come back, by their number in
// server.md 6. Others have their tests where they belong: 1 and 13 in
// conversation_test.go, 18 in operator_test.go; 11 in ota and httpapi, 16 and
// 17 in httpapi/token and cmd/internal/server.

func TestDefect2PriorityAndWindowCount(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	send := func(id string, r fleet.Request) {
		t.Helper()
		r.Device, r.Packages = car, []ota.PackageID{w.publish(id, id)}
		if _, _, err := w.Send(w.ctx, ns, r); err != nil {
			t.Fatal(err)
		}
	}
	send("late=1", fleet.Request{Priority: 50})
	send("usual=1", fleet.Request{})
	send("short=1", fleet.Request{Priority: 1, Until: w.now.Add(time.Minute)})
	wantString(t, "offered", w.offered(car), "short=1 Pending, usual=1 Pending, late=1 Pending")
	w.now = w.now.Add(time.Minute)
	wantString(t, "offered", w.offered(car), "usual=1 Pending, late=1 Pending")
}

func TestDefect3WhatEndedIsNotFetchedAgain(t *testing.T) {
	w := newWorld(t)
	car, p := w.device("car"), w.publish("a=1", "a")
	finished, failed, canceled := w.send(car, p), w.send(car, p), w.send(car, p)
	if err := w.Cancel(w.ctx, ns, car, canceled); err != nil {
		t.Fatal(err)
	}
	w.report(car, finished, ota.OK, "")
	w.report(car, failed, ota.InstallFailed, "")
	for id, was := range map[ota.UpdateID]ota.Status{finished: ota.Finished, failed: ota.Failed, canceled: ota.Canceled} {
		_, err := w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: id})
		wantKind(t, err, ota.KindConflict, "update_ended")
		if u := w.update(car, id); u.Status != was {
			t.Errorf("%s became %s", was, u.Status)
		}
	}
}

func TestDefect6AnOrderIsOneDevicesOwn(t *testing.T) {
	w := newWorld(t)
	car, bus := w.device("car"), w.device("bus")
	var order []ota.UpdateID
	for i, p := range []ota.PackageID{w.publish("a=1", "a"), w.publish("b=1", "b")} {
		id := ota.UpdateID([]string{"11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"}[i])
		for _, d := range []ota.DeviceID{car, bus} {
			if _, _, err := w.Send(w.ctx, ns, fleet.Request{Device: d, Packages: []ota.PackageID{p}, ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		order = append([]ota.UpdateID{id}, order...)
	}
	if err := w.Order(w.ctx, ns, car, order); err != nil {
		t.Fatal(err)
	}
	wantString(t, "the car", w.offered(car), "b=1 Pending, a=1 Pending")
	wantString(t, "the bus", w.offered(bus), "a=1 Pending, b=1 Pending")
}

func TestDefect15EveryTransitionIsTold(t *testing.T) {
	w := newWorld(t)
	car, p := w.device("car"), w.publish("a=1", "a")
	fetched, canceled := w.send(car, p), w.send(car, p)
	w.fetch(car, fetched)
	if err := w.Cancel(w.ctx, ns, car, canceled); err != nil {
		t.Fatal(err)
	}
	w.report(car, fetched, ota.InstallFailed, "")
	if _, _, err := w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{p}, Until: w.now.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	if _, err := w.Updates(w.ctx, ota.UpdateFilter{Namespace: ns}); err != nil { // expires what is due
		t.Fatal(err)
	}
	wantString(t, "told", w.history(car), "DeviceCreated Pending Pending InFlight Canceled Failed DeviceBlocked Pending Expired")
}
