package pacman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// serviceEnv is set where this test program is a client that runs as a
// service. It holds the program that installs, and the image.
const serviceEnv = "PACMAN_TEST_SERVICE"

// serve installs an image as a client does, and returns its exit status.
func serve(what string) int {
	program, image, _ := strings.Cut(what, "\n")
	in, err := New("command:"+program, Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	in.Install(context.Background(), agent.Image{Update: "u1", Path: image, WorkDir: image + ".work"})
	return 0
}

// userManager is a systemd of the test's own: a user manager in a control
// group of its own, which believes that systemd has booted the machine.
type userManager struct {
	*testing.T
	runtime string // its XDG_RUNTIME_DIR
}

// startUserManager needs a root who may make control groups and mount file
// systems. Where nobody may, for an ordinary user or in a container, it says
// so and returns false.
func startUserManager(t *testing.T) (userManager, bool) {
	t.Helper()
	groups, err := ownGroups(t)
	if err != nil {
		t.Logf("no control groups here (%v): a stand-in for systemd tells the story in another test", err)
		return userManager{}, false
	}
	dir, err := os.MkdirTemp("", "run-") // the paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ready, err := net.ListenPacket("unixgram", filepath.Join(dir, "ready"))
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	script := `for g; do echo $$ >"$g/cgroup.procs" || exit; done
mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec /lib/systemd/systemd --user --unit=basic.target`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, groups...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "NOTIFY_SOCKET=" + filepath.Join(dir, "ready")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	switch err := cmd.Start(); {
	case errors.Is(err, fs.ErrPermission):
		t.Logf("no mounts here (%v): a stand-in for systemd tells the story in another test", err)
		return userManager{}, false
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	ready.SetReadDeadline(time.Now().Add(time.Minute))
	for said := make([]byte, 4<<10); ; {
		n, _, err := ready.ReadFrom(said)
		if err != nil {
			t.Fatalf("systemd does not get ready: %v", err)
		}
		if strings.Contains(string(said[:n]), "READY=1") {
			return userManager{t, dir}, true
		}
	}
}

// ownGroups makes a control group below this process's in each hierarchy that
// systemd keeps its units in: one, or two with the hybrid layout of old.
func ownGroups(t *testing.T) ([]string, error) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var groups []string
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		var top string
		switch {
		case len(f) == 3 && f[1] == "name=systemd":
			top = "/sys/fs/cgroup/systemd"
		case len(f) == 3 && f[1] == "":
			top = "/sys/fs/cgroup/unified"
			if _, err := os.Stat(top); err != nil {
				top = "/sys/fs/cgroup"
			}
		default:
			continue
		}
		group := filepath.Join(top, f[2], fmt.Sprintf("updraft-test-%d", os.Getpid()))
		if err := os.Mkdir(group, 0o755); err != nil {
			return nil, err
		}
		t.Cleanup(func() { removeGroup(t, group) })
		groups = append(groups, group)
	}
	if groups == nil {
		return nil, errors.New("this process is in none that systemd would use")
	}
	return groups, nil
}

// removeGroup removes a control group with all below it.
func removeGroup(t *testing.T, group string) {
	var all []string
	filepath.WalkDir(group, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	for _, path := range slices.Backward(all) {
		if err := os.Remove(path); err != nil {
			t.Logf("a control group stays behind: %v", err)
		}
	}
}

// do runs a program that talks to the manager.
func (m userManager) do(name string, args ...string) {
	m.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+m.runtime)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// installAsService starts a client as a service that installs an image, and
// returns when the program stands at its gate.
func (m userManager) installAsService(w program, g gate, image, path string) {
	m.Helper()
	m.do("systemd-run", "--user", "--unit=updraft-agent.service", "--collect", "--property=TimeoutStopSec=1",
		"--setenv=PATH="+path, "--setenv="+serviceEnv+"="+w.program+"\n"+image, must(os.Executable()))
	reached := make(chan struct{})
	go func() { g.reached(); close(reached) }()
	select {
	case <-reached:
	case <-time.After(time.Minute):
		m.Fatal("the service installs nothing")
	}
}

// The real systemd ends all that is in the control group of a service that is
// stopped, as it is when the client's own package is installed. What installs
// has left it.
func TestAStoppedServiceDoesNotEndItsInstallation(t *testing.T) {
	m, real := startUserManager(t)
	if !real {
		return
	}
	bin := t.TempDir()
	for _, c := range []struct {
		how  string
		path string
		code ota.ResultCode
		says string
	}{
		{"in a scope of its own", bin, ota.DiskFull, "attempt 1"},
		{"without systemd-run it is ended", t.TempDir(), ota.InstallFailed, "signal: terminated"},
	} {
		t.Run(c.how, func(t *testing.T) {
			w, g := standing(t)
			// The client asks the system's manager; ours is a user's.
			w.write(filepath.Join(bin, "systemd-run"), fmt.Sprintf("#!/bin/sh\nXDG_RUNTIME_DIR=%s exec %s --user \"$@\"\n", m.runtime, must(exec.LookPath("systemd-run"))), 0o755)
			image := w.file("image")
			w.image(image)
			m.installAsService(w, g, image, c.path)
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%s/cgroup", must(os.ReadFile(filepath.Join(image+".work", lockName))))); err != nil || strings.Contains(string(text), "/updraft-install-u1-1.scope\n") != (c.path == bin) {
				t.Errorf("what installs is in %s %v", text, err)
			}
			m.do("systemctl", "--user", "stop", "updraft-agent.service")
			if c.path == bin {
				g.open()
			}
			w.want(w.install(image), c.code, c.says)
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
