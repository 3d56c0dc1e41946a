package ab

import (
	"fmt"
	"testing"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// Whatever moment the client dies at, and whether the power goes with it or
// not: the device always comes up from a slot that is whole, the report says
// what is so, and the next update works.
func TestKilledBetweenAnyTwoWrites(t *testing.T) {
	for loader := range bootloaders {
		for _, image := range []string{"new", "sick", "dead"} {
			for _, power := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %s power %v", loader, image, power), func(t *testing.T) {
					t.Parallel()
					killEverywhere(t, loader, image, power)
				})
			}
		}
	}
}

func killEverywhere(t *testing.T, loader, image string, power bool) {
	kill, points := 1, []string{
		"before saving slots", "before writing to the slot", "before syncing the slot", "before reading the slot back",
		"in the middle of saving written", "after saving written", "before choosing slot B once, then slot A", "after choosing slot B once, then slot A",
		"before saving tried", "before the reboot command", "after the reboot command", "before the health check",
		"before choosing slot \"B\"", "after choosing slot \"B\"", "before saving ended", "after saving ended",
	}
	if image != "new" { // the first life is the same
		w := newWorld(t, loader, A)
		w.download(image)
		kill = w.live(0).Passed + 1
		points = []string{"before saving leaving", "before choosing slot \"A\"", "after choosing slot \"A\"", "before saving ended", "after saving ended"}
	}
	seen := map[string]bool{}
	for ; ; kill++ {
		w := newWorld(t, loader, A)
		w.download(image)
		point := w.killedOnce(kill, power)
		if point == "" {
			break // it does not have that many
		}
		seen[point] = true
		if t.Failed() {
			t.Fatalf("after it was killed at point %d: %s", kill, point)
		}
	}
	for _, point := range points {
		if !seen[point] {
			t.Errorf("never killed %s", point)
		}
	}
}

// killedOnce lets the client die at its fault point of that number, counted
// over its lives, and then finish. It returns the point, "" if there are fewer.
func (w *world) killedOnce(kill int, power bool) (point string) {
	w.Helper()
	wantCode, wantSlot := ota.InstallFailed, A
	if w.img.Package.Version == "new" {
		wantCode, wantSlot = ota.OK, B
	}
	point, out := w.dieAt(kill)
	if point != "" {
		if got := w.holds(A); got != "old" {
			w.Errorf("slot A holds %q", got)
		}
		if power || w.has("rebooting") {
			if w.now == B && w.choice().Keep != B {
				wantCode, wantSlot = ota.InstallFailed, A // it was the only try
			}
			w.start()
		}
		out = w.finish()
	}
	w.want(out, wantCode, wantSlot)
	if w.holds(A) != "old" || w.holds(B) != w.img.Package.Version {
		w.Errorf("slot A holds %q, slot B %q", w.holds(A), w.holds(B))
	}
	if again := w.finish(); again != out {
		w.Errorf("asked again, the outcome is %v and not %v", again, out)
	}
	return point
}

// dieAt lets the client live until it dies at its fault point of that number,
// or there is an outcome before.
func (w *world) dieAt(kill int) (point string, out agent.Outcome) {
	w.Helper()
	first := 0 // points of the lives before
	for range 4 {
		l := w.live(max(kill-first, 0))
		switch {
		case l.Killed != "":
			return l.Killed, agent.Outcome{}
		case l.Outcome != nil:
			return "", *l.Outcome
		}
		first += l.Passed
		w.start()
	}
	w.Fatal("the device goes round in circles")
	return "", agent.Outcome{}
}
