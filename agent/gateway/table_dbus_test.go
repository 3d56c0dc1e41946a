package gateway_test

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/agent/gateway"
	"github.com/updraft-ota/updraft/agent/gateway/dbus"
)

func init() { gateway.Bus = overTheBus }

// overTheBus has a command come in over a real bus, from busctl or as the
// answer of a software loading manager, and returns the events that are
// signalled up to one that begins as the last one.
func overTheBus(t *testing.T, a *agent.Agent, c agent.Command, last string, wantList func()) (heard []string) {
	address := startBus(t)
	conn := joinBus(t, address)
	signals := make(chan *godbus.Signal, 100)
	conn.Signal(signals)
	openBusDoor(t, a, address, conn, signals)
	if software, ok := c.(agent.SendInstalledSoftware); ok {
		playManager(t, conn, software.Software)
		wantList()
	} else {
		callByBusctl(t, address, method(t, c)...)
	}
	for {
		event, _ := hear(t, signals, "org.genivi.SotaClient.Event").Body[1].(string)
		if heard = append(heard, event); strings.HasPrefix(event, last) {
			return heard
		}
	}
}

// hear waits for a signal.
func hear(t *testing.T, signals <-chan *godbus.Signal, name string) *godbus.Signal {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case s := <-signals:
			if s.Name == name {
				return s
			}
		case <-timeout:
			t.Fatalf("no %s comes", name)
		}
	}
}

// startBus starts a bus of the test's own.
func startBus(t *testing.T) (address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	daemon := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", "--address=unix:path="+filepath.Join(dir, "bus"))
	daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := daemon.StdoutPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Process.Kill(); daemon.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func joinBus(t *testing.T, address string) *godbus.Conn {
	t.Helper()
	conn, err := godbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// openBusDoor opens the client's door, and returns when its name is there.
func openBusDoor(t *testing.T, a *agent.Agent, address string, conn *godbus.Conn, signals <-chan *godbus.Signal) {
	t.Helper()
	for _, match := range [][]godbus.MatchOption{
		{godbus.WithMatchInterface("org.genivi.SotaClient"), godbus.WithMatchMember("Event")},
		{godbus.WithMatchMember("NameOwnerChanged"), godbus.WithMatchArg(0, "org.genivi.SotaClient")},
	} {
		if err := conn.AddMatchSignal(match...); err != nil {
			t.Fatal(err)
		}
	}
	cfg := agent.NewConfig()
	if err := cfg.Apply(map[string]string{"gateway-dbus": "true", "dbus-bus": "session"}); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"DBUS_SESSION_BUS_ADDRESS": address}[name] }
	door := dbus.New(a, dbus.Options{Config: *cfg.DBus, Getenv: getenv, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	hear(t, signals, "org.freedesktop.DBus.NameOwnerChanged")
}

// method is a command as busctl's arguments.
func method(t *testing.T, c agent.Command) []string {
	t.Helper()
	switch c := c.(type) {
	case agent.StartDownload:
		return []string{"initiateDownload", "s", string(c.Update)}
	case agent.SendUpdateReport:
		args := []string{"updateReport", "saa{sv}", string(c.Report.Update), strconv.Itoa(len(c.Report.Results))}
		for _, r := range c.Report.Results {
			args = append(args, "3", "id", "s", r.ID, "result_code", "i", strconv.Itoa(int(r.Code)), "result_text", "s", r.Text)
		}
		return args
	case agent.SendInstalledPackages:
		args := []string{"sendInstalledPackages", "a(ss)", strconv.Itoa(len(c.Packages))}
		for _, p := range c.Packages {
			args = append(args, p.Name, p.Version)
		}
		return args
	}
	t.Fatalf("%s has no method", c.Name())
	return nil
}

func callByBusctl(t *testing.T, address string, args ...string) {
	t.Helper()
	const name = "org.genivi.SotaClient"
	cmd := exec.Command("busctl", append([]string{"--user", "call", name, "/org/genivi/SotaClient", name}, args...)...)
	cmd.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+address)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("busctl %q: %v\n%s", args, err, out)
	}
}

// playManager is a software loading manager that has this installed.
func playManager(t *testing.T, conn *godbus.Conn, s agent.InstalledSoftware) {
	t.Helper()
	var packages, firmwares []map[string]any
	for _, p := range s.Packages {
		packages = append(packages, map[string]any{"package_id": p.PackageID, "name": p.Name, "description": p.Description, "last_modified": p.LastModified})
	}
	for _, f := range s.Firmwares {
		firmwares = append(firmwares, map[string]any{"module": f.Module, "firmware_id": f.FirmwareID, "last_modified": f.LastModified})
	}
	answer := func(bool, bool) ([]map[string]any, []map[string]any, *godbus.Error) { return packages, firmwares, nil }
	const name = "org.genivi.SoftwareLoadingManager"
	if err := conn.ExportMethodTable(map[string]any{"getInstalledPackages": answer}, "/org/genivi/SoftwareLoadingManager", name); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(name, godbus.NameFlagDoNotQueue); err != nil || reply != godbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
}
