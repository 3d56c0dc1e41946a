package pacman

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/ota"
)

// manager stands in for systemd on a bus of its own: enough of it for the real
// systemd-run to make a scope.
type manager struct {
	conn *dbus.Conn
	mu   sync.Mutex
	unit string   // the scope asked for
	pids []uint32 // who is to be in it
}

type property struct {
	Name  string
	Value dbus.Variant
}

func (m *manager) StartTransientUnit(name, _ string, properties []property, _ []struct {
	Name       string
	Properties []property
}) (dbus.ObjectPath, *dbus.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unit = name
	for _, p := range properties {
		if p.Name == "PIDs" {
			m.pids, _ = p.Value.Value().([]uint32)
		}
	}
	const job = dbus.ObjectPath("/org/freedesktop/systemd1/job/1")
	if err := m.conn.Emit("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", uint32(1), job, name, "done"); err != nil {
		return "", dbus.MakeFailedError(err)
	}
	return job, nil
}

// invocation answers what systemd-run wants to know of its scope: its id.
type invocation struct{}

func (invocation) Get(string, string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(make([]byte, 16)), nil
}

// startManager makes a bus with a manager on it, and returns its address.
func startManager(t *testing.T) (*manager, string) {
	t.Helper()
	daemon := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address", "--address=unix:path="+filepath.Join(t.TempDir(), "bus"))
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Process.Kill(); daemon.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m := &manager{conn: conn}
	if err := conn.Export(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"); err != nil {
		t.Fatal(err)
	}
	if err := conn.ExportSubtree(invocation{}, "/org/freedesktop/systemd1/unit", "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.systemd1", 0); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return m, address
}

// The real systemd-run puts the installation into a scope: it must know our
// options, and pass on the lock.
func TestTheInstallationLeavesTheControlGroup(t *testing.T) {
	m, address := startManager(t)
	bin := t.TempDir()
	real, err := exec.LookPath("systemd-run")
	if err != nil {
		t.Fatal(err)
	}
	w := newProgram(t, `cat "$UPDRAFT_WORK_DIR/../run.lock"; echo; echo "attempt $UPDRAFT_ATTEMPT"`)
	w.write(filepath.Join(bin, "systemd-run"), fmt.Sprintf("#!/bin/sh\nXDG_RUNTIME_DIR=/ DBUS_SESSION_BUS_ADDRESS=%s exec %s --user \"$@\"\n", address, real), 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	w.host = fakeHost(t, true, inService)
	var log strings.Builder
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	out := w.install(w.file("image"))
	w.want(out, ota.OK, "attempt 1")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unit != "updraft-install-u1-1.scope" || len(m.pids) != 1 || !strings.HasPrefix(out.Text, fmt.Sprintln(m.pids[0])) {
		t.Errorf("scope %q has %v; the program says:\n%s\nthe log:\n%s", m.unit, m.pids, out.Text, log.String())
	}
}
