// Package packaging checks the files that a device gets beside the program.
package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/agent"
)

func TestShippedConfiguration(t *testing.T) {
	text, err := os.ReadFile("sota.toml")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, string(text))
	if c.Device.StateDir != "/var/lib/updraft-agent" || c.Device.PackageManager != "deb" || c.Auth != nil {
		t.Errorf("read as %+v", c)
	}

	// What is commented out is right too, once someone removes the mark.
	var all []string
	for line := range strings.Lines(string(text)) {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			line = line[1:]
		}
		all = append(all, line)
	}
	if c := parse(t, strings.Join(all, "")); c.Auth == nil || len(c.Device.TrustedKeys) != 1 {
		t.Errorf("read as %+v", c)
	}
}

func parse(t *testing.T, text string) agent.Config {
	t.Helper()
	c, warnings, err := agent.ParseConfig("sota.toml", []byte(text))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", warnings, err)
	}
	return c
}

// systemd itself reads the unit, with a program that exists on this machine.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("systemd/updraft-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := strings.Replace(string(text), "ExecStart=/usr/bin/updraft-agent ", "ExecStart=/bin/true ", 1)
	if unit == string(text) {
		t.Fatal("the unit does not start /usr/bin/updraft-agent")
	}
	path := filepath.Join(t.TempDir(), "updraft-agent.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	// A line that names the unit is a complaint: unknown keys do not change the
	// status. Other units of this machine may be complained about too.
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || strings.Contains(string(out), "updraft-agent.service") {
		t.Errorf("%v\n%s", err, out)
	}
}
