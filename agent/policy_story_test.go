package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/updraft-ota/updraft/ota"
)

// Stories begin on Saturday, 1 January 2000, at midnight in Greenwich.

// shut has the device install from 22:00 to 23:00 UTC only.
func (w *world) shut() {
	w.cfg.Policy.Timezone, w.cfg.Policy.InstallWindows = "UTC", windows(w.T, "22:00-23:00")
}

// some returns the events whose names begin so.
func (w *world) some(prefixes ...string) []string {
	w.Helper()
	return slices.DeleteFunc(w.events(), func(e string) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(e, p) })
	})
}

// expectSome compares them with what should be there.
func (w *world) expectSome(prefix string, want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.some(strings.Split(prefix, "|")...), cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestInstallationsWaitForTheirWindow(t *testing.T) {
	story(t, func(w *world) {
		w.shut()
		w.installer = &workshop{}
		w.server.add("u1", someBytes(100))
		w.server.add("u2", someBytes(100))
		w.start()
		w.pass(22*time.Hour - time.Second)
		w.expectSome("Download|Install", "InstalledPackagesSent",
			"DownloadingUpdate u1", "DownloadComplete u1", "DownloadingUpdate u2", "DownloadComplete u2")
		w.pass(time.Second)
		w.expectSome("Installing", "InstallingUpdate u1", "InstallingUpdate u2")
		if diff := cmp.Diff([]string{"u1 OK", "u2 OK"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWindowThatShutsBetweenTwoInstallations(t *testing.T) {
	story(t, func(w *world) {
		w.shut()
		w.server.set(func(s *server) { s.poll = 0 })
		w.installer = &workshop{after: func(img Image) {
			if img.Update == "u1" {
				time.Sleep(2 * time.Hour)
			}
		}}
		w.server.add("u1", someBytes(100))
		w.server.add("u2", someBytes(100))
		w.start()
		w.do(GetUpdateRequests{})
		w.pass(45 * time.Hour)
		w.expectSome("Installing", "InstallingUpdate u1")
		w.pass(time.Hour)
		w.expectSome("Installing", "InstallingUpdate u2")
	})
}

func TestSomebodysStartInstallNeedsNoWindow(t *testing.T) {
	story(t, func(w *world) {
		w.shut()
		w.installer = &workshop{}
		w.server.add("u1", someBytes(100))
		w.start()
		w.pass(time.Minute)
		if e := w.do(StartInstall{"u1"}); line(e) != "InstallComplete u1 OK" {
			t.Errorf("%v", e)
		}
	})
}

func TestInstallationCutShortIsFinishedOutsideOfTheWindow(t *testing.T) {
	story(t, func(w *world) {
		w.shut()
		died := false
		w.installer = &workshop{before: func(Image) {
			if !died {
				died = true
				runtime.Goexit()
			}
		}}
		w.server.add("u1", someBytes(100))
		w.start()
		w.pass(23 * time.Hour)
		w.stop()
		w.start()
		w.expectSome("Install", "InstallingUpdate u1", "InstallComplete u1 OK", "InstalledPackagesSent", "InstalledPackagesSent")
	})
}

// A device starts in 1970, learns the time from a server, and has its clock
// set in the end.
func TestWindowOfADeviceWhoseClockIsWrong(t *testing.T) {
	story(t, func(w *world) {
		w.shut()
		start := time.Now()
		wrong := true
		w.wall = func() time.Time {
			if wrong {
				return time.Unix(0, 0).Add(time.Since(start))
			}
			return time.Now()
		}
		w.built = start.Add(-1000 * time.Hour)
		w.installer = &workshop{}
		w.server.add("u1", someBytes(100))
		w.start()
		w.agent.clock.Learn(start.Add(21 * time.Hour)) // it is 21:00, says the server
		w.pass(59 * time.Minute)
		w.expectSome("Installing")
		w.pass(2 * time.Minute)
		w.expectSome("Installing", "InstallingUpdate u1")
		w.pass(time.Hour)
		w.server.add("u2", someBytes(100))
		w.pass(time.Hour)
		w.order()
		wrong = false // the server was wrong too: it is 03:01
		w.pass(18*time.Hour + 58*time.Minute)
		w.expectSome("Installing")
		w.pass(time.Minute)
		w.expectSome("Installing", "InstallingUpdate u2")
	})
}

// hook writes a program that allows downloads while a file is there.
func hook(t *testing.T) (program string, allow func(bool)) {
	file := filepath.Join(t.TempDir(), "allowed")
	return script(t, "test -e "+file), func(yes bool) {
		if !yes {
			os.Remove(file)
		} else if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDownloadsWaitForAnotherNetwork(t *testing.T) {
	story(t, func(w *world) {
		program, allow := hook(t)
		w.cfg.Policy.MeteredHook = program
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.add("u1", someBytes(100))
		w.start()
		w.do(GetUpdateRequests{})
		w.pass(time.Hour)
		w.expectSome("Download")
		if n := w.server.count("pending"); n < 8 || n > 30 {
			t.Errorf("%d polls in an hour", n)
		}
		allow(true)
		w.pass(10 * time.Minute)
		w.expectSome("Download", "DownloadingUpdate u1", "DownloadComplete u1")
	})
}

func TestNetworkThatBecomesMeteredEndsADownloadForNow(t *testing.T) {
	story(t, func(w *world) {
		program, allow := hook(t)
		allow(true)
		w.cfg.Policy.MeteredHook = program
		w.server.add("u1", someBytes(1_000_000))
		w.server.set(func(s *server) { s.slow = 25 * time.Second })
		w.start()
		w.pass(time.Minute)
		allow(false)
		w.pass(time.Minute)
		got := w.some("Download", "Error")
		if len(got) != 2 || !strings.HasPrefix(got[1], "Error Policy: the download of update u1 waits") || w.step("u1") != Downloading {
			t.Errorf("%q, step %s", got, w.step("u1"))
		}
		allow(true)
		w.pass(15 * time.Minute)
		w.expectSome("Download", "DownloadingUpdate u1", "DownloadComplete u1")
		w.server.once(t, "u1")
	})
}

func TestSomebodysStartDownloadNeedsNoHook(t *testing.T) {
	story(t, func(w *world) {
		w.cfg.Policy.MeteredHook = "/nowhere"
		w.server.add("u1", someBytes(100))
		w.start()
		w.pass(time.Minute)
		if e := w.do(StartDownload{"u1"}); line(e) != "DownloadComplete u1" {
			t.Errorf("%v", e)
		}
	})
}

func TestConsentIsAskedForUntilItIsGiven(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		shop := &workshop{}
		w.installer = shop
		w.server.add("u1", someBytes(1000)).Confirm = true
		w.server.add("u2", someBytes(100))
		w.start()
		w.do(GetUpdateRequests{})
		w.pass(time.Hour)
		w.expectSome("Update|Download|Installing", "UpdateAvailable u1", "UpdatesReceived u1 u2", "DownloadingUpdate u2",
			"DownloadComplete u2", "InstallingUpdate u2", "UpdateReportSent") // what waits for a user holds nothing back
		w.stop()
		w.start()
		w.expectSome("UpdateAvailable|Download", "UpdateAvailable u1")
		w.server.failAlways("fetch", errAway)
		if e := w.do(StartDownload{"u1"}); e.Name() != "Error" {
			t.Errorf("%v", e)
		}
		w.stop()
		w.server.failAlways("fetch", nil)
		w.start() // and the consent is remembered
		w.expectSome("Update|Download|Installing", "UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1",
			"InstallingUpdate u1", "UpdateReportSent")
		if shop.runs != 2 {
			t.Errorf("%d installations", shop.runs)
		}
	})
}

func TestConsentThatIsRefused(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000)).Confirm = true
		w.start()
		w.pass(time.Minute)
		w.do(SendUpdateReport{ota.Outcome("u1", ota.UserDeclined, "not now")})
		w.events()
		w.server.set(func(s *server) { s.find("u1").ended = false }) // it goes on offering
		w.stop()
		w.start()
		w.pass(time.Hour)
		w.expectSome("UpdateAvailable|Download")
		if diff := cmp.Diff([]string{"u1 USER_DECLINED"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestConsentIsAskedForAtStartAlsoIfTheServerIsAway(t *testing.T) {
	story(t, func(w *world) {
		w.withAuth("right")
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.add("u1", someBytes(1000)).Confirm = true
		w.start()
		w.do(GetUpdateRequests{})
		w.stop()
		w.server.failAlways("pending", errAway)
		w.auth.(*gate).err = errAway
		w.start()
		w.pass(time.Hour)
		w.expectSome("UpdateAvailable")
		w.server.failAlways("pending", nil)
		w.auth.(*gate).err = nil
		w.pass(10 * time.Minute)
		w.expectSome("UpdateAvailable", "UpdateAvailable u1")
	})
}

func TestConsentGivenWithoutATokenIsKept(t *testing.T) {
	story(t, func(w *world) {
		g := w.withAuth("right")
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.add("u1", someBytes(1000)).Confirm = true
		w.start()
		w.do(GetUpdateRequests{})
		g.err = errAway
		w.server.failNext("pending", errToken)
		w.do(GetUpdateRequests{})
		if e := w.do(StartDownload{"u1"}); e != (NotAuthenticated{}) {
			t.Errorf("%v", e)
		}
		w.stop()
		w.start()
		w.pass(time.Hour)
		w.order()
		g.err = nil
		w.pass(10 * time.Minute)
		w.expectSome("UpdateAvailable|Download", "DownloadingUpdate u1", "DownloadComplete u1")
	})
}

func TestConsentIsToOneContent(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000)).Confirm = true
		w.server.failAlways("fetch", errAway)
		w.start()
		w.pass(10 * time.Second)
		w.do(StartDownload{"u1"})
		w.server.remove("u1")
		w.server.add("u1", someBytes(2000)).Confirm = true
		w.server.failAlways("fetch", nil)
		w.pass(10 * time.Minute)
		w.expectSome("UpdateAvailable|DownloadComplete", "UpdateAvailable u1", "UpdateAvailable u1")
		w.do(StartDownload{"u1"})
		if len(w.image("u1")) != 2000 {
			t.Errorf("%q", w.events())
		}
	})
}

func TestDownloadBegunByHandGoesOnByItself(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.cfg.Device.AutoDownload = false
		w.server.add("u1", someBytes(1000))
		w.start()
		w.do(GetUpdateRequests{})
		w.pass(time.Hour)
		w.expectSome("Download")
		w.server.failAlways("fetch", errAway)
		w.do(StartDownload{"u1"})
		w.server.failAlways("pending", errAway)
		w.pass(time.Hour)
		if n := w.server.count("pending"); n > 30 {
			t.Errorf("%d polls in an hour", n)
		}
		w.server.failAlways("pending", nil)
		w.server.failAlways("fetch", nil)
		w.pass(10 * time.Minute)
		if w.step("u1") != Ready {
			t.Errorf("step %s: %q", w.step("u1"), w.events())
		}
	})
}

// Three updates, of which something befalls the first.
func TestInstallationsKeepTheServersOrder(t *testing.T) {
	for name, c := range map[string]struct {
		befalls func(w *world)
		want    []string
	}{
		"its download ends last": {func(w *world) { w.server.failAlways("fetch a", nil) },
			[]string{"InstallingUpdate a", "InstallingUpdate b", "InstallingUpdate c"}},
		"its download fails": {func(w *world) {
			w.server.failAlways("fetch a", ota.MissingUpdate("a"))
		}, []string{"InstallingUpdate b", "InstallingUpdate c"}},
		"it is withdrawn": {func(w *world) { w.server.remove("a") },
			[]string{"InstallingUpdate b", "InstallingUpdate c"}},
		"it is withdrawn by a notice": {func(w *world) { w.server.notices <- ota.Withdrawn{Update: "a"} },
			[]string{"InstallingUpdate b", "InstallingUpdate c"}},
		"somebody reports on it": {func(w *world) { w.do(SendUpdateReport{ota.Outcome("a", ota.UserDeclined, "")}) },
			[]string{"InstallingUpdate b", "InstallingUpdate c"}},
		"its place is the last now": {func(w *world) {
			w.server.set(func(s *server) { slices.Reverse(s.updates) })
			w.server.failAlways("fetch a", nil)
		}, []string{"InstallingUpdate c", "InstallingUpdate b", "InstallingUpdate a"}},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(w *world) {
				w.server.set(func(s *server) { s.poll = 15 * time.Minute })
				w.installer = &workshop{}
				for _, id := range []string{"a", "b", "c"} {
					w.server.add(id, someBytes(100)).Pos = 0 // a server that cannot count
				}
				w.server.failAlways("fetch a", errAway)
				w.start()
				w.do(GetUpdateRequests{})
				w.pass(10 * time.Minute)
				if w.step("b") != Ready || w.step("c") != Ready {
					t.Fatalf("b %s, c %s: %q", w.step("b"), w.step("c"), w.events())
				}
				w.expectSome("Installing")
				c.befalls(w)
				w.pass(20 * time.Minute)
				w.expectSome("Installing", c.want...)
			})
		})
	}
}

func TestFailedInstallationIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		tries uint32
		code  ota.ResultCode
		good  int // the try that succeeds
		runs  int
		want  string
	}{
		{1, ota.InstallFailed, 2, 1, "u1 INSTALL_FAILED"},
		{3, ota.InstallFailed, 3, 3, "u1 OK"},
		{3, ota.DiskFull, 4, 3, "u1 DISK_FULL"},
		{3, ota.DependencyFailure, 2, 1, "u1 DEPENDENCY_FAILURE"},
	} {
		t.Run(fmt.Sprintf("%d tries, %s", c.tries, c.code), func(t *testing.T) {
			story(t, func(w *world) {
				w.cfg.Policy.InstallTries = c.tries
				shop := &workshop{outcome: Outcome{c.code, "no"}}
				shop.before = func(img Image) {
					if left, err := os.ReadDir(img.WorkDir); err != nil || len(left) > 0 {
						t.Errorf("an earlier try left %v, %v", left, err)
					}
					if err := os.WriteFile(filepath.Join(img.WorkDir, "output"), nil, 0o600); err != nil {
						t.Error(err)
					}
					if shop.runs == c.good-1 {
						shop.outcome = Outcome{Code: ota.OK}
					}
				}
				w.installer = shop
				w.server.add("u1", someBytes(100))
				w.server.add("u2", someBytes(100))
				w.start()
				w.pass(11 * time.Second) // the first try is over, and its delay has begun
				w.stop()
				w.start()
				w.pass(time.Minute)
				codes := w.server.codes()
				if len(codes) != 2 || codes[0] != c.want {
					t.Errorf("%q, want %s: %q", codes, c.want, w.events())
				}
			})
		})
	}
}

