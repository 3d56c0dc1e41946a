package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/updraft-ota/updraft/rvi"
)

// A file on its way to a device, and what befalls those who carry it. Each
// story ends with the package installed once and one report, and no chunk is
// sent again once the server has its ack.
func TestRVITransferSurvives(t *testing.T) {
	t.Parallel()
	long, short := buildHeavyDeb(t, "tool", "1.0", nil, 100*65_536), buildHeavyDeb(t, "tool", "1.0", nil, 40*65_536)
	external, embedded := rviTopologies[0], rviTopologies[1]
	for _, c := range []struct {
		name     string
		topology rviTopology
		deb      string
		story    func(*rviStory)
	}{
		{"cuts every 50 chunks", external, long, func(s *rviStory) { s.wire.every = 50 }},
		{"the death of the server", external, short, func(s *rviStory) { s.at[20] = s.serverDies }},
		{"the death of the agent", external, short, func(s *rviStory) { s.at[20] = s.agentDies }},
		{"the death of the node", external, short, func(s *rviStory) { s.at[20] = s.nodeDies }},
		{"everybody's death, and cuts", embedded, long, func(s *rviStory) {
			s.wire.every = 50
			s.at[20], s.at[60], s.at[80] = s.serverDies, s.nodeDies, s.agentDies
		}},
	} {
		t.Run(c.name+", "+c.topology.name, func(t *testing.T) {
			t.Parallel()
			s := newRVIStory(t, c.story)
			s.publish(c.deb, "tool", "1.0")
			s.car = c.topology.wire(s.car)
			s.car.start()
			id := s.car.send("tool", "1.0")
			s.lasts(id)
			s.car.hasToolOverRVI(id)
			s.car.counts("postinst began", 1)
			info, err := os.Stat(c.deb)
			if err != nil {
				t.Fatal(err)
			}
			s.wire.checkNothingTwice(t, int((info.Size()+65_535)/65_536))
			if s.wire.every > 0 && s.wire.cuts == 0 {
				t.Error("the link was never cut")
			}
			if n := s.wire.count("report"); n == 0 {
				t.Error("no report passed")
			}
		})
	}
}

// rviStory is a transfer in which things happen before given chunks.
type rviStory struct {
	*rviSite
	car  *rviCar
	wire *wire
	at   map[int]func()
	// What is to be done by the test itself, as only that may start processes.
	todo chan func()
	left atomic.Int32
}

func newRVIStory(t *testing.T, tell func(*rviStory)) *rviStory {
	t.Helper()
	s := &rviStory{rviSite: newRVISite(t, false), at: map[int]func(){}, todo: make(chan func())}
	s.wire = newWire(t, s.addr())
	s.car = newRVICar(s.rviSite, fmt.Sprint("car-", freePort()), "2016")
	s.car.server = s.wire.addr()
	tell(s)
	s.left.Store(int32(len(s.at)))
	s.wire.at = func(chunk int) {
		if do := s.at[chunk]; do != nil {
			done := make(chan struct{})
			s.todo <- func() { do(); close(done) }
			<-done
			s.left.Add(-1)
		}
	}
	return s
}

// lasts does what is to happen, until the update has ended.
func (s *rviStory) lasts(id string) {
	s.Helper()
	within(s.T, 3*patience, "the update to end", func() bool { // a link that broke is tried again after some seconds
		select {
		case do := <-s.todo:
			do()
		default:
		}
		status, _ := s.car.status(id)
		return status != "" && !status.Active()
	})
	if n := s.left.Load(); n > 0 {
		s.Errorf("%d things did not happen", n)
	}
}

func (s *rviStory) serverDies() {
	s.process.kill()
	s.start()
}

func (s *rviStory) agentDies() {
	s.car.process.kill()
	s.car.start()
}

func (s *rviStory) nodeDies() {
	if s.car.node == nil { // it is the agent's
		s.agentDies()
		return
	}
	s.car.node.kill()
	s.car.startNode()
}

// An agent that is killed at any step of what it does over RVI, and started
// again, ends with the package installed once, and one report.
func TestRVIAgentDiesAtEveryStep(t *testing.T) {
	t.Parallel()
	s := newRVISite(t, false)
	s.publish(buildHeavyDeb(t, "tool", "1.0", nil, 3*65_536), "tool", "1.0")
	for i, point := range rvi.ClientFaults {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c := newRVICar(s.in(t), strings.ReplaceAll(point, " ", "-"), []string{"2015", "2016"}[i%2]).embedded()
			c.start(killAt(point, 1))
			id := c.send("tool", "1.0")
			c.killed()
			c.start()
			c.hasToolOverRVI(id)
			c.counts("postinst began", 1)
		})
	}
}
