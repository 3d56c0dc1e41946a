package e2e_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// An agent that is killed at any step of its journal, and started again, ends
// with the package installed, its maintainer script completed once, and one
// report at the server.
func TestAgentDiesAtEveryStep(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(buildDeb(t, "tool", "1.0", nil), "tool", "1.0")
	for _, point := range agent.FaultPoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c := newCar(s.in(t), strings.ReplaceAll(point, " ", "-"))
			switch {
			case strings.HasSuffix(point, string(agent.Dropped)):
				diesOfWithdrawal(c, point)
			case strings.HasSuffix(point, string(agent.Refused)):
				diesOfRefusal(c, point)
			default:
				diesInstalling(c, point)
			}
		})
	}
}

func diesInstalling(c *car, point string) {
	c.start(killAt(point, 1))
	id := c.send("tool", "1.0")
	c.killed()
	c.start()
	c.hasTool(id)
	c.counts("postinst began", 1)
}

// hasTool waits for the end of an update to the package tool and checks that
// all is well.
func (c *car) hasTool(id string) {
	c.Helper()
	c.await(id, ota.Finished)
	c.lists("tool", "1.0")
	c.rests()
	c.installed("tool", "1.0")
	c.counts("postinst done", 1)
	c.reported(id, ota.OK)
}

// diesOfWithdrawal is the story of an update that is canceled when its device
// has heard of it, and of the next one.
func diesOfWithdrawal(c *car, point string) {
	id := c.hearsOfOne(point)
	c.site.must("update", "cancel", id)
	c.post(`"GetUpdateRequests"`) // dies without an answer
	c.killed()
	c.recovers()
	if got, _ := c.status(id); got != ota.Canceled || len(c.results(id)) > 0 {
		c.Errorf("the withdrawn update is %s, with %v", got, c.results(id))
	}
}

// diesOfRefusal is the same of a device that begins to fetch nevertheless, and
// whose report of its failure comes too late.
func diesOfRefusal(c *car, point string) {
	id := c.hearsOfOne(point)
	c.site.must("update", "cancel", id)
	c.post(`{"variant":"StartDownload","fields":["` + id + `"]}`)
	c.killed()
	c.recovers()
	if got, _ := c.status(id); got != ota.Canceled {
		c.Errorf("the withdrawn update is %s", got)
	}
	c.reported(id, ota.GeneralError)
}

// hearsOfOne has a device hear of an update, with an agent that does nothing
// by itself and dies at the point.
func (c *car) hearsOfOne(point string) string {
	c.extra = []string{"--core-polling", "false", "--device-auto-download", "false"}
	c.start(killAt(point, 1))
	id := c.send("tool", "1.0")
	// Before it has a token, it hears nothing.
	until(c.T, "the agent to hear", func() bool { return strings.Contains(c.tell(`"GetUpdateRequests"`), id) })
	return id
}

// recovers starts an agent that does its work again.
func (c *car) recovers() {
	c.extra = nil
	c.start()
	c.hasTool(c.send("tool", "1.0"))
}

// An agent that is killed while dpkg runs leaves dpkg alone, and its
// successor waits for it.
func TestAgentDiesWhileDpkgRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(buildDeb(t, "tool", "1.0", scripts{"postinst": atTheGate}), "tool", "1.0")
	c := newCar(s, "dpkg-alone")
	g := c.gate()
	c.start()
	id := c.send("tool", "1.0")
	g.reached()
	c.kill()
	c.start()
	c.says("waiting for an installation")
	g.open()
	c.hasTool(id)
	c.counts("postinst began", 1)
}

// A power cut in the middle of a maintainer script ends agent and dpkg alike.
func TestPowerCutInAScript(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"preinst", "postinst"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.publish(buildDeb(t, "tool", "1.0", scripts{script: atTheGate}), "tool", "1.0")
			c := newCar(s, "cut-in-"+script)
			g := c.gate()
			c.start()
			id := c.send("tool", "1.0")
			dpkg := g.reached()
			c.kill()
			group, err := syscall.Getpgid(dpkg) // dpkg, its keeper and its scripts
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.start()
			g.reached()
			g.open()
			c.hasTool(id)
			c.counts(script+" began", 2)
			c.counts(script+" done", 1)
		})
	}
}