func TestInstallerThatEndsTheClientEachTimeIsGivenUp(t *testing.T) {
	story(t, func(w *world) {
		calls := 0
		w.installer = &workshop{before: func(Image) { calls++; runtime.Goexit() }}
		w.server.add("u1", someBytes(100))
		for range 2 * maxInterrupted {
			w.start()
			w.pass(time.Minute)
			w.stop()
		}
		if diff := cmp.Diff([]string{"u1 INSTALL_FAILED"}, w.server.codes()); diff != "" || calls != 1+maxInterrupted {
			t.Errorf("%d calls; %s", calls, diff)
		}
	})
}

// An installer that panics is tried again as well, and given up as well.
func TestInstallerThatPanicsIsGivenUp(t *testing.T) {
	story(t, func(w *world) {
		calls := 0
		w.installer = &workshop{before: func(Image) { calls++; panic("ouch") }}
		w.server.add("u1", someBytes(100))
		w.start()
		w.pass(12 * time.Hour)
		if diff := cmp.Diff([]string{"u1 INSTALL_FAILED"}, w.server.codes()); diff != "" || calls != 1+maxInterrupted {
			t.Errorf("%d calls; %s", calls, diff)
		}
	})
}

func TestLostImageIsFetchedAgainWithoutAPoll(t *testing.T) {
	story(t, func(w *world) {
		w.shut()
		w.server.set(func(s *server) { s.poll = 0 })
		w.installer = &workshop{}
		w.server.add("u1", someBytes(100))
		w.start()
		w.do(GetUpdateRequests{})
		if err := os.Remove(filepath.Join(w.cfg.Device.PackagesDir, "u1")); err != nil {
			t.Fatal(err)
		}
		w.pass(22*time.Hour + time.Minute)
		if diff := cmp.Diff([]string{"u1 OK"}, w.server.codes()); diff != "" {
			t.Errorf("%s\n%q", diff, w.events())
		}
	})
}
