package agent

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

func TestUpdateIsFetchedInstalledAndReported(t *testing.T) {
	story(t, func(w *world) {
		shop := &workshop{}
		w.installer = shop
		w.server.add("u1", someBytes(300_000))
		w.start()
		w.expect("AlreadyAuthenticated", "InstalledPackagesSent")
		w.pass(10 * time.Second)
		w.expect("UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1",
			"InstallingUpdate u1", "InstallComplete u1 OK", "UpdateReportSent", "InstalledPackagesSent")
		if diff := cmp.Diff([]string{"u1 OK"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
		if shop.runs != 1 || w.step("u1") != Reported {
			t.Errorf("%d installations, step %s", shop.runs, w.step("u1"))
		}
		if files := w.files(); len(files) > 0 {
			t.Errorf("left behind: %q", files)
		}
		last := w.server.installed[len(w.server.installed)-1]
		if len(last.Packages) != 1 || last.Packages[0].Name != "pkg-u1" {
			t.Errorf("the server was told of %v", last)
		}
		w.server.once(t, "u1")
		w.pass(10 * time.Second)
		w.expect("NoUpdateRequests")
	})
}

func TestWithoutPackageManagerTheInstallerActs(t *testing.T) {
	story(t, func(w *world) {
		content := someBytes(1000)
		w.server.add("u1", content)
		w.start()
		w.expect("AlreadyAuthenticated")
		w.pass(10 * time.Second)
		w.expect("UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1")
		done := w.seen[len(w.seen)-1].(DownloadComplete)
		if done.Image.Signature != "sig" || !strings.HasSuffix(done.Image.Path, "/packages/u1") || !bytes.Equal(w.image("u1"), content) {
			t.Errorf("image %+v", done.Image)
		}
		w.pass(10 * time.Second)
		w.expect("UpdatesReceived u1") // in flight, and the installer's
		if e := w.do(StartInstall{"u1"}); e.Name() != "Error" || w.step("u1") != Ready {
			t.Errorf("StartInstall: %v, step %s", e, w.step("u1"))
		}
		w.expect(line(Error{packageError + ": the package manager is off: an external installer installs"}))
		w.do(SendUpdateReport{ota.Outcome("u1", ota.FlashFailed, "no")})
		w.expect("UpdateReportSent")
		if diff := cmp.Diff([]string{"u1 FLASH_FAILED"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestImageIsAnnouncedAgainAfterARestart(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000))
		w.start()
		w.pass(10 * time.Second)
		w.stop()
		w.start()
		w.expect("AlreadyAuthenticated", "DownloadingUpdate u1", "DownloadComplete u1")
		w.server.once(t, "u1")
		w.do(SendUpdateReport{ota.Outcome("u1", ota.OK, "")})
		w.stop()
		w.start()
		w.expect("AlreadyAuthenticated")
	})
}

func TestInstallsFollowTheServersOrder(t *testing.T) {
	story(t, func(w *world) {
		w.installer = &workshop{}
		for _, id := range []string{"a", "b", "c"} {
			w.server.add(id, someBytes(100))
		}
		w.start()
		w.pass(10 * time.Second)
		var got []string
		for _, e := range w.events() {
			if strings.HasPrefix(e, "Download") || strings.HasPrefix(e, "Installing") {
				got = append(got, e)
			}
		}
		want := []string{"DownloadingUpdate a", "DownloadComplete a", "DownloadingUpdate b", "DownloadComplete b",
			"DownloadingUpdate c", "DownloadComplete c", "InstallingUpdate a", "InstallingUpdate b", "InstallingUpdate c"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestInstalledVersionIsReportedWithoutDownload(t *testing.T) {
	story(t, func(w *world) {
		o := w.server.add("u1", someBytes(100))
		o.Status = ota.InFlight
		w.installer = &workshop{installed: []ota.PackageID{o.Package}}
		w.start()
		w.pass(10 * time.Second)
		w.expect("AlreadyAuthenticated", "InstalledPackagesSent", "UpdatesReceived u1", "UpdateReportSent", "InstalledPackagesSent")
		if w.server.count("fetch") != 0 {
			t.Error("the image was fetched")
		}
	})
}

func TestFailedInstallIsReportedOnceAndNotRepeated(t *testing.T) {
	story(t, func(w *world) {
		shop := &workshop{outcome: Outcome{ota.InstallFailed, strings.Repeat("x", ota.MaxResultText) + "the end"}}
		w.installer = shop
		w.server.add("u1", someBytes(100))
		w.start()
		w.pass(10 * time.Second)
		w.server.set(func(s *server) { s.find("u1").ended = false }) // it goes on offering
		w.pass(time.Minute)
		if diff := cmp.Diff([]string{"u1 INSTALL_FAILED"}, w.server.codes()); diff != "" || shop.runs != 1 {
			t.Errorf("%d installations; %s", shop.runs, diff)
		}
		if text := w.server.reports[0].Results[0].Text; len(text) != ota.MaxResultText || !strings.HasSuffix(text, "the end") {
			t.Errorf("text of %d bytes", len(text))
		}
		if len(w.files()) != 1 {
			t.Errorf("files: %q", w.files())
		}
	})
}

func TestPendingUpdateWaitsForConsent(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(100)).Confirm = true
		w.start()
		w.pass(20 * time.Second)
		w.expect("AlreadyAuthenticated", "UpdateAvailable u1", "UpdatesReceived u1", "UpdatesReceived u1")
		w.do(StartDownload{"u1"})
		w.expect("DownloadingUpdate u1", "DownloadComplete u1")
	})
}

func TestManualPollingAsksOnlyWhenTold(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.start()
		w.pass(time.Hour)
		w.expect("AlreadyAuthenticated")
		if e := w.do(GetUpdateRequests{}); e != (NoUpdateRequests{}) {
			t.Errorf("%v", e)
		}
	})
}

func TestShutdownEndsRun(t *testing.T) {
	story(t, func(w *world) {
		w.start()
		if _, err := w.agent.Do(w.Context(), Shutdown{}); err != ErrStopped {
			t.Errorf("%v", err)
		}
		<-w.ended
		if _, err := w.agent.Do(w.Context(), GetUpdateRequests{}); err != ErrStopped {
			t.Errorf("after the end: %v", err)
		}
		w.expect("AlreadyAuthenticated")
		if _, _, err := w.sub.Next(w.Context()); err != ErrStopped {
			t.Errorf("subscription: %v", err)
		}
	})
}

func TestPanicInACommandIsAnError(t *testing.T) {
	story(t, func(w *world) {
		w.start()
		w.server.onCall(func(m string) {
			if m == "pending" {
				panic("boom")
			}
		})
		if e := w.do(GetUpdateRequests{}); !strings.Contains(line(e), "boom") {
			t.Errorf("%v", e)
		}
		w.server.onCall(func(string) {})
		if e := w.do(GetUpdateRequests{}); e != (NoUpdateRequests{}) {
			t.Errorf("%v", e)
		}
	})
}

func TestPollsThatComeDuringADownloadAreOneAfterIt(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000))
		w.server.onCall(func(m string) {
			if m == "fetch" {
				time.Sleep(35 * time.Second)
			}
		})
		w.start()
		w.pass(44 * time.Second)
		if n := w.server.count("pending"); n != 1 {
			t.Errorf("%d polls during the download", n)
		}
		w.pass(4 * time.Second)
		if n := w.server.count("pending"); n != 2 {
			t.Errorf("%d polls after it", n)
		}
		w.expect("AlreadyAuthenticated", "UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1", "UpdatesReceived u1")
	})
}

func TestEndedUpdateDoesNotStartAgain(t *testing.T) {
	story(t, func(w *world) {
		shop := &workshop{}
		w.installer = shop
		w.server.add("u1", someBytes(1000))
		w.start()
		w.pass(10 * time.Second)
		w.events()
		w.do(StartDownload{"u1"})
		w.do(StartInstall{"u1"})
		w.do(StartInstall{"u2"})
		w.expect("Error HTTP client error: update u1 has ended well already",
			"Error Package error: update u1 has ended well already",
			"Error Package error: update u2 is not downloaded")
		if shop.runs != 1 || w.server.count("fetch") != 1 {
			t.Errorf("%d installations, %d fetches", shop.runs, w.server.count("fetch"))
		}
	})
}

func TestListThatFailsIsAnErrorForTheAskerOnly(t *testing.T) {
	story(t, func(w *world) {
		w.installer = &workshop{listErr: errBroken}
		w.start()
		if e := w.do(ListInstalledPackages{}); line(e) != "Error Package error: 500" {
			t.Errorf("%v", e)
		}
		w.expect("AlreadyAuthenticated", "Error Package error: 500")
	})
}
