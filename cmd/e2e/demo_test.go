package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// demo runs updraft demo --once in a directory of its own, checks what every
// device's dpkg says, and returns what the demo said.
func demo(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(program(t, "updraft"), "demo", "--once", "--dir", dir)
	cmd.Env = append(os.Environ(), "PATH="+path)
	p := launch(t, "demo", cmd)
	p.exits(0)
	name, version := p.says(`Package:  (\S+) `), p.says(`Package:  \S+ ([^\s,]+)`)
	for _, device := range []string{"demo-1", "demo-2", "demo-3"} {
		if got, want := dpkgSays(filepath.Join(dir, device, "root"), name), version+" install ok installed"; got != want {
			t.Errorf("on %s dpkg says %q, want %q", device, got, want)
		}
	}
	return p.said()
}

func TestDemo(t *testing.T) {
	t.Parallel()
	demo(t, os.Getenv("PATH"))
}

func TestDemoWithoutDebiansArchive(t *testing.T) {
	t.Parallel()
	stubs := t.TempDir()
	write(t, filepath.Join(stubs, "apt-get"), "#!/bin/sh\necho no network >&2\nexit 100\n", 0o755)
	if said := demo(t, stubs+":"+os.Getenv("PATH")); !strings.Contains(said, "built here") {
		t.Errorf("the demo does not say where its package is from:\n%s", said)
	}
}

// The demo needs no rights. Root's run hands this test on to nobody, in the
// literal sense.
func TestDemoForAnOrdinaryUser(t *testing.T) {
	if os.Getenv(namespaceEnv) != "" {
		return // TestMain runs it on its own: from here no way leads back
	}
	if os.Geteuid() != 0 {
		demo(t, os.Getenv("PATH"))
		return
	}
	t.Parallel()
	program(t, "updraft")
	home := t.TempDir()
	// Its parents are the tests' own, which nobody else may enter.
	for dir := home; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestDemoForAnOrdinaryUser$", "-test.v")
	cmd.Env = append(os.Environ(), ordinaryEnv+"=1", programsEnv+"="+programs.dir, "TMPDIR="+home, "HOME="+home)
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "--- PASS: TestDemoForAnOrdinaryUser") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
