package rvi

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

var someText = []byte("0123456789abcdefghij!") // six chunks of four bytes, the last of one

func TestAnUpdateIsOfferedFetchedAndReported(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.size = 4
		f := newFile(unit, someText, 4)
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 35768))
		id := unit.ID()
		offer := ota.Offer{Update: id, Package: ghc, Status: ota.Pending, CreatedAt: time.Now(), UpdatedAt: time.Now(),
			Artifacts: []ota.Artifact{{Name: ota.DefaultArtifact, Sums: ota.Sums{Size: 35768}}}}
		if d := cmp.Diff([]ota.Notice{ota.Offered{Offers: []ota.Offer{offer}}}, v.notices()); d != "" {
			t.Error(d)
		}
		got := v.fetch(ota.FetchRequest{Update: id})
		v.expect(begin15())
		v.must(f.start)
		v.expect(ackOf())
		for i := range 6 {
			v.must(f.chunk(i + 1))
			if got.bytes.Len() != min(4*(i+1), 20) { // the last byte waits
				t.Errorf("%d bytes after chunk %d", got.bytes.Len(), i+1)
			}
		}
		v.expect(ackOf(1), ackOf(1, 2), ackOf(1, 2, 3), ackOf(1, 2, 3, 4), ackOf(1, 2, 3, 4, 5), ackOf(1, 2, 3, 4, 5, 6))
		select {
		case <-got.done:
			t.Fatal("it ends before finish")
		default:
		}
		v.must(f.finish())
		<-got.done
		if got.err != nil || !bytes.Equal(got.bytes.Bytes(), someText) {
			t.Errorf("%q %v", got.bytes.Bytes(), got.err)
		}
		if c := got.content; c.Size != -1 || c.Digest != f.start.SHA256 || c.Signature != "sig" || c.From != 0 {
			t.Errorf("%+v", c)
		}
		if d := cmp.Diff([]string{partName(unit)}, v.left()); d != "" {
			t.Error(d)
		}
		v.client.Release(id)
		if left := v.left(); left != nil {
			t.Error("released, and still there:", left)
		}
		if err := v.client.Report(t.Context(), ota.Outcome(id, ota.OK, "done")); err != nil {
			t.Error(err)
		}
		v.expect(report15(ota.OK, "done"))
		v.must(f.finish())
		v.expect(report15(ota.OK, "done"))
		if offers, err := v.client.Pending(t.Context()); len(offers) != 0 || err != nil {
			t.Error(offers, err)
		}
	})
}

func TestAFileWithTheWrongSumsEndsAsCorrupt(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.size = 4
		f := newFile(unit, someText, 4)
		f.bytes = bytes.ToUpper(f.bytes)
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 21))
		got := v.fetch(ota.FetchRequest{Update: unit.ID()})
		v.must(f.start)
		for i := range 6 {
			v.must(f.chunk(i + 1))
		}
		v.must(f.finish())
		<-got.done
		if ota.KindOf(got.err) != ota.KindCorrupt || got.err.Error() != MismatchText {
			t.Error(got.err)
		}
		if left := v.left(); left != nil {
			t.Error(left)
		}
		v.said()
		if err := v.client.Report(t.Context(), ota.Outcome(unit.ID(), ota.ValidationFailed, got.err.Error())); err != nil {
			t.Error(err)
		}
		v.expect(report15(ota.ValidationFailed, MismatchText))
	})
}

func TestAnEmptyFileFromBothKindsOfBackend(t *testing.T) {
	for _, original := range []bool{true, false} {
		inside(t, Dialect2015, func(v *vehicle) {
			f := newFile(unit, nil, ChunkSize)
			v.start()
			v.linked(true)
			v.must(notify15(ghc, 0))
			got := v.fetch(ota.FetchRequest{Update: unit.ID()})
			v.expect(begin15())
			if original {
				v.must(f.original())
				v.expect(ackOf())
				v.must(Chunk{Unit: unit, Index: 1, Bytes: []byte{}})
				v.expect(ackOf(1))
			} else {
				v.must(f.start)
				v.expect(ackOf())
			}
			v.must(f.finish())
			<-got.done
			if got.err != nil || got.bytes.Len() != 0 {
				t.Error(got.err, got.bytes.Len())
			}
		})
	}
}

