package fleet_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

func small(name string) fleet.NewConstrained {
	return fleet.NewConstrained{NewDevice: fleet.NewDevice{Name: name}, Constrained: ota.Constrained{Vendor: "example.com", Class: "lamp"}}
}

func TestConstrainedDevicesAreDevices(t *testing.T) {
	w := newWorld(t)
	n := small("node")
	n.PSK, n.Plain, n.Address, n.Sequence = true, true, "[fd00::1]", 9
	d, key, err := w.AddConstrained(w.ctx, ns, n)
	if err != nil {
		t.Fatal(err)
	}
	want := ota.Constrained{Vendor: "example.com", Class: "lamp", Plain: true, Address: "[fd00::1]"}
	if *d.Constrained != want || d.Type != ota.OtherDevice || key.Identity != string(d.ID) || len(key.Key) < 20 {
		t.Errorf("%+v, %+v", d, *d.Constrained)
	}
	for _, ref := range []string{"node", string(d.ID)} {
		if got, err := w.Constrained(w.ctx, ns, ref); err != nil || got.ID != d.ID {
			t.Errorf("%s: %v, %v", ref, got.ID, err)
		}
	}
	car := w.device("car")
	for _, ref := range []string{"car", string(car), "", "nobody", string(d.ID) + "x"} {
		_, err := w.Constrained(w.ctx, ns, ref)
		wantKind(t, err, ota.KindNotFound, "missing_device")
	}
	if _, err := w.Constrained(w.ctx, "elsewhere", "node"); err == nil {
		t.Error("a name is known in another namespace")
	}

	// What an operator changes leaves the rest as it is.
	if err := w.ChangeDevice(w.ctx, ns, d.ID, fleet.NewDevice{Name: "lamp"}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Constrained(w.ctx, ns, "lamp"); err != nil || *got.Constrained != want {
		t.Errorf("%+v, %v", got, err)
	}

	k, where, err := w.PSK(w.ctx, key.Identity)
	if err != nil || k != key || where != ns {
		t.Errorf("%v", err)
	}
	_, _, err = w.PSK(w.ctx, "lamp")
	wantKind(t, err, ota.KindUnauthenticated, "unknown_identity")

	_, _, err = w.AddConstrained(w.ctx, ns, small("lamp"))
	wantKind(t, err, ota.KindConflict, "conflicting_device")
	both := small("both")
	both.PSK, both.Enrol = true, true
	_, _, err = w.AddConstrained(w.ctx, ns, both)
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	none := small("none")
	none.Class = ""
	_, _, err = w.AddConstrained(w.ctx, ns, none)
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
}

// However many come with one token, one gets the key.
func TestATokenIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	n := small("node")
	n.Enrol = true
	d, token, err := w.AddConstrained(w.ctx, ns, n)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Enrol(w.ctx, string(d.ID), fleet.Claim{})
	wantKind(t, err, ota.KindForbidden, "enrolled")
	_, err = w.Enrol(w.ctx, token.Identity, fleet.Claim{Name: "node", Vendor: "example.com", Class: "heater"})
	wantKind(t, err, ota.KindForbidden, "wrong_device")

	var enrolled atomic.Int32
	var key atomic.Pointer[ota.PSK]
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			k, err := w.Enrol(w.ctx, token.Identity, fleet.Claim{Name: "node", Vendor: "example.com", Class: "lamp"})
			if err == nil {
				enrolled.Add(1)
				key.Store(&k)
			} else if ota.CodeOf(err) != "enrolled" {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	if enrolled.Load() != 1 {
		t.Fatalf("%d enrolled", enrolled.Load())
	}
	if k, _, err := w.PSK(w.ctx, string(d.ID)); err != nil || k != *key.Load() || k.Key == token.Key {
		t.Errorf("%v", err)
	}
	_, _, err = w.PSK(w.ctx, token.Identity)
	wantKind(t, err, ota.KindUnauthenticated, "unknown_identity")
	if told := w.eventsSince(0, ota.DeviceEnrolled); len(told) != 1 {
		t.Errorf("%d told", len(told))
	}
	if waiting, err := w.ConstrainedWaiting(w.ctx); err != nil || len(waiting) != 0 {
		t.Errorf("%v, %v", waiting, err)
	}
}

func TestAnotherKey(t *testing.T) {
	w := newWorld(t)
	n := small("node")
	n.Enrol = true
	d, token, err := w.AddConstrained(w.ctx, ns, n)
	if err != nil {
		t.Fatal(err)
	}
	// Who has HTTP credentials too keeps what it has over coaps.
	if _, _, err := w.NewCredential(w.ctx, ns, d.ID); err != nil {
		t.Fatal(err)
	}
	wantString(t, "ended", strings.Join(w.gone, ", "), "credential "+string(d.ID))
	key, err := w.NewKey(w.ctx, ns, d.ID, false)
	if err != nil || key.Identity != string(d.ID) || len(key.Key) < 20 {
		t.Fatalf("%+v, %v", key, err)
	}
	_, err = w.Enrol(w.ctx, token.Identity, fleet.Claim{})
	wantKind(t, err, ota.KindForbidden, "enrolled")
	again, err := w.NewKey(w.ctx, ns, d.ID, false)
	if k, _, e := w.PSK(w.ctx, key.Identity); err != nil || e != nil || k != again || again.Key == key.Key {
		t.Errorf("%v, %v", err, e)
	}
	token, err = w.NewKey(w.ctx, ns, d.ID, true)
	if err != nil || !ota.IsEnrolment(token.Identity) {
		t.Errorf("%+v, %v", token, err)
	}
	_, _, err = w.PSK(w.ctx, string(d.ID))
	wantKind(t, err, ota.KindUnauthenticated, "unknown_identity")
	if k, err := w.Enrol(w.ctx, token.Identity, fleet.Claim{}); err != nil || k.Key == again.Key {
		t.Errorf("%v", err)
	}
	if len(w.gone) != 4 || w.gone[3] != "key "+string(d.ID) || len(w.eventsSince(0, ota.DeviceRekeyed)) != 3 {
		t.Errorf("ended %q", w.gone)
	}
	for _, told := range w.eventsSince(0, ota.DeviceRekeyed) {
		if strings.Contains(told, again.Key) {
			t.Error("the log has the key")
		}
	}
	_, err = w.NewKey(w.ctx, ns, w.device("car"), false)
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
	_, err = w.NewKey(w.ctx, "elsewhere", d.ID, false)
	wantKind(t, err, ota.KindNotFound, "missing_device")
}

// An operator sees how a device can prove who it is, and whether it enrolled.
func TestHowADeviceProvesWhoItIs(t *testing.T) {
	w := newWorld(t)
	proof := func(id ota.DeviceID) string {
		t.Helper()
		p, err := w.Proof(w.ctx, ns, id)
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	n := small("node")
	n.Enrol = true
	d, token, err := w.AddConstrained(w.ctx, ns, n)
	if err != nil {
		t.Fatal(err)
	}
	wantString(t, "before it enrols", proof(d.ID), "enrolment")
	if _, err := w.Enrol(w.ctx, token.Identity, fleet.Claim{}); err != nil {
		t.Fatal(err)
	}
	wantString(t, "then", proof(d.ID), "key")
	bare, _, err := w.AddConstrained(w.ctx, ns, small("bare"))
	if err != nil {
		t.Fatal(err)
	}
	wantString(t, "without a key", proof(bare.ID), "none")
	w.Certificates = true
	wantString(t, "where certificates are taken", proof(bare.ID), "certificate")
	wantString(t, "who has a key", proof(d.ID), "key")
	_, err = w.Proof(w.ctx, "elsewhere", d.ID)
	wantKind(t, err, ota.KindNotFound, "missing_device")
	_, err = w.Proof(w.ctx, ns, w.device("car"))
	wantKind(t, err, ota.KindInvalid, "invalid_entity")
}
