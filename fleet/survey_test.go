package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

func TestPublicCredentialsMakeADeviceOrFindIt(t *testing.T) {
	w := newWorld(t)
	put := func(n fleet.NewDevice) ota.DeviceID {
		t.Helper()
		id, err := w.PutPublicCredentials(w.ctx, ns, n)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	public := func(id ota.DeviceID) string {
		t.Helper()
		text, err := w.PublicCredentials(w.ctx, ns, id)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	car := put(fleet.NewDevice{Name: "car", HardwareID: "VIN", Public: "one"})
	wantString(t, "credentials", public(car), "one")
	if again := put(fleet.NewDevice{Name: "other", HardwareID: "VIN", Public: "two", Type: ota.OtherDevice}); again != car {
		t.Fatalf("%s is not %s", again, car)
	}
	wantString(t, "credentials", public(car), "two")
	if s, _ := w.Device(w.ctx, ns, car); s.Name != "car" || s.Type != ota.Vehicle {
		t.Errorf("the device changed: %+v", s)
	}

	last := w.lastEvent()
	put(fleet.NewDevice{Name: "car", HardwareID: "VIN", Public: "two"})
	if w.lastEvent() != last {
		t.Error("the same credentials again are told as news")
	}
	if err := w.ChangeDevice(w.ctx, ns, car, fleet.NewDevice{Name: "car", HardwareID: "VIN"}); err != nil {
		t.Fatal(err)
	}
	wantString(t, "credentials after a change that says nothing of them", public(car), "two")

	for code, n := range map[string]fleet.NewDevice{
		"reguest_needs_deviceid":    {Name: "x", Public: "key"},
		"request_needs_credentials": {Name: "x", HardwareID: "VIN"},
		"invalid_entity":            {HardwareID: "VIN2", Public: "key"},
	} {
		_, err := w.PutPublicCredentials(w.ctx, ns, n)
		wantKind(t, err, ota.KindInvalid, code)
	}
	_, err := w.PutPublicCredentials(w.ctx, ns, fleet.NewDevice{HardwareID: "VIN2", Name: "new", Public: strings.Repeat("k", 64<<10+1)})
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	_, err = w.PutPublicCredentials(w.ctx, ns, fleet.NewDevice{ID: "11111111-1111-4111-8111-111111111111", HardwareID: "VIN", Name: "car", Public: "key"})
	wantKind(t, err, ota.KindConflict, "conflicting_device")
	if _, n, err := w.Devices(w.ctx, ota.DeviceFilter{Namespace: ns}); err != nil || n != 1 {
		t.Errorf("%d devices: something refused left one behind (%v)", n, err)
	}
}

func TestPublicCredentialsAreToldAsEvents(t *testing.T) {
	w := newWorld(t)
	if _, err := w.PutPublicCredentials(w.ctx, ns, fleet.NewDevice{Name: "car", HardwareID: "VIN", Public: "key"}); err != nil {
		t.Fatal(err)
	}
	var told []string
	err := w.Store.Read(w.ctx, func(tx ota.ReadTx) error {
		events, err := tx.Events(ota.EventFilter{}, 0, 10)
		for _, e := range events {
			told = append(told, string(e.Type)+" "+string(e.Data))
		}
		return err
	})
	if diff := cmp.Diff([]string{
		`DeviceCreated {"deviceId":"VIN","deviceName":"car","deviceType":"Vehicle"}`,
		`DevicePublicCredentialsSet {"credentials":"key"}`,
	}, told); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestWhoIsAffected(t *testing.T) {
	w := newWorld(t)
	one, two := w.device("one"), w.device("two")
	has := func(d ota.DeviceID, ids ...string) {
		t.Helper()
		var inv ota.Inventory
		for _, id := range ids {
			inv.Packages = append(inv.Packages, ota.Installed{PackageID: w.id(id)})
		}
		if err := w.Uplink(d).Installed(w.ctx, inv); err != nil {
			t.Fatal(err)
		}
	}
	has(one, "vim=1", "app=2", "app=1", "app=1")
	has(two, "vim=1", "vim=2")
	got, err := w.Affected(w.ctx, ns, []ota.PackageID{w.id("vim=1"), w.id("nobody=1"), w.id("app=1"), w.id("vim=1")})
	want := map[ota.DeviceID][]ota.PackageID{one: {w.id("app=1"), w.id("vim=1")}, two: {w.id("vim=1")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := w.Affected(w.ctx, "elsewhere", []ota.PackageID{w.id("vim=1")}); err != nil || len(got) != 0 {
		t.Errorf("another namespace knows %v, %v", got, err)
	}
	_, err = w.Affected(w.ctx, ns, make([]ota.PackageID, 1001))
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
}

func TestActivationsAreCountedAtOnce(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	began := w.now
	w.now = w.now.Add(time.Minute)
	w.offered(car) // it polls; the time is not written yet
	for until, want := range map[time.Time]int{w.now: 0, w.now.Add(time.Microsecond): 1} {
		if n, err := w.CountActivated(w.ctx, ns, began, until); err != nil || n != want {
			t.Errorf("until %v: %d, %v", until, n, err)
		}
	}
}
