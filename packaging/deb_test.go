package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// debs are the packages of two versions, as make deb makes them.
type debs struct{ dir string }

func buildDebs(t *testing.T, versions ...string) debs {
	t.Helper()
	d := debs{t.TempDir()}
	for _, v := range versions {
		cmd := exec.Command("../scripts/deb", d.dir)
		cmd.Env = append(os.Environ(), "DEB_VERSION="+v)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return d
}

func (d debs) path(t *testing.T, name, version string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.dir, name+"_"+version+"_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s %s: %v, %v", name, version, found, err)
	}
	return found[0]
}

// system is an empty Debian system in a directory, with a shell.
type system struct {
	t    *testing.T
	root string
}

func newSystem(t *testing.T) system {
	t.Helper()
	s := system{t, t.TempDir()}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "bin", "var/lib/updraft-agent", "var/lib/updraft"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"var/lib/dpkg/status", "var/lib/updraft-agent/journal", "var/lib/updraft/updraft.db"} {
		s.write(file, "")
	}
	shell, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v: scripts/bootstrap test installs busybox-static", err)
	}
	for _, name := range []string{"sh", "rm", "mkdir", "ln"} {
		if err := os.WriteFile(filepath.Join(s.root, "bin", name), shell, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s system) write(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.root, file), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s system) has(file string) bool {
	_, err := os.Lstat(filepath.Join(s.root, file))
	return err == nil
}

func (s system) dpkg(args ...string) {
	s.t.Helper()
	args = append([]string{"--root=" + s.root, "--log=/dev/null", "--force-confold"}, args...)
	cmd := exec.Command("dpkg", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "PATH=/bin:/usr/sbin:/usr/bin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("dpkg %v: %v\n%s", args, err, out)
	}
}

// A life with the packages: installed, upgraded with what the administrator
// changed kept, removed, purged.
func TestPackagesInstallUpgradeAndPurge(t *testing.T) {
	built := buildDebs(t, "1.0", "2.0")
	for _, p := range []struct {
		name, config, unit, data string
		dataStays                bool
		files                    []string
	}{
		{
			name: "updraft-agent", config: "etc/sota.toml", unit: "updraft-agent.service", data: "var/lib/updraft-agent",
			files: []string{"usr/share/dbus-1/system.d/org.genivi.SotaClient.conf", "usr/share/doc/updraft-agent/examples/updraft-agent.service.d/off.conf"},
		},
		{name: "updraft", config: "etc/updraft/updraft.toml", unit: "updraft.service", data: "var/lib/updraft", dataStays: true},
	} {
		t.Run(p.name, func(t *testing.T) {
			s := newSystem(t)
			files := append(p.files, "usr/bin/"+p.name, "lib/systemd/system/"+p.unit, "usr/share/man/man1/"+p.name+".1.gz",
				"usr/share/bash-completion/completions/"+p.name, "usr/share/doc/"+p.name+"/copyright")
			s.dpkg("-i", built.path(t, p.name, "1.0"))
			for _, f := range append(files, p.config, "etc/systemd/system/multi-user.target.wants/"+p.unit) {
				if !s.has(f) {
					t.Errorf("%s is not there", f)
				}
			}
			s.runs(p.name, "1.0")
			s.write(p.config, "# mine\n")

			s.dpkg("-i", built.path(t, p.name, "2.0"))
			s.runs(p.name, "2.0")
			if text, _ := os.ReadFile(filepath.Join(s.root, p.config)); string(text) != "# mine\n" {
				t.Errorf("the configuration was replaced: %q", text)
			}

			s.dpkg("-r", p.name)
			if !s.has(p.config) || !s.has(p.data) || s.has("usr/bin/"+p.name) {
				t.Error("remove takes the program and leaves configuration and data")
			}
			s.dpkg("-P", p.name)
			for _, f := range append(files, p.config) {
				if s.has(f) {
					t.Errorf("purge leaves %s", f)
				}
			}
			if s.has(p.data) != p.dataStays {
				t.Errorf("after purge %s is there: %v", p.data, s.has(p.data))
			}
		})
	}
}

// runs checks that a static program of that version was installed.
func (s system) runs(program, version string) {
	s.t.Helper()
	out, err := exec.Command(filepath.Join(s.root, "usr/bin", program), "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), version) {
		s.t.Errorf("%s --version: %s, %v", program, out, err)
	}
}

// maxAgent is the largest a device's program may be, in bytes.
const maxAgent = 12_000_000

func TestTheAgentIsSmallAndStatic(t *testing.T) {
	program := filepath.Join(t.TempDir(), "updraft-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../cmd/updraft-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxAgent {
		t.Errorf("%d bytes, at most %d are allowed", info.Size(), maxAgent)
	}
	out, _ := exec.Command("ldd", program).CombinedOutput()
	if !strings.Contains(string(out), "not a dynamic executable") {
		t.Errorf("ldd says %s", out)
	}
	t.Log(fmt.Sprint(info.Size(), " bytes"))
}
