package fleet_test

import (
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/sign"
)

func TestDevicesAreUniqueInTheirNamespace(t *testing.T) {
	w := newWorld(t)
	d, err := w.AddDevice(w.ctx, ns, fleet.NewDevice{Name: "car", HardwareID: "VIN1"})
	if err != nil || d.Type != ota.Vehicle {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, n := range []fleet.NewDevice{{Name: "car"}, {Name: "x", HardwareID: "VIN1"}, {Name: "y", ID: d.ID}} {
		_, err := w.AddDevice(w.ctx, ns, n)
		wantKind(t, err, ota.KindConflict, "conflicting_device")
	}
	for _, n := range []fleet.NewDevice{{}, {Name: "a\nb"}, {Name: "z", HardwareID: "a b"}, {Name: "z", Type: "Boat"}} {
		_, err := w.AddDevice(w.ctx, ns, n)
		wantKind(t, err, ota.KindInvalid, "invalid_entity")
	}
	if err := w.ChangeDevice(w.ctx, ns, d.ID, fleet.NewDevice{Name: "truck"}); err != nil {
		t.Fatal(err)
	}
	if s, _ := w.Device(w.ctx, ns, d.ID); s.Name != "truck" || s.HardwareID != "" {
		t.Fatalf("%+v", s)
	}
}

func TestRemovingADeviceEndsItsIdentityAndLeavesNothing(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	id, secret, err := w.NewCredential(w.ctx, ns, car)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := w.Authenticate(w.ctx, id, secret); err != nil || c.Device != car {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, wrong := range [][2]string{{id, secret + "x"}, {id, ""}, {"nobody", secret}, {"nobody", ""}} {
		_, err := w.Authenticate(w.ctx, wrong[0], wrong[1])
		wantKind(t, err, ota.KindUnauthenticated, "invalid_client")
	}
	w.send(car, w.publish("a=1", "a"))
	w.gone = nil
	if err := w.RemoveDevice(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	if len(w.gone) != 1 || w.gone[0] != "device "+string(car) {
		t.Fatalf("told gone: %v", w.gone)
	}
	_, err = w.Authenticate(w.ctx, id, secret)
	wantKind(t, err, ota.KindUnauthenticated, "invalid_client")
	if us, err := w.Updates(w.ctx, ota.UpdateFilter{Namespace: ns}); err != nil || len(us) != 0 {
		t.Fatalf("%v, %v", us, err)
	}
	if err := w.RemovePackage(w.ctx, ns, w.id("a=1")); err != nil {
		t.Fatal("its update holds the package:", err)
	}
}

func TestANewCredentialEndsTheOld(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	old, secret, _ := w.NewCredential(w.ctx, ns, car)
	if _, _, err := w.NewCredential(w.ctx, ns, car); err != nil {
		t.Fatal(err)
	}
	_, err := w.Authenticate(w.ctx, old, secret)
	wantKind(t, err, ota.KindUnauthenticated, "invalid_client")
}

func TestPublishing(t *testing.T) {
	w := newWorld(t)
	a := w.publish("a=1", "one")
	w.publish("a=1", "one")
	p, err := w.Package(w.ctx, ns, a)
	if err != nil || p.Main().Size != 3 || p.Main().SHA1 != "fe05bcdcdc4928012781a5f1a2a77cbb5398e106" {
		t.Fatalf("%+v, %v", p, err)
	}
	if w.publish("a=1", "two"); mustPackage(t, w, a).Main().SHA256 == p.Main().SHA256 || mustPackage(t, w, a).UUID != p.UUID {
		t.Fatal("a package without updates is not replaced in place")
	}
	car := w.device("car")
	u := w.send(car, a)
	_, err = w.PutPackage(w.ctx, ns, fleet.NewPackage{ID: a}, strings.NewReader("three"))
	wantKind(t, err, ota.KindConflict, "conflicting_entity")
	wantKind(t, w.RemovePackage(w.ctx, ns, a), ota.KindConflict, "conflicting_entity")
	wantString(t, "bytes", w.fetch(car, u), "two")
	if _, err := w.PutPackage(w.ctx, ns, fleet.NewPackage{ID: a, Replace: true}, strings.NewReader("three")); err != nil {
		t.Fatal(err)
	}
	w.report(car, u, ota.OK, "")
	if err := w.RemovePackage(w.ctx, ns, a); err != nil {
		t.Fatal(err)
	}
	if w.update(car, u).Package != a {
		t.Fatal("history forgets what was installed")
	}
}

func mustPackage(t *testing.T, w *world, id ota.PackageID) ota.Package {
	t.Helper()
	p, err := w.Package(w.ctx, ns, id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRefusedUploadsLeaveNothing(t *testing.T) {
	w := newWorld(t, func(o *fleet.Options) {
		o.MaxUpload = 4
		o.PackageVersion = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	})
	broken := errors.New("the line is cut")
	for _, c := range []struct {
		id   ota.PackageID
		r    io.Reader
		kind ota.Kind
		code string
	}{
		{ota.PackageID{Name: "a", Version: "1.0.0"}, strings.NewReader("12345"), ota.KindTooLarge, "too_large"},
		{ota.PackageID{Name: "a", Version: "1.0.0"}, io.MultiReader(strings.NewReader("1"), iotest.ErrReader(broken)), ota.KindInternal, ""},
		{ota.PackageID{Name: "a", Version: "1"}, strings.NewReader("1"), ota.KindInvalid, "invalid_entity"},
		{ota.PackageID{Name: "../a", Version: "1.0.0"}, strings.NewReader("1"), ota.KindInvalid, "invalid_entity"},
	} {
		_, err := w.PutPackage(w.ctx, ns, fleet.NewPackage{ID: c.id}, c.r)
		wantKind(t, err, c.kind, c.code)
	}
	w.now = time.Now().Add(24 * time.Hour) // files carry real times
	if list, err := w.Packages(w.ctx, ota.PackageFilter{Namespace: ns}); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
}

func TestWhatNoPackageCanBeIsRefused(t *testing.T) {
	w := newWorld(t)
	a, car := w.publish("a=1", "one"), w.device("car")
	for _, name := range []string{"", "..", "../a", "a b", "a\x00", "\xff"} {
		id := ota.PackageID{Name: name, Version: "1"}
		_, err := w.Package(w.ctx, ns, id)
		wantKind(t, err, ota.KindInvalid, "invalid_entity")
		_, _, err = w.OpenArtifact(w.ctx, ns, id, "")
		wantKind(t, err, ota.KindInvalid, "invalid_entity")
		wantKind(t, w.RemovePackage(w.ctx, ns, id), ota.KindInvalid, "invalid_entity")
		wantKind(t, w.DescribePackage(w.ctx, ns, id, "x"), ota.KindInvalid, "invalid_entity")
		_, _, err = w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{id}})
		wantKind(t, err, ota.KindInvalid, "invalid_entity")
	}
	for _, text := range []string{"\xff", "a\x00", strings.Repeat("x", 10_001)} {
		for _, n := range []fleet.NewPackage{{ID: a, Description: text}, {ID: a, Vendor: text}, {ID: a, Signature: text}} {
			_, err := w.PutPackage(w.ctx, ns, n, strings.NewReader("one"))
			wantKind(t, err, ota.KindInvalid, "invalid_entity")
		}
		wantKind(t, w.DescribePackage(w.ctx, ns, a, text), ota.KindInvalid, "invalid_entity")
		_, _, err := w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{a}, Description: text})
		wantKind(t, err, ota.KindInvalid, "invalid_entity")
	}
}

// The bytes are ours to keep, so a device or an operator is not told 404.
func TestBytesThatAreGoneAreDamage(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(o *fleet.Options) {
		var err error
		if o.Blobs, err = blob.Open(dir, blob.Options{}); err != nil {
			t.Fatal(err)
		}
	})
	a, car := w.publish("a=1", "one"), w.device("car")
	u := w.send(car, a)
	if err := os.RemoveAll(filepath.Join(dir, "sha256")); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.OpenArtifact(w.ctx, ns, a, "")
	wantKind(t, err, ota.KindCorrupt, "corrupt_blob")
	_, err = w.Uplink(car).Fetch(w.ctx, ota.FetchRequest{Update: u})
	wantKind(t, err, ota.KindCorrupt, "corrupt_blob")
	if w.update(car, u).Status != ota.Pending {
		t.Error("the update began without bytes")
	}
	if w.publish("a=1", "one"); w.fetch(car, u) != "one" {
		t.Error("publishing again does not heal")
	}
}