func TestABackendThatDoesNotSend(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 21))
		var errs []ota.Kind
		begun := time.Now()
		for range 5 {
			got := v.fetch(ota.FetchRequest{Update: unit.ID()})
			<-got.done
			errs = append(errs, ota.KindOf(got.err))
			if errs[len(errs)-1] == ota.KindLocked {
				break
			}
		}
		if n := len(v.said()); n != Asks || time.Since(begun) != Asks*StartTimeout {
			t.Errorf("asked %d times in %s", n, time.Since(begun))
		}
		if d := cmp.Diff([]ota.Kind{ota.KindUnreachable, ota.KindUnreachable, ota.KindUnreachable, ota.KindUnreachable, ota.KindLocked}, errs); d != "" {
			t.Error(d)
		}
	})
}

func TestWhileTheLinkIsDownNothingIsTold(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 21))
		v.linked(false)
		time.Sleep(time.Minute)
		report := ota.Outcome(unit.ID(), ota.OK, "done")
		for range 2 {
			if err := v.client.Report(t.Context(), report); ota.KindOf(err) != ota.KindUnreachable {
				t.Error(err)
			}
		}
		if err := v.client.Installed(t.Context(), ota.Inventory{}); ota.KindOf(err) != ota.KindUnreachable {
			t.Error(err)
		}
		v.expect()
		v.linked(true)
		v.expect(report15(ota.OK, "done")) // at once, whatever its owner does
		if err := v.client.Report(t.Context(), report); err != nil {
			t.Error(err)
		}
		v.expect(report15(ota.OK, "done"))
	})
}

func TestAReportIsSentOnceMoreUnlessTheBackendWentOn(t *testing.T) {
	for _, heard := range []bool{true, false} {
		inside(t, Dialect2015, func(v *vehicle) {
			v.start()
			v.linked(true)
			if err := v.client.Report(t.Context(), ota.Outcome(unit.ID(), ota.OK, "done")); err != nil {
				t.Fatal(err)
			}
			v.expect(report15(ota.OK, "done"))
			if heard {
				v.must(GetPackages{})
				if d := cmp.Diff([]ota.Notice{ota.ListWanted{}}, v.notices()); d != "" {
					t.Error(d)
				}
			}
			v.stop() // it is remembered, too
			v.start()
			v.linked(true)
			if n := len(v.said()); n == 1 == heard {
				t.Errorf("after the backend spoke (%v): %d reports", heard, n)
			}
		})
	}
}

func TestAnAbortTakesEverythingBackButWhatIsBeingInstalled(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.size = 4
		other := ota.PackageID{Name: "other", Version: "1"}
		f, g := newFile(unit, someText, 4), newFile(Unit{Package: other}, someText[:4], 4)
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 21))
		v.must(notify15(other, 4))
		v.must(g.start)
		v.must(g.chunk(1))
		v.must(g.finish())
		got := v.fetch(ota.FetchRequest{Update: unit.ID()})
		v.must(f.start)
		v.must(f.chunk(1))
		v.said()
		v.notices()
		v.must(Abort{})
		if d := cmp.Diff([]ota.Notice{ota.Withdrawn{Update: unit.ID()}, ota.Withdrawn{Update: g.start.Unit.ID()}}, v.notices()); d != "" {
			t.Error(d)
		}
		<-got.done
		if ota.KindOf(got.err) != ota.KindUnavailable {
			t.Error(got.err)
		}
		if _, err := v.client.Fetch(t.Context(), ota.FetchRequest{Update: unit.ID()}); ota.KindOf(err) != ota.KindUnavailable {
			t.Error("no verdict on an update that was taken back:", err)
		}
		if d := cmp.Diff([]string{partName(g.start.Unit)}, v.left()); d != "" {
			t.Error(d)
		}
		if err := v.client.Report(t.Context(), ota.Outcome(g.start.Unit.ID(), ota.OK, "")); err != nil {
			t.Error(err)
		}
		if n := len(v.said()); n != 1 {
			t.Error(n, "messages")
		}
	})
}

func TestAPackageMayNeedConsent(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.linked(true)
		n := notify15(ghc, 4)
		n.Packages[0].Confirm = true
		v.must(n)
		if offers, _ := v.client.Pending(t.Context()); len(offers) != 1 || !offers[0].Confirm {
			t.Error(offers)
		}
	})
}

