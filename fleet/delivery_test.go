package fleet_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// node registers a constrained device of a board's class.
func (w *world) node(b *board, name string) ota.DeviceID {
	w.t.Helper()
	d, _, err := w.AddConstrained(w.ctx, ns, fleet.NewConstrained{
		NewDevice: fleet.NewDevice{Name: name}, Constrained: ota.Constrained{Vendor: "example.org", Class: b.class},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return d.ID
}

// release publishes an image with the manifest for it.
func (w *world) release(b *board, id string, sequence uint64, image string) ota.PackageID {
	w.t.Helper()
	n := fleet.Publication{ID: id, Files: []ota.Artifact{w.file("file1", image), w.file("manifest", b.manifest(sequence, "file1", image))}}
	out, err := w.Publish(w.ctx, ns, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Package.ID
}

// desired is what a device is to install now, and why it is not told of it.
func (w *world) desired(d ota.DeviceID) string {
	w.t.Helper()
	got, err := w.Uplink(d).Desired(w.ctx, "")
	if err != nil {
		w.t.Fatal(err)
	}
	if got.None {
		return "nothing"
	}
	return strings.Join(append([]string{got.Update.Package.String()}, got.Withheld...), ": ")
}

func TestOnlyWhatCanBeInstalledIsSent(t *testing.T) {
	b, other, stranger := newBoard(t), newBoard(t), newBoard(t)
	other.class, other.signer = "board-2", b.signer
	w := newWorld(t, withSUIT(b))
	lamp, heater, car := w.node(b, "lamp"), w.node(other, "heater"), w.device("car")
	if _, err := w.publishFile(fleet.Publication{ID: "app"}, "manifest", b.manifest(3, "file1", "image")); err != nil {
		t.Fatal(err)
	}
	early := w.id("app=r1")
	events := w.lastEvent()
	try := func(d ota.DeviceID, ids ...ota.PackageID) error {
		_, _, err := w.Send(w.ctx, ns, fleet.Request{Device: d, Packages: ids})
		return err
	}
	wantRefusal(t, try(lamp, early), "app=r1: manifest: file1 is not stored here")
	wantRefusal(t, try(heater, early), "file1 is not stored here", "app=r1: manifest: it is for other devices than those of vendor example.org and class board-2")
	if w.lastEvent() != events || w.desired(lamp) != "nothing" {
		t.Error("something was queued")
	}
	w.send(car, early) // no manifest means anything to it
	if _, err := w.publishFile(fleet.Publication{ID: "app", Force: true}, "manifest", stranger.manifest(3, "file1", "image")); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, try(lamp, early, w.id("app=r2")), "app=r1: manifest: file1", "app=r2: manifest: no signature is by a trusted key", "app=r2: manifest: file1")
	wantKind(t, try(lamp, w.id("app=r9")), ota.KindNotFound, "missing_package")

	// Once the file is there it can be sent, and nothing but the manifest counts.
	good := w.release(b, "good", 4, "image")
	w.send(lamp, good)
	wantString(t, "desired", w.desired(lamp), "good=r1")
	w.puts(fleet.Publication{ID: "plain"}, "image:bytes", "plain=r1 image")
	w.send(heater, w.id("plain=r1"))
	wantString(t, "without a manifest", w.desired(heater), "plain=r1")
}

func TestWhatIsSentByForce(t *testing.T) {
	b := newBoard(t)
	w := newWorld(t, withSUIT(b))
	lamp := w.node(b, "lamp")
	w.ctx = ota.WithActor(w.ctx, "operator")
	if _, err := w.publishFile(fleet.Publication{ID: "app"}, "manifest", b.manifest(3, "file1", "image")); err != nil {
		t.Fatal(err)
	}
	good := w.release(b, "good", 4, "image")
	us, _, err := w.Send(w.ctx, ns, fleet.Request{Device: lamp, Packages: []ota.PackageID{w.id("app=r1"), good}, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if us[0].Forced != "manifest: file1 is not stored here" || us[1].Forced != "" {
		t.Errorf("%+v", us)
	}
	if kept, err := w.Updates(w.ctx, ota.UpdateFilter{Namespace: ns, Device: lamp}); err != nil || kept[0].Forced != us[0].Forced {
		t.Errorf("%+v, %v", kept, err)
	}
	wantString(t, "it is told all the same", w.desired(lamp), "app=r1")
	told := w.eventsSince(0, ota.PackageForced)
	if len(told) != 1 || !strings.Contains(told[0], `"doing":"send"`) || !strings.Contains(told[0], `"by":"operator"`) || !strings.Contains(told[0], "not stored here") {
		t.Errorf("told %q", told)
	}
}

// A device refuses what is older than what it has, and its queue would be
// blocked: it is not sent, unless an operator insists.
func TestWhatIsOlderThanWhatADeviceHasIsNotSent(t *testing.T) {
	b := newBoard(t)
	w := newWorld(t, withSUIT(b))
	lamp, fresh := w.node(b, "lamp"), w.node(b, "fresh")
	old, current := w.release(b, "old", 1, "image 1"), w.release(b, "current", 2, "image 2")
	u := w.send(lamp, old) // before it tells
	two := uint64(2)
	if err := w.Uplink(lamp).Tell(w.ctx, fleet.State{Sequence: &two}); err != nil {
		t.Fatal(err)
	}
	wantString(t, "what waits is told", w.desired(lamp), "old=r1")
	if err := w.Cancel(w.ctx, ns, lamp, u); err != nil {
		t.Fatal(err)
	}

	try := func(force bool, ids ...ota.PackageID) ([]ota.Update, error) {
		us, _, err := w.Send(w.ctx, ns, fleet.Request{Device: lamp, Packages: ids, Force: force})
		return us, err
	}
	const reason = "manifest: its sequence number 1 is below 2, which lamp has installed"
	_, err := try(false, current, old)
	wantRefusal(t, err, "old=r1: "+reason)
	wantString(t, "nothing is queued", w.desired(lamp), "nothing")
	w.send(fresh, old) // the same class, and nothing installed
	us, err := try(true, old)
	if err != nil || us[0].Forced != reason {
		t.Fatalf("%+v, %v", us, err)
	}
	wantString(t, "told all the same", w.desired(lamp), "old=r1")
	w.send(lamp, current) // the same again harms nobody
}

// Between sending and telling, files may go or be replaced: a manifest that no
// device could carry out any more is not told.
func TestFilesThatGoWhileAnUpdateWaits(t *testing.T) {
	b := newBoard(t)
	w := newWorld(t, withSUIT(b))
	lamp := w.node(b, "lamp")
	old := w.release(b, "app", 3, "image 3")
	u := w.send(lamp, old)
	other := w.release(b, "other", 4, "image")
	next := w.send(lamp, other)
	wantString(t, "first", w.desired(lamp), "app=r1")
	w.puts(fleet.Publication{ID: "app"}, "file1:new", "app=r2 file1 manifest") // is what file1 means now
	wantString(t, "then the next one", w.desired(lamp), "other=r1")
	got := w.update(lamp, u)
	if got.Status != ota.Failed || !strings.HasPrefix(got.Reason, "not deliverable any more: manifest: file1 ") {
		t.Errorf("%+v", got)
	}
	if s, err := w.Device(w.ctx, ns, lamp); err != nil || s.Block.Blocked() {
		t.Errorf("it is not the device's fault: %+v, %v", s, err)
	}

	// One that is under way is not told anew, but may yet end well.
	if err := w.Uplink(lamp).Begin(w.ctx, next); err != nil {
		t.Fatal(err)
	}
	w.puts(fleet.Publication{ID: "other"}, "file1:new", "other=r2 file1 manifest")
	if got := w.desired(lamp); !strings.HasPrefix(got, "other=r1: manifest: file1 ") {
		t.Errorf("desired %s", got)
	}
	if err := w.Unpublish(w.ctx, ns, "other", "r2"); err != nil {
		t.Fatal(err)
	}
	wantString(t, "as it was", w.desired(lamp), "other=r1")
	if err := w.Uplink(lamp).Sent(w.ctx, next); err != nil {
		t.Fatal(err)
	}
	w.puts(fleet.Publication{ID: "other"}, "file1:newer", "other=r2 file1 manifest")
	wantString(t, "it has everything", w.desired(lamp), "other=r1")
	w.report(lamp, next, ota.OK, "")
	wantString(t, "in the end", string(w.update(lamp, next).Status)+" "+w.desired(lamp), "Finished nothing")
}

// What no device takes, as nobody it trusts has signed it, is not what a class
// was given: were it so, a mistake would bar every release after it.
func TestABadManifestThatWasForcedBarsNothing(t *testing.T) {
	b, stranger := newBoard(t), newBoard(t)
	w := newWorld(t, withSUIT(b))
	w.release(b, "app", 5, "image 5")
	n := fleet.Publication{ID: "app", Force: true}
	if _, err := w.publishFile(n, "manifest", stranger.manifest(1<<40, "file1", "image")); err != nil {
		t.Fatal(err)
	}
	w.release(b, "app", 6, "image 6")

	// One that is good but for its files counts: they may come yet.
	if _, err := w.publishFile(n, "manifest", b.manifest(9, "file1", "another image")); err != nil {
		t.Fatal(err)
	}
	_, err := w.publishFile(fleet.Publication{ID: "app"}, "manifest", b.manifest(8, "file1", "image 6"))
	wantRefusal(t, err, "not above 9")
}

// Where trusted keys must have signed what is sent, no operator can insist.
func TestWhatNobodyTrustedSignedIsNotSentByForce(t *testing.T) {
	b := newBoard(t)
	w := newWorld(t, withSUIT(b), withDevices(&devices{}), func(o *fleet.Options) { o.TrustedKeys = []ed25519.PublicKey{make([]byte, ed25519.PublicKeySize)} })
	lamp, car := w.node(b, "lamp"), w.device("car")
	w.puts(fleet.Publication{ID: "image"}, "f:f", "image=r1 f")
	for _, d := range []ota.DeviceID{lamp, car} {
		_, _, err := w.Send(w.ctx, ns, fleet.Request{Device: d, Packages: []ota.PackageID{w.id("image=r1")}, Force: true})
		wantRefusal(t, err, "image=r1: ")
	}
	if _, err := w.publishFile(fleet.Publication{ID: "app"}, "manifest", b.manifest(3, "file1", "image")); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.Send(w.ctx, ns, fleet.Request{Device: lamp, Packages: []ota.PackageID{w.id("app=r1")}, Force: true})
	if err != nil { // it is signed, and lacks only a file
		t.Error(err)
	}
}

// Addresses say nothing of who is there: some device must be what a manifest
// is for, if any is known.
func TestNobodyIsToldOfWhatIsForNobody(t *testing.T) {
	b, other := newBoard(t), newBoard(t)
	other.class, other.signer = "board-2", b.signer
	w := newWorld(t, withSUIT(b), withDevices(&devices{}))
	w.release(b, "app", 3, "image")
	w.node(other, "heater")
	n := fleet.Notification{ID: "app", Scheme: ota.SchemeAuto, Targets: []string{"host/url"}}
	_, err := w.Notify(w.ctx, ns, n)
	wantRefusal(t, err, "manifest: no device is known")
	w.node(b, "lamp")
	synctest.Test(t, func(t *testing.T) {
		if _, err := w.Notify(t.Context(), ns, n); err != nil {
			t.Error(err)
		}
	})
}
