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

// systemd itself reads the units, with a program that exists on this machine,
// and judges how exposed they are: 0 is shut in, 10 is open.
func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit, program, dropin string
		exposure              string // at most, times ten
	}{
		{"updraft-agent.service", "updraft-agent", "", ""}, // dpkg must be able to do anything
		{"updraft-agent.service", "updraft-agent", "off.conf", "25"},
		{"updraft-agent.service", "updraft-agent", "command.conf", "70"},
		{"updraft.service", "updraft", "", "20"},
	} {
		t.Run(c.unit+" "+c.dropin, func(t *testing.T) {
			path := unit(t, c.unit, c.program, c.dropin)
			// A line that names the unit is a complaint: unknown keys do not
			// change the status. Other units may be complained about too.
			out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
			if err != nil || strings.Contains(string(out), c.unit) {
				t.Errorf("verify: %v\n%s", err, out)
			}
			if c.exposure == "" {
				return
			}
			out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+c.exposure, path).CombinedOutput()
			if err != nil {
				t.Errorf("security: %v\n%s", err, out)
			}
		})
	}
}

// unit copies a unit with a drop-in, starting a program that exists.
func unit(t *testing.T, name, program, dropin string) string {
	t.Helper()
	text := read(t, "systemd/"+name)
	changed := strings.Replace(text, "ExecStart=/usr/bin/"+program+" ", "ExecStart=/bin/true ", 1)
	if changed == text {
		t.Fatalf("%s does not start /usr/bin/%s", name, program)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	if dropin == "" {
		return path
	}
	if err := os.Mkdir(path+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path+".d", dropin), []byte(read(t, "systemd/"+name+".d/"+dropin)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
