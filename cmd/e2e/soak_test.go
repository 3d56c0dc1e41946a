//go:build soak

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

func TestSoakAnArtifactOf2GiBIsNeverInMemory(t *testing.T) { carryInLittleMemory(t, 2<<30, 64<<20) }

// Server and agent are killed at any moment, again and again, while one
// update after the other travels.
func TestSoakEverybodyDies(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	s := mortalSite(t)
	c := newCar(s, "car")
	c.start()
	deaths := 0
	for i := range 20 {
		version := fmt.Sprintf("%d.0", i+1)
		deb := buildDeb(t, "tool", version, scripts{"postinst": "echo " + version + " >> /versions"})
		s.insist([]string{"package", "add", deb, "--name", "tool", "--version", version, "--sign", s.key})
		id := uuid.NewString()
		next := time.Now()
		until(t, "the update to "+version, func() bool {
			if s.revive(); !c.alive() {
				c.start()
			}
			if now := time.Now(); now.After(next) {
				next = now.Add(time.Duration(200+random.IntN(2500)) * time.Millisecond)
				victim := []*process{s.process, c.process}[random.IntN(2)]
				victim.kill()
				deaths++
				return false
			}
			s.updraft("update", "send", "--id", id, "--device", c.uuid, "--package", "tool="+version)
			status, reason := c.status(id)
			if status != "" && !status.Active() && status != ota.Finished {
				t.Fatalf("the update to %s is %s: %s", version, status, reason)
			}
			return status == ota.Finished
		})
		c.reported(id, ota.OK)
		c.counts("postinst done", i+1)
	}
	if !c.alive() {
		c.start()
	}
	c.lists("tool", "20.0")
	c.rests()
	c.installed("tool", "20.0")
	t.Logf("%d deaths", deaths)
}
