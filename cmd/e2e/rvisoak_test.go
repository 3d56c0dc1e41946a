//go:build soak

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

// A thousand vehicles at one server, and what each costs it in heap and stacks
// after a collection.
func TestSoakRVIAThousandVehicles(t *testing.T) {
	for name, c := range map[string]struct {
		secure bool
		idle   int64 // bytes that a link may hold
	}{"tcp": {false, 20 << 10}, "tls": {true, 48 << 10}} {
		t.Run(name, func(t *testing.T) {
			s, cars := newRVIFleet(t, 1001, c.secure)
			all(cars[:1], (*simulated).links) // what the first leaves behind is nobody's
			before := s.inUse(1)
			all(cars[1:], (*simulated).links)
			linked := s.inUse(2)
			all(cars, (*simulated).accepts)
			active := s.inUse(3)
			all(cars, (*simulated).goesOn)
			s.checkFinished(cars)
			s.measured("an idle link", (linked-before)/1000, c.idle)
			s.measured("an active transfer", (active-linked)/1001, 160<<10)
			s.measured("a link after its transfer", (s.inUse(4)-before)/1000, c.idle)
		})
	}
}

func (s *rviSite) measured(what string, bytes, limit int64) {
	s.Logf("%s: %d bytes", what, bytes)
	if bytes > limit {
		s.Errorf("%s holds %d bytes, at most %d are allowed", what, bytes, limit)
	}
}

// A file of 1 GiB reaches a device over RVI, and neither program needs much.
func TestSoakRVIAFileOf1GiB(t *testing.T) {
	const size, limit = 1 << 30, 64 << 20
	s := newRealRVISite(t)
	c := newRVICar(s, "large", "2016").embedded()
	c.real, c.extra = true, append(c.extra, "--device-package-manager", "file:"+filepath.Join(c.dir, "installed"))
	c.start()
	until(t, "the device to be linked", func() bool { return len(s.links()) == 1 })
	image := filepath.Join(t.TempDir(), "image")
	write(t, image, "", 0o644)
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	s.publish(image, "image", "1.0")
	serverIdle, agentIdle := s.memory("VmHWM"), c.memory("VmHWM")
	began := time.Now()
	id := c.send("image", "1.0")
	within(t, 20*time.Minute, "the update to end", func() bool {
		status, reason := c.status(id)
		if status == ota.Failed {
			t.Fatal(reason)
		}
		return status == ota.Finished
	})
	t.Logf("1 GiB took %s", time.Since(began).Round(time.Second))
	s.within("the transfer", serverIdle, limit)
	c.within("the transfer", agentIdle, limit)
}

// A server that is killed before or after any of its commits, while it carries
// a package over RVI, ends with the same as one that lived on.
func TestSoakRVIServerDiesAtEveryCommit(t *testing.T) {
	deb := buildHeavyDeb(t, "tool", "1.0", nil, 20*65_536)
	calm := newRVIDoom(t, deb, "")
	commits := strings.Count(calm.said(), passed+store.BeforeCommit)
	if commits < 4 { // begun, sent, reported, installed
		t.Fatalf("the story has %d commits only", commits)
	}
	for n := 1; n <= commits; n++ {
		for _, point := range []string{store.BeforeCommit, store.AfterCommit} {
			t.Run(fmt.Sprintf("%s %d", point, n), func(t *testing.T) {
				t.Parallel()
				newRVIDoom(t, deb, killAt(point, n))
			})
		}
	}
}

// newRVIDoom carries a package to a device through a server whose doom begins
// when the update is queued.
func newRVIDoom(t *testing.T, deb, doom string) *rviSite {
	s := newRVISite(t, false)
	s.mortal = true
	s.publish(deb, "tool", "1.0")
	w := newWire(t, s.addr())
	c := newRVICar(s, fmt.Sprint("car-", freePort()), "2016")
	c.server = w.addr()
	id := c.send("tool", "1.0")
	s.terminate()
	s.start(doom)
	c.embedded().start()
	within(t, 3*patience, "the update to end", func() bool {
		s.revive()
		status, _ := c.status(id)
		return status != "" && !status.Active()
	})
	c.hasToolOverRVI(id)
	c.counts("postinst began", 1)
	w.checkNothingTwice(t, 21)
	return s
}
