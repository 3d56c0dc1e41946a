package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// An update may carry the device client itself: dpkg replaces the program and
// restarts it while the update is being installed, and the new client reports
// what the old one began. The packages are those of make deb; systemctl is
// played by the test.
func TestTheAgentUpdatesItself(t *testing.T) {
	t.Parallel()
	debs := t.TempDir()
	for _, version := range []string{"1.0", "2.0"} {
		cmd := exec.Command("../../scripts/deb", debs)
		cmd.Env = append(os.Environ(), "DEB_VERSION="+version)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	deb := func(version string) string {
		found, err := filepath.Glob(filepath.Join(debs, "updraft-agent_"+version+"_*.deb"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		return found[0]
	}

	s := newSite(t)
	c := newCar(s, "self")
	for _, name := range []string{"rm", "mkdir", "ln"} {
		if err := os.Link(filepath.Join(c.root, "bin/sh"), filepath.Join(c.root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("dpkg", "--root="+c.root, "--log=/dev/null", "-i", deb("1.0")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.installed("updraft-agent", "1.0")

	// From now on there is a systemd, which restarts the client when the new
	// package's postinst says so: the script stands at the gate until it did.
	c.program = filepath.Join(c.root, "usr/bin/updraft-agent")
	gate := c.gate()
	write(t, filepath.Join(c.root, "run/systemd/system/booted"), "", 0o644)
	write(t, filepath.Join(c.root, "bin/systemctl"), "#!/bin/sh\necho \"$@\" >> /count\nif [ \"$1\" = try-restart ]; then "+atTheGate+"; fi\n", 0o755)
	c.start()
	c.says(`\(1\.0\): INFO - client runs`)
	s.publish(deb("2.0"), "updraft-agent", "2.0")
	update := c.send("updraft-agent", "2.0")
	gate.reached()
	c.kill()
	c.start()
	c.says(`\(2\.0\): INFO - client runs`)
	gate.open()

	c.await(update, ota.Finished)
	c.installed("updraft-agent", "2.0")
	c.reported(update, ota.OK)
	c.lists("updraft-agent", "2.0")
	counted, err := os.ReadFile(filepath.Join(c.root, "count"))
	if err != nil || strings.Count(string(counted), "try-restart updraft-agent.service") != 1 {
		t.Errorf("systemctl was asked for:\n%s%v", counted, err)
	}
}
