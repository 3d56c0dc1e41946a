package e2e_test

import (
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// During a transfer operators see how far it is.
func TestRVIOperatorsSeeATransfer(t *testing.T) {
	t.Parallel()
	var half []linked
	s := newRVIStory(t, func(s *rviStory) {
		s.at[60] = func() { half = s.links() }
	})
	s.publish(buildHeavyDeb(t, "tool", "1.0", nil, 100*65_536), "tool", "1.0")
	s.car = s.car.embedded()
	s.car.start()
	id := s.car.send("tool", "1.0")
	s.lasts(id)
	s.car.hasToolOverRVI(id)
	if len(half) != 1 || len(half[0].Transfers) != 1 {
		t.Fatalf("half-way the links are %+v", half)
	}
	l, tr := half[0], half[0].Transfers[0]
	if l.Device != s.car.uuid || l.Peer != "genivi.org/device/"+s.car.uuid+"/" || l.Dialect != "2016" || l.Secure {
		t.Errorf("the link is %+v", l)
	}
	if tr.State != "sending" || tr.Chunks != 101 || tr.ChunksReceived < 40 || tr.ChunksReceived > 60 || tr.BytesPerSecond < 100_000 || tr.Resends == nil || *tr.Resends != 0 {
		t.Errorf("the transfer is %+v", tr)
	}
}

// A vehicle that nobody registered is listed, and gets nothing until somebody
// registers it.
func TestRVIUnknownVehicleGetsNothing(t *testing.T) {
	t.Parallel()
	s := newRVISite(t, false)
	s.publish(buildDeb(t, "tool", "1.0", nil), "tool", "1.0")
	w := newWire(t, s.addr())
	c := newRVICar(s, "stranger", "2015")
	c.server = w.addr()
	s.must("device", "rm", c.uuid)
	c.embedded().start()
	unknown := linked{Peer: "genivi.org/vin/" + c.vin + "/"}
	until(t, "the stranger to be listed", func() bool {
		list := s.links()
		return len(list) == 1 && list[0].Peer == unknown.Peer && list[0].Device == ""
	})
	s.says(`a vehicle gets nothing.*` + c.vin)
	if n := w.count("notify") + w.count("start") + w.count("getpackages"); n > 0 {
		t.Errorf("the stranger got %d messages", n)
	}
	s.must("device", "add", "--name", c.name, "--device-id", c.vin, "--uuid", c.uuid)
	c.await(c.send("tool", "1.0"), ota.Finished)
	c.installed("tool", "1.0")
}

// updraft device sync has a device tell what it has installed.
func TestRVIOperatorAsksForTheList(t *testing.T) {
	t.Parallel()
	s := newRVISite(t, false)
	w := newWire(t, s.addr())
	c := newRVICar(s, "asked", "2016")
	c.server = w.addr()
	if out := s.must("device", "sync", c.uuid); !strings.Contains(out, `"linked": false`) {
		t.Errorf("of a device that is not there: %s", out)
	}
	c.embedded().start()
	until(t, "the device to be linked", func() bool { return len(s.links()) == 1 && w.count("packages") > 0 })
	before := w.count("packages")
	if out := s.must("device", "sync", c.uuid); !strings.Contains(out, `"linked": true`) {
		t.Error(out)
	}
	until(t, "the list", func() bool { return w.count("packages") > before })
	if w.count("getpackages") == 0 {
		t.Error("nobody asked for it")
	}
}
