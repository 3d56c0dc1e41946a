package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// buildOwn makes the agent's package as make deb does.
func buildOwn(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("../../scripts/deb", dir)
	cmd.Env = append(os.Environ(), "DEB_VERSION="+version)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("scripts/deb: %v\n%s", err, said)
	}
	found, err := filepath.Glob(filepath.Join(dir, "updraft-agent_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("scripts/deb made %v, %v", found, err)
	}
	return found[0]
}

// The agent installs its own package: a maintainer script restarts it in the
// middle of that, and the new one, from the package, reports what the old one
// began. In place of systemctl stands a script that has this test do it.
func TestTheAgentsOwnPackage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCar(s, "own-package")
	c.real = true
	for _, name := range []string{"bin/mkdir", "bin/ln"} {
		shell, err := os.ReadFile(filepath.Join(c.root, "bin/sh"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(c.root, name), string(shell), 0o755)
	}
	if said, err := exec.Command("dpkg", "--root="+c.root, "-i", buildOwn(t, "1.0")).CombinedOutput(); err != nil {
		t.Fatalf("dpkg: %v\n%s", err, said)
	}
	write(t, filepath.Join(c.root, "run/systemd/system/here"), "", 0o644)
	write(t, filepath.Join(c.root, "bin/systemctl"), "#!/bin/sh\nif test $1 = try-restart; then "+atTheGate+"; fi\n", 0o755)
	s.publish(buildOwn(t, "2.0"), "updraft-agent", "2.0")

	g := c.gate()
	c.startInstalled("1.0")
	id := c.send("updraft-agent", "2.0")
	g.reached()
	c.terminate()
	c.startInstalled("2.0")
	c.says("waiting for an installation")
	g.open()
	c.await(id, ota.Finished)
	c.reported(id, ota.OK)
	c.installed("updraft-agent", "2.0")
}

// startInstalled starts the agent that is installed in the device's root,
// which is to be of that version.
func (c *car) startInstalled(version string) {
	c.Helper()
	cmd := c.agent()
	cmd.Path = filepath.Join(c.root, "usr/bin/updraft-agent")
	said, err := exec.Command(cmd.Path, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(said), version) {
		c.Fatalf("%s --version: %s, %v; want %s", cmd.Path, said, err, version)
	}
	c.process = launch(c.T, "agent "+version, cmd)
}
