package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

func TestAnArtifactIsNeverInMemory(t *testing.T) {
	t.Parallel()
	carryInLittleMemory(t, 32<<20, 16<<20) // half of it would not fit
}

// carryInLittleMemory publishes and installs a file with the real programs.
// Neither may need more than limit bytes above what it needs when idle.
func carryInLittleMemory(t *testing.T, size, limit int64) {
	s := &site{T: t, dir: filepath.Join(t.TempDir(), "data"), port: freePort(), key: filepath.Join(t.TempDir(), "release.key"), real: true}
	s.must("key", "new", "--out", s.key)
	s.start()
	c := newCar(s, "small")
	c.real, c.extra = true, []string{"--device-package-manager", "file:" + filepath.Join(c.dir, "installed")}
	c.start()
	until(t, "the agent to poll", func() bool { return c.tell(`"GetUpdateRequests"`) == `"NoUpdateRequests"` })

	image := filepath.Join(t.TempDir(), "image")
	write(t, image, "", 0o644)
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	serverIdle, agentIdle := s.memory("VmRSS"), c.memory("VmRSS")
	s.publish(image, "image", "1.0")
	s.within("the upload", serverIdle, limit)
	c.await(c.send("image", "1.0"), ota.Finished)
	s.within("the download", serverIdle, limit)
	c.within("the download", agentIdle, limit)
	c.terminate()
	s.terminate()
}

// memory reads what the kernel says of the process's memory, in bytes: VmRSS,
// what it has now, or VmHWM, the most it ever had.
func (p *process) memory(what string) int64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	m := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		p.t.Fatalf("no %s in\n%s", what, status)
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10
}

func (p *process) within(what string, idle, limit int64) {
	p.t.Helper()
	most := p.memory("VmHWM")
	p.t.Logf("%s: idle %d KiB, after %s at most %d KiB more", p.name, idle>>10, what, (most-idle)>>10)
	if most-idle > limit {
		p.t.Errorf("%s took %d bytes more for %s, at most %d are allowed", p.name, most-idle, what, limit)
	}
}