func TestAnUpdateIsOfferedTwice(t *testing.T) {
	update := Unit{Update: someUpdate}
	notify16 := Notify{Services: DefaultBackend(), Update: &OfferedUpdate{Update: someUpdate, Confirm: true, Description: "d", Size: 4}}
	inside(t, Dialect2016, func(v *vehicle) {
		v.start()
		v.linked(true)
		v.must(notify16)
		v.must(notify16)
		if offers, _ := v.client.Pending(t.Context()); len(offers) != 1 || !offers[0].Confirm || offers[0].Update != someUpdate {
			t.Error(offers)
		}
		v.notices()
		if err := v.client.Report(t.Context(), ota.Outcome(someUpdate, ota.FlashFailed, "no")); err != nil {
			t.Error(err)
		}
		v.said()
		v.must(notify16)
		own := Identity{Device: ownUUID}
		v.expect(Report{From: own, Unit: update, Results: []ota.OperationResult{{ID: someUpdate, Code: ota.FlashFailed, Text: "no"}}})
		if n := v.notices(); n != nil {
			t.Error("an update has an id of its own, and has ended:", n)
		}
	})
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 4))
		if err := v.client.Report(t.Context(), ota.Outcome(unit.ID(), ota.FlashFailed, "no")); err != nil {
			t.Error(err)
		}
		v.said()
		v.notices()
		v.must(notify15(ghc, 4))
		if n := v.notices(); len(n) != 1 {
			t.Error("a package that failed may be wanted once more:", n)
		}
		v.expect()
	})
}

func TestAPackageIsWantedAgainAfterAnother(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 4))
		if err := v.client.Report(t.Context(), ota.Outcome(unit.ID(), ota.OK, "done")); err != nil {
			t.Error(err)
		}
		v.said()
		v.notices()
		v.must(notify15(ghc, 4))
		v.expect(report15(ota.OK, "done")) // it was lost
		v.must(GetPackages{})
		v.notices()
		v.must(notify15(ghc, 4))
		v.expect()
		if n := v.notices(); len(n) != 1 {
			t.Error("it was heard, and the package is wanted once more:", n)
		}
	})
}

func TestAPackageThatIsDeclinedIsNotReported(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 4))
		if err := v.client.Report(t.Context(), ota.Outcome(unit.ID(), ota.UserDeclined, "")); err != nil {
			t.Error(err)
		}
		v.expect()
		if offers, _ := v.client.Pending(t.Context()); len(offers) != 0 {
			t.Error(offers)
		}
	})
}

func TestPackagesInTheDialectOfTheLastNotify(t *testing.T) {
	inv := ota.Inventory{Packages: []ota.Installed{{PackageID: ghc}}, Firmware: []ota.Firmware{{Module: "m", ID: "f", LastModified: 7}}}
	notify16 := Notify{Services: DefaultBackend(), Update: &OfferedUpdate{Update: someUpdate}}
	for _, c := range []struct {
		own    Dialect
		notify *Notify
		want   Dialect
	}{
		{Dialect2015, nil, Dialect2015},
		{Dialect2015, &notify16, Dialect2016a},
		{Dialect2016, nil, Dialect2016},
		{Dialect2016, &notify16, Dialect2016},
	} {
		inside(t, c.own, func(v *vehicle) {
			v.start()
			v.linked(true)
			if c.notify != nil {
				v.must(*c.notify)
			}
			if err := v.client.Installed(t.Context(), inv); err != nil {
				t.Error(err)
			}
			m := v.said()[0].(Packages)
			if m.Form != c.want || m.From != v.opt.Identity() || m.Packages[0].PackageID != ghc || len(m.Firmware) == 1 != (c.want != Dialect2015) {
				t.Errorf("%v: %+v", c, m)
			}
		})
	}
}

func TestANotifyMustNotNameTheVehicleItself(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		n := notify15(ghc, 4)
		n.Services.Report = own15.Prefix() + "sota/report"
		if err := v.tell(n); ota.CodeOf(err) != "service_prefix_mismatch" {
			t.Error(err)
		}
		if n := v.notices(); n != nil {
			t.Error(n)
		}
	})
}

func TestDirectoriesThatAreNotOurs(t *testing.T) {
	v := newVehicle(t, Dialect2015)
	v.start()
	if _, err := NewClient(v.opt); err == nil {
		t.Error("two clients in one directory")
	}
	v.stop()
}

// What was accepted just before the backend went away is asked for anew when it
// is back, not when time is up.
func TestWhatIsWantedIsAskedForAgainAfterABreak(t *testing.T) {
	inside(t, Dialect2015, func(v *vehicle) {
		v.start()
		v.linked(true)
		v.must(notify15(ghc, 21))
		got := v.fetch(ota.FetchRequest{Update: unit.ID()})
		first := v.said()
		v.linked(false)
		v.linked(true)
		if d := cmp.Diff(first, v.said()); d != "" || len(first) != 1 || first[0].Service() != ServiceStart {
			t.Errorf("first %v, then %s", first, d)
		}
		v.linked(false)
		<-got.done
	})
}
