package agent

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// A client that dies at any moment ends, after a restart, with the package
// installed once and one report at the server. The interpreter's goroutine
// ends on the spot: nothing after that moment happens, as under SIGKILL.
func TestCrashAtEveryStep(t *testing.T) {
	points := FaultPoints()
	for _, m := range []string{"pending", "fetch", "report", "installed"} {
		points = append(points, "server: "+m)
	}
	points = append(points, "before the installer works", "after the installer worked")
	for _, outcome := range []ota.ResultCode{ota.OK, ota.InstallFailed} {
		for _, point := range points {
			t.Run(outcome.String()+" "+point, func(t *testing.T) { crashAt(t, point, outcome) })
		}
	}
}

// unreached are the points a successful or failed installation never meets.
var unreached = map[string]bool{
	"before refused": true, "after refused": true, "before withdrawn": true, "after withdrawn": true,
}

func crashAt(t *testing.T, point string, outcome ota.ResultCode) {
	story(t, func(w *world) {
		died := false
		die := func(here string) {
			if here == point && !died {
				died = true
				runtime.Goexit()
			}
		}
		shop := &workshop{
			outcome: Outcome{Code: outcome},
			before:  func(Image) { die("before the installer works") },
			after:   func(Image) { die("after the installer worked") },
		}
		w.installer = shop
		w.fault = die
		w.server.onCall(func(m string) { die("server: " + m) })
		w.server.add("u1", someBytes(200_000))
		w.start()
		w.pass(time.Minute)
		if died == unreached[point] {
			t.Fatalf("died: %v", died)
		}
		if died {
			w.stop()
			w.start()
			w.pass(time.Minute)
		}
		if diff := cmp.Diff([]string{"u1 " + outcome.String()}, w.server.codes()); diff != "" {
			t.Errorf("reports: %s", diff)
		}
		want := 1
		if outcome != ota.OK && (point == "after the installer worked" || point == "before concluded") {
			want = 2 // nothing on the device tells that it had failed before
		}
		if shop.runs != want {
			t.Errorf("%d installations", shop.runs)
		}
		if w.step("u1") != Reported {
			t.Errorf("step %s", w.step("u1"))
		}
		if files := w.files(); outcome == ota.OK && len(files) > 0 {
			t.Errorf("left behind: %q", files)
		}
		w.server.once(t, "u1")
	})
}

// With an external installer, a crash never loses the announcement.
func TestCrashBeforeTheExternalInstallerHeard(t *testing.T) {
	for _, point := range []string{"before offered", "after offered", "before downloading", "after downloading", "before downloaded", "after downloaded"} {
		t.Run(point, func(t *testing.T) {
			story(t, func(w *world) {
				died := false
				w.fault = func(here string) {
					if here == point && !died {
						died = true
						runtime.Goexit()
					}
				}
				w.server.add("u1", someBytes(200_000))
				w.start()
				w.pass(10 * time.Second)
				if !died {
					t.Fatal("the point was not reached")
				}
				w.stop()
				w.start()
				w.pass(10 * time.Second)
				if e := w.events(); !slices.Contains(e, "DownloadComplete u1") {
					t.Errorf("%q", e)
				}
				w.server.once(t, "u1")
			})
		})
	}
}

// An outcome reported by an external installer is safe once SendUpdateReport
// has been answered, and also if the client dies in the middle.
func TestCrashWhileReporting(t *testing.T) {
	for _, point := range []string{"after concluded", "before reported", "after reported"} {
		t.Run(point, func(t *testing.T) {
			story(t, func(w *world) {
				died := false
				w.fault = func(here string) {
					if here == point && !died {
						died = true
						runtime.Goexit()
					}
				}
				w.start()
				go w.agent.Do(w.Context(), SendUpdateReport{ota.Outcome("u1", ota.OK, "")})
				w.pass(time.Second)
				w.stop()
				w.start()
				if diff := cmp.Diff([]string{"u1 OK"}, w.server.codes()); diff != "" || !died || w.step("u1") != Reported {
					t.Errorf("died %v, step %s: %s", died, w.step("u1"), diff)
				}
			})
		})
	}
}
