package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

var (
	errAway   = ota.Fail(ota.KindUnreachable, "unreachable", "the server does not answer")
	errBroken = ota.Fail(ota.KindInternal, "internal", "500")
)

func TestReportSurvivesRestarts(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(100))
		w.installer = &workshop{}
		w.server.failAlways("report", errAway)
		w.start()
		w.pass(10 * time.Second)
		if e := w.events(); !strings.HasPrefix(e[len(e)-1], "Error HTTP client error: the report of update u1 waits") {
			t.Errorf("%q", e)
		}
		w.stop()
		w.start()
		w.pass(time.Minute)
		if w.step("u1") != Concluded {
			t.Fatalf("step %s", w.step("u1"))
		}
		w.server.failAlways("report", nil)
		w.pass(5 * time.Minute)
		if diff := cmp.Diff([]string{"u1 OK"}, w.server.codes()); diff != "" || w.step("u1") != Reported {
			t.Errorf("step %s; %s", w.step("u1"), diff)
		}
		if n := w.server.count("report"); n > 20 {
			t.Errorf("%d tries", n)
		}
	})
}

func TestReportsKeepTheirOrder(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.failAlways("report", errAway)
		w.start()
		var want []string
		for i := range 12 {
			id := ota.UpdateID(fmt.Sprint("u", i))
			w.do(SendUpdateReport{ota.Outcome(id, ota.OK, "")})
			want = append(want, fmt.Sprintf("%s OK", id))
		}
		w.stop()
		w.server.failAlways("report", nil)
		w.start()
		w.pass(time.Minute)
		if diff := cmp.Diff(want, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReportTheServerCannotProcessHoldsNoOtherBack(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.failNext("report", errBroken, errBroken)
		w.start()
		w.do(SendUpdateReport{ota.Outcome("bad", ota.FlashFailed, "")})
		w.do(SendUpdateReport{ota.Outcome("good", ota.OK, "")})
		if diff := cmp.Diff([]string{"good OK"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
		w.pass(time.Minute)
		if diff := cmp.Diff([]string{"good OK", "bad FLASH_FAILED"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRefusedReportIsFinal(t *testing.T) {
	for _, err := range []error{ota.MissingUpdate("u1"), ota.Invalid("bad"), ota.Fail(ota.KindConflict, "update_ended", "canceled")} {
		story(t, func(w *world) {
			w.server.set(func(s *server) { s.refuse = err })
			w.start()
			if e := w.do(SendUpdateReport{ota.Outcome("u1", ota.OK, "")}); e.Name() != "Error" {
				t.Errorf("%v", e)
			}
			if w.step("u1") != Refused {
				t.Errorf("step %s", w.step("u1"))
			}
			w.stop()
			w.start()
			w.pass(time.Hour)
			if n := w.server.count("report"); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

func TestOperationIDsBecomeUUIDs(t *testing.T) {
	story(t, func(w *world) {
		const uuid = "7fc9a0e2-2d0f-4c1e-9a4b-0c5a8f1a9c11"
		w.start()
		w.do(SendUpdateReport{ota.Report{Update: "u1", Results: []ota.OperationResult{
			{ID: "N/A", Code: ota.UserDeclined, Text: "not now"}, {ID: uuid, Text: "fine"}, {ID: "u1"}, {},
		}}})
		want := []ota.OperationResult{{ID: "u1", Code: ota.UserDeclined, Text: "N/A: not now"}, {ID: uuid, Text: "fine"}, {ID: "u1"}, {ID: "u1"}}
		if diff := cmp.Diff(want, w.server.reports[0].Results); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSendingSoftwareReachesTheServer(t *testing.T) {
	story(t, func(w *world) {
		w.start()
		software := InstalledSoftware{
			Packages:  []InstalledPackage{{PackageID: "nav-1.2-3", Name: "nav"}, {PackageID: "9.9", Name: "radio"}},
			Firmwares: []InstalledFirmware{{Module: "ecu1", FirmwareID: "f7", LastModified: 1476000000}},
		}
		if e := w.do(SendInstalledSoftware{software}); e != (InstalledSoftwareSent{}) {
			t.Errorf("%v", e)
		}
		want := ota.Inventory{
			Packages: []ota.Installed{{PackageID: ota.PackageID{Name: "nav", Version: "1.2-3"}}, {PackageID: ota.PackageID{Name: "radio", Version: "9.9"}}},
			Firmware: []ota.Firmware{{Module: "ecu1", ID: "f7", LastModified: 1476000000}},
		}
		if diff := cmp.Diff([]ota.Inventory{want}, w.server.installed); diff != "" {
			t.Error(diff)
		}
		w.server.failAlways("installed", errAway)
		if e := w.do(SendInstalledSoftware{software}); e.Name() != "Error" {
			t.Errorf("claimed success: %v", e)
		}
	})
}

func TestListIsSentAgainOnceTheServerIsBack(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.installer = &workshop{installed: []ota.PackageID{{Name: "a", Version: "1"}}}
		w.server.failAlways("installed", errAway)
		w.start()
		w.pass(time.Minute)
		w.server.failAlways("installed", nil)
		w.pass(5 * time.Minute)
		if len(w.server.installed) != 1 {
			t.Errorf("%d lists", len(w.server.installed))
		}
	})
}

func TestANameThatNoServerTakesKeepsNoOtherFromBeingTold(t *testing.T) {
	story(t, func(w *world) {
		good := ota.PackageID{Name: "Movie&MusicPlayer", Version: "rc2-beta3"}
		shop := &workshop{installed: []ota.PackageID{{Name: "a\x1b[2J", Version: "1"}, good, {Name: "b"}, {Name: strings.Repeat("c", 1025), Version: "1"}}}
		var said bytes.Buffer
		w.installer, w.log = shop, slog.New(slog.NewTextHandler(&said, nil))
		w.start()
		w.expect("AlreadyAuthenticated", "InstalledPackagesSent")
		want := []ota.Inventory{{Packages: []ota.Installed{{PackageID: good}}}}
		if diff := cmp.Diff(want, w.server.installed); diff != "" {
			t.Error(diff)
		}
		if n := strings.Count(said.String(), "left out"); n != 3 {
			t.Errorf("%d of 3 are in the log:\n%s", n, said.String())
		}
		if e := w.do(SendInstalledPackages{shop.installed}); e.Name() != "Error" {
			t.Errorf("a gateway's list is not what was sent, but: %v", e)
		}
	})
}

func TestServerAsksForTheList(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.start()
		w.server.notices <- ota.ListWanted{}
		w.expect("AlreadyAuthenticated", "InstalledSoftwareNeeded")
		w.stop()
		w.installer = &workshop{}
		w.start()
		w.events()
		w.server.notices <- ota.ListWanted{}
		w.expect("InstalledPackagesSent")
	})
}

func TestSystemInfoIsSentAtStart(t *testing.T) {
	story(t, func(w *world) {
		w.cfg.Device.SystemInfo = script(t, `echo '{"id":"host"}'`)
		w.start()
		w.expect("AlreadyAuthenticated", "SystemInfoSent")
		if e := w.do(ListSystemInfo{}); e != (FoundSystemInfo{"{\"id\":\"host\"}\n"}) {
			t.Errorf("%v", e)
		}
	})
}