func TestOnlyTrustedKeysMayPublish(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *fleet.Options) { o.TrustedKeys = []ed25519.PublicKey{pub} })
	id := w.id("a=1")
	sums := ota.Sums{Size: 3, SHA256: "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"} // "one"
	good := sign.Sign(priv, id, sums)
	for name, n := range map[string]fleet.NewPackage{
		"unsigned":               {ID: id},
		"signed as another":      {ID: w.id("a=2"), Signature: good},
		"signed in another form": {ID: id, Signature: "-----BEGIN PGP SIGNATURE-----"},
	} {
		if _, err := w.PutPackage(w.ctx, ns, n, strings.NewReader("one")); ota.CodeOf(err) != "invalid_signature" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.PutPackage(w.ctx, ns, fleet.NewPackage{ID: id, Signature: good}, strings.NewReader("two")); ota.CodeOf(err) != "invalid_signature" {
		t.Error("other bytes under a good signature:", err)
	}
	if _, err := w.PutPackage(w.ctx, ns, fleet.NewPackage{ID: id, Signature: good}, strings.NewReader("one")); err != nil {
		t.Error(err)
	}
}

func TestOrder(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	a, b, c := w.send(car, w.publish("a=1", "")), w.send(car, w.publish("b=1", "")), w.send(car, w.publish("c=1", ""))
	for _, bad := range [][]ota.UpdateID{nil, {a, b}, {a, b, b}, {a, b, "x"}, {a, b, c, c}} {
		wantKind(t, w.Order(w.ctx, ns, car, bad), ota.KindInvalid, "invalid_entity")
	}
	if err := w.Order(w.ctx, ns, car, []ota.UpdateID{c, a, b}); err != nil {
		t.Fatal(err)
	}
	w.send(car, w.publish("d=1", ""))
	wantString(t, "offered", w.offered(car), "c=1 Pending, a=1 Pending, b=1 Pending, d=1 Pending")
	w.fetch(car, b)
	wantString(t, "offered", w.offered(car), "b=1 InFlight, c=1 Pending, a=1 Pending, d=1 Pending")
}

