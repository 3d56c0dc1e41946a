package agent

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// What a server speaks of by itself.

func (w *world) notify(offers ...ota.Offer) {
	w.server.notices <- ota.Offered{Offers: offers}
	synctest.Wait()
}

func TestAToldUpdateBegins(t *testing.T) {
	for name, c := range map[string]struct {
		download, confirm bool
		begins            bool
	}{
		"by itself":              {download: true, begins: true},
		"when someone agrees":    {download: true, confirm: true},
		"when someone wants it":  {},
		"when someone does both": {confirm: true},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(w *world) {
				w.server.set(func(s *server) { s.poll = 0 })
				w.cfg.Device.AutoDownload = c.download
				o := w.server.add("u1", someBytes(1000))
				o.Description, o.Confirm = "maps", c.confirm
				w.start()
				w.notify(*o)
				told := []string{"AlreadyAuthenticated", "UpdateAvailable u1"}
				fetched := []string{"DownloadingUpdate u1", "DownloadComplete u1"}
				if c.begins {
					w.expect(append(told, fetched...)...)
					return
				}
				w.expect(told...)
				want := Available{Update: "u1", Signature: "sig", Description: "maps", Size: 1000, RequestConfirmation: c.confirm}
				if got := w.seen[1].(UpdateAvailable).Update; got != want {
					t.Errorf("%+v", got)
				}
				w.notify(*o)
				w.expect("UpdateAvailable u1") // each time
				w.do(StartDownload{"u1"})
				w.expect(fetched...)
			})
		})
	}
}

func TestAToldUpdateThatWasAgreedToGoesOn(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.failAlways("fetch", ota.Fail(ota.KindLocked, "not_sent", "later"))
		o := w.server.add("u1", someBytes(1000))
		o.Confirm = true
		w.start()
		w.notify(*o)
		w.do(StartDownload{"u1"})
		w.expect("AlreadyAuthenticated", "UpdateAvailable u1", "DownloadingUpdate u1", "Error HTTP client error: later")
		w.server.failAlways("fetch", nil)
		w.notify(*o)
		w.expect("UpdateAvailable u1", "DownloadingUpdate u1", "DownloadComplete u1")
	})
}

func TestAPackageThatIsThereIsNotOffered(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		o := w.server.add("u1", someBytes(1000))
		w.installer = &workshop{installed: []ota.PackageID{o.Package}}
		w.start()
		w.notify(*o)
		w.expect("AlreadyAuthenticated", "InstalledPackagesSent")
		other := w.server.add("0f3c2f0e-6a0b-4a0a-9d0b-7f3e0c9d1a11", someBytes(1000))
		other.Package = o.Package
		w.notify(*other)
		if got := w.events(); len(got) == 0 || got[0] != "UpdateAvailable 0f3c2f0e-6a0b-4a0a-9d0b-7f3e0c9d1a11" {
			t.Error("an update with an id of its own is waited for:", got)
		}
	})
}

func TestAnUpdateThatEndedIsToldOfAgain(t *testing.T) {
	for _, good := range []bool{true, false} {
		story(t, func(w *world) {
			w.server.set(func(s *server) { s.poll = 0 })
			shop := &workshop{}
			if !good {
				shop.outcome.Code = ota.InstallFailed
			}
			w.installer = shop
			o := w.server.add("u1", someBytes(1000))
			w.start()
			w.notify(*o)
			w.events()
			w.notify(*o)
			got := w.events()
			if good { // its report was lost
				if d := cmp.Diff([]string{"UpdateReportSent", "InstalledPackagesSent"}, got); d != "" {
					t.Error(d)
				}
				return
			}
			if len(got) < 2 || got[0] != "UpdateAvailable u1" || got[1] != "DownloadingUpdate u1" {
				t.Error("a failed one begins anew:", got)
			}
		})
	}
}

func TestWhatTheServerSaysOfAFileBeforeItComes(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		o := w.server.add("u1", someBytes(1000))
		o.Artifacts[0].Size, o.Artifacts[0].SHA256 = 35_768, "" // of all that the update needs
		w.start()
		w.notify(*o)
		w.expect("AlreadyAuthenticated", "UpdateAvailable u1", "DownloadingUpdate u1", "DownloadComplete u1")
	})
}

func TestAFileThatCannotBe(t *testing.T) {
	for want, err := range map[ota.ResultCode]error{
		ota.ValidationFailed: ota.Fail(ota.KindCorrupt, "checksum_mismatch", "checksums didn't match"),
		ota.DiskFull:         ota.Fail(ota.KindNoSpace, "no_space", "the disk has no room"),
	} {
		story(t, func(w *world) {
			w.server.add("u1", someBytes(1000))
			w.server.failAlways("fetch", err)
			w.start()
			w.do(GetUpdateRequests{})
			w.events()
			if r := w.server.reports; len(r) != 1 || r[0].Results[0].Code != want || r[0].Results[0].Text != err.Error() {
				t.Errorf("%+v", r)
			}
		})
	}
}
