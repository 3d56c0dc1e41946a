package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// withAuth gives the device credentials, good ones if secret is "right".
func (w *world) withAuth(secret string) *gate {
	g := &gate{id: "dev", secret: "right"}
	w.cfg.Auth = &AuthConfig{Server: "http://auth", ClientID: "dev", ClientSecret: secret}
	w.auth = g
	return g
}

var errToken = ota.Fail(ota.KindUnauthenticated, "invalid_token", "token expired")

func TestTokenIsObtainedFirst(t *testing.T) {
	story(t, func(w *world) {
		w.withAuth("right")
		w.installer = &workshop{}
		w.start()
		w.expect("Authenticated", "InstalledPackagesSent")
		if e := w.do(Authenticate{}); e != (AlreadyAuthenticated{}) {
			t.Errorf("%v", e)
		}
	})
}

func TestExpiredTokenIsRenewedWithoutFailingTheDownload(t *testing.T) {
	for _, answer := range []error{errToken, ota.Fail(ota.KindForbidden, "forbidden", "not in scope")} {
		story(t, func(w *world) {
			w.withAuth("right")
			w.server.add("u1", someBytes(300_000))
			w.server.failNext("read", nil, answer) // after the first chunk
			w.start()
			w.pass(10 * time.Second)
			w.expect("Authenticated", "UpdatesReceived u1", "DownloadingUpdate u1", "NotAuthenticated")
			if w.auth.(*gate).held {
				t.Error("the token was kept")
			}
			w.pass(2 * time.Second)
			w.expect("Authenticated", "UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1")
			if len(w.server.codes()) != 0 {
				t.Errorf("reports: %q", w.server.codes())
			}
			w.server.once(t, "u1")
		})
	}
}

func TestReportThatMeetsAnExpiredTokenIsSentWithTheNext(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.withAuth("right")
		w.start()
		w.expect("Authenticated")
		w.server.failNext("report", errToken)
		w.do(SendUpdateReport{ota.Outcome("u1", ota.FlashFailed, "no")})
		w.expect("NotAuthenticated")
		w.pass(2 * time.Second)
		w.expect("Authenticated", "UpdateReportSent")
		if diff := cmp.Diff([]string{"u1 FLASH_FAILED"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWithoutAuthSectionTheServerHearsOnceWhatIsInstalled(t *testing.T) {
	story(t, func(w *world) {
		w.installer = &workshop{installed: []ota.PackageID{{Name: "a", Version: "1"}}}
		w.cfg.Device.SystemInfo = script(t, `echo '{"id":"host"}'`)
		w.start()
		w.expect("AlreadyAuthenticated", "InstalledPackagesSent", "SystemInfoSent")
		w.do(Authenticate{})
		w.expect("AlreadyAuthenticated")
	})
}

func TestRejectedCredentialsAreTriedEverMoreSlowly(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		g := w.withAuth("wrong")
		w.start()
		w.expect("NotAuthenticated")
		var tries []int
		for range 4 {
			before := len(g.asked)
			w.pass(15 * time.Minute)
			tries = append(tries, len(g.asked)-before)
		}
		if tries[0] < 6 || tries[0] > 20 || tries[3] < 2 || tries[3] > 8 {
			t.Errorf("tries in each quarter of an hour: %v", tries)
		}
	})
}

func TestTokensThatDoNotHoldAreNotAskedForInAHurry(t *testing.T) {
	story(t, func(w *world) {
		g := w.withAuth("right")
		w.installer = &workshop{}
		w.server.failAlways("installed", errToken)
		w.server.failAlways("pending", errToken)
		w.start()
		w.pass(time.Hour)
		if n := len(g.asked); n < 5 || n > 60 {
			t.Errorf("%d tokens in an hour", n)
		}
	})
}

func TestAuthServerThatIsDownIsTriedAgain(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		g := w.withAuth("right")
		g.err = ota.Fail(ota.KindUnreachable, "unreachable", "no route")
		w.start()
		w.expect("Error HTTP client error: no route")
		g.err = nil
		w.pass(2 * time.Second)
		w.expect("Authenticated")
	})
}

func TestGivenCredentialsLastForTheRun(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		g := w.withAuth("old")
		w.start()
		w.do(Authenticate{&Credentials{"dev", "wrong too"}})
		w.do(Authenticate{&Credentials{"dev", "right"}})
		w.expect("NotAuthenticated", "NotAuthenticated", "Authenticated")
		w.server.failNext("pending", errToken)
		w.do(GetUpdateRequests{})
		w.pass(10 * time.Second)
		w.expect("NotAuthenticated", "Authenticated")
		if !g.held {
			t.Error("no token")
		}
	})
}

// The rows of client.md 2.4, column U, with its recommendations.
func TestWithoutATokenOnlyLocalCommandsRun(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		g := w.withAuth("wrong")
		w.installer = &workshop{}
		w.cfg.Device.SystemInfo = "/bin/false"
		w.start()
		for _, c := range []Command{GetUpdateRequests{}, SendInstalledPackages{}, SendInstalledSoftware{}, SendSystemInfo{},
			SendUpdateReport{ota.Outcome("u9", ota.OK, "")}, StartDownload{"u9"}, StartInstall{"u9"}} {
			if e := w.do(c); e != (NotAuthenticated{}) {
				t.Errorf("%s: %v", c.Name(), e)
			}
		}
		if e := w.do(ListInstalledPackages{}); e.Name() != "FoundInstalledPackages" {
			t.Errorf("%v", e)
		}
		if e := w.do(ListSystemInfo{}); !strings.HasPrefix(line(e), "Error System info error") {
			t.Errorf("%v", e)
		}
		if len(w.server.calls) != 0 {
			t.Errorf("calls without a token: %q", w.server.calls)
		}
		g.secret = "wrong"
		w.pass(10 * time.Minute)
		if diff := cmp.Diff([]string{"u9 OK"}, w.server.codes()); diff != "" {
			t.Errorf("the report was lost: %s", diff)
		}
	})
}

func TestForbiddenWithoutAuthSection(t *testing.T) {
	story(t, func(w *world) {
		w.server.failNext("pending", ota.Fail(ota.KindForbidden, "forbidden", "no"))
		w.start()
		w.pass(12 * time.Second)
		w.expect("AlreadyAuthenticated", "NotAuthenticated", "AlreadyAuthenticated")
	})
}

func TestInstallBegunBeforeTheTokenWasLostGoesOn(t *testing.T) {
	story(t, func(w *world) {
		w.withAuth("right")
		shop := &workshop{}
		w.installer = shop
		w.server.add("a", someBytes(10))
		w.server.add("b", someBytes(10))
		w.server.failNext("fetch", nil, errToken)
		w.start()
		w.pass(10 * time.Second)
		if shop.runs != 1 {
			t.Errorf("%d installations", shop.runs)
		}
		w.pass(15 * time.Second)
		codes := w.server.codes()
		slices.Sort(codes)
		if diff := cmp.Diff([]string{"a OK", "b OK"}, codes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTokenThatLacksAScopeIsNotRenewedInAHurry(t *testing.T) {
	story(t, func(w *world) {
		g := w.withAuth("right")
		w.cfg.Device.SystemInfo = script(t, "echo {}")
		w.server.failAlways("info", ota.Fail(ota.KindForbidden, "forbidden", "not in scope"))
		w.start()
		w.pass(time.Hour)
		if n := len(g.asked); n < 5 || n > 60 {
			t.Errorf("%d tokens in an hour", n)
		}
	})
}