func TestUpdatesThatBelongTogetherShareRequestAndOrder(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	lib, app := w.publish("lib=2", ""), w.publish("app=2", "")
	us, _, err := w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{lib, app}, ID: "123e4567-e89b-12d3-a456-426655440000"})
	if err != nil || us[0].Request != us[1].Request || us[0].ID == us[1].ID || us[0].ID != "123e4567-e89b-12d3-a456-426655440000" {
		t.Fatalf("%+v, %v", us, err)
	}
	wantString(t, "offered", w.offered(car), "lib=2 Pending, app=2 Pending")
	both, err := w.Updates(w.ctx, ota.UpdateFilter{Namespace: ns, ID: us[0].ID})
	if err != nil || len(both) != 2 {
		t.Fatalf("%v, %v", both, err)
	}
	_, _, err = w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{app}, ID: us[0].ID})
	wantKind(t, err, ota.KindConflict, "conflicting_entity")
	_, _, err = w.Send(w.ctx, ns, fleet.Request{Device: car, Packages: []ota.PackageID{lib, w.id("none=1")}})
	wantKind(t, err, ota.KindNotFound, "missing_package")
	wantString(t, "half a request", w.offered(car), "lib=2 Pending, app=2 Pending")
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	p := w.publish("a=1", "a")
	waiting, running := w.send(car, p), w.send(car, p)
	w.fetch(car, running)
	wantKind(t, w.Cancel(w.ctx, ns, car, running), ota.KindConflict, "update_in_flight")
	if err := w.Cancel(w.ctx, ns, car, waiting); err != nil {
		t.Fatal(err)
	}
	wantKind(t, w.Cancel(w.ctx, ns, car, waiting), ota.KindNotFound, "missing_entity")
	wantKind(t, w.Cancel(w.ctx, ns, car, "none"), ota.KindNotFound, "missing_entity")
	if u := w.update(car, waiting); u.Status != ota.Canceled || u.Reason == "" {
		t.Fatalf("%+v", u)
	}
}

func TestInventoryIsReplacedAndToldOnce(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	inv := ota.Inventory{
		Packages: []ota.Installed{{PackageID: ota.PackageID{Name: "Movie&MusicPlayer", Version: "rc2-beta3"}}},
		Firmware: []ota.Firmware{{Module: "ecu1", ID: "f", LastModified: 1476000000}},
	}
	for range 2 {
		if err := w.Uplink(car).Installed(w.ctx, inv); err != nil {
			t.Fatal(err)
		}
	}
	wantString(t, "history", w.history(car), "DeviceCreated InventoryChanged")
	got, at, err := w.Inventory(w.ctx, ns, car)
	if err != nil || at.IsZero() || len(got.Packages) != 1 || got.Firmware[0] != inv.Firmware[0] {
		t.Fatalf("%+v, %v, %v", got, at, err)
	}
	bad := ota.Inventory{Packages: []ota.Installed{{PackageID: ota.PackageID{Name: "x"}}}}
	wantKind(t, w.Uplink(car).Installed(w.ctx, bad), ota.KindInvalid, "invalid_entity")
	if err := w.Uplink(car).Installed(w.ctx, ota.Inventory{}); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := w.Inventory(w.ctx, ns, car); len(got.Packages)+len(got.Firmware) != 0 {
		t.Fatalf("merged, not replaced: %+v", got)
	}
}

func TestSystemInfo(t *testing.T) {
	w := newWorld(t)
	car := w.device("car")
	if doc, err := w.SystemInfo(w.ctx, ns, car); doc != nil || err != nil {
		t.Fatalf("%s, %v", doc, err)
	}
	if err := w.Uplink(car).SystemInfo(w.ctx, []byte(`{"id": "host"}`)); err != nil {
		t.Fatal(err)
	}
	if doc, _ := w.SystemInfo(w.ctx, ns, car); string(doc) != `{"id": "host"}` {
		t.Fatalf("altered: %s", doc)
	}
	wantKind(t, w.Uplink(car).SystemInfo(w.ctx, []byte(`{`)), ota.KindInvalid, "invalid_entity")
	wantKind(t, w.Uplink(car).SystemInfo(w.ctx, make([]byte, fleet.MaxSystemInfo+1)), ota.KindTooLarge, "too_large")
}
