package e2e_test

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// cut is how many bytes a connection carries before it breaks.
const cut = 100_000

// A link that breaks every 100 kB, and an agent that is killed again and
// again, cost time but no byte: what has arrived is never fetched again.
func TestEveryByteIsFetchedOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const size = 5 << 20
	image := filepath.Join(t.TempDir(), "image")
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(content)
	write(t, image, string(content), 0o644)
	s.publish(image, "image", "1.0")
	for name, deadly := range map[string]bool{"the link breaks": false, "and the agent dies every megabyte": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCar(s.in(t), name)
			list := filepath.Join(c.dir, "installed")
			e := executioner{every: math.MaxInt64, order: make(chan struct{}), done: make(chan struct{})}
			if deadly {
				e.every = 1_000_000
			}
			p := newProxy(t, c.site, cut, e.admit)
			c.extra = append(p.options(), "--device-package-manager", "file:"+list)
			if deaths := e.watch(c); deadly && deaths < 4 {
				t.Errorf("the agent died %d times only", deaths)
			}
			checkPieces(t, p.pieces(), size)
			if b, err := os.ReadFile(list); err != nil || strings.Count(string(b), "\n") != 1 {
				t.Errorf("installed is %q: %v", b, err)
			}
		})
	}
}

// executioner has an agent killed whenever so many bytes have arrived, just
// when it asks for more: all that came is on its disk then.
type executioner struct {
	every       int64
	last        int64
	order, done chan struct{}
}

// admit is for a proxy.
func (e *executioner) admit(handedOver int64) bool {
	if handedOver-e.last < e.every {
		return true
	}
	e.last = handedOver
	e.order <- struct{}{}
	<-e.done
	return false
}

// watch carries an update to the package image to its end, and tells how
// often the agent had to be started again.
func (e *executioner) watch(c *car) (deaths int) {
	c.Helper()
	c.start()
	id := c.send("image", "1.0")
	until(c.T, "the update to end", func() bool {
		select {
		case <-e.order:
			deaths++
			c.kill()
			e.done <- struct{}{}
			c.start()
		default:
		}
		status, _ := c.status(id)
		return status != "" && !status.Active()
	})
	if status, reason := c.status(id); status != ota.Finished {
		c.Fatalf("the update is %s: %s", status, reason)
	}
	c.reported(id, ota.OK)
	c.rests()
	return deaths
}

// checkPieces checks that each piece begins where the one before ended.
func checkPieces(t *testing.T, pieces []piece, size int64) {
	t.Helper()
	at := int64(0)
	for i, d := range pieces {
		if d.from != at {
			t.Errorf("download %d begins at byte %d, %d had arrived", i, d.from, at)
		}
		at = d.from + d.bytes
	}
	if want := int(size / cut); len(pieces) < want {
		t.Errorf("%d downloads, at least %d were expected", len(pieces), want)
	}
	if at != size {
		t.Errorf("%d bytes arrived, the artifact has %d", at, size)
	}
}

// A device that is removed has no access from that moment on, and its agent
// takes the hint: it asks for a new token ever more slowly.
func TestARemovedDeviceIsOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCar(s, "stolen")
	p := newProxy(t, s, 0, nil)
	c.extra = p.options()
	c.start()
	until(t, "the agent to poll", func() bool { return len(p.requests("/updates")) > 0 })
	s.must("device", "rm", c.uuid)
	removed := time.Now()
	after := func(suffix string) (list []passage) {
		for _, r := range p.requests(suffix) {
			if r.at.After(removed) {
				list = append(list, r)
			}
		}
		return list
	}
	until(t, "two tries for a token", func() bool { return len(after("/token")) >= 2 })
	c.terminate()
	all, tokens := after(""), after("/token")
	if all[0].status == 200 { // it was on its way
		all = all[1:]
	}
	for _, r := range all {
		if r.status != 401 {
			t.Errorf("%s %s: %d", r.method, r.path, r.status)
		}
	}
	if all[0].path == "/token" {
		t.Errorf("the first request was %v, want one that shows that the token has ended", all[0])
	}
	// The first delay is one second, the next two; chance halves them at most.
	first, second := tokens[0].at.Sub(all[0].at), tokens[1].at.Sub(tokens[0].at)
	if first < 450*time.Millisecond || second < 950*time.Millisecond {
		t.Errorf("tries for a token after %s and again after %s", first, second)
	}
	if len(all) > 12 {
		t.Errorf("%d requests: %v", len(all), all)
	}
}
