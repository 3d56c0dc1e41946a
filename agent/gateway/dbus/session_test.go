package dbus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestABusThatComesLateAndStartsAnew(t *testing.T) {
	w := newWorld(t)
	w.hidden.Store(true)
	w.startClient()
	w.log.says(t, "no bus, will try again")
	w.server.offer(u1, "the image", false)
	w.do(agent.GetUpdateRequests{})

	w.bus.start()
	heard := w.bus.signals()
	w.hidden.Store(false)
	w.opened()
	for _, want := range []string{"UpdatesReceived", "DownloadingUpdate", "DownloadComplete"} {
		for receive(t, heard).Body[0] != want { // among others, in order
		}
	}
	m, _ := w.manager(silent)
	equal(t, w.downloadComplete(u1), receive(t, m.heard))

	w.bus.kill()
	w.log.says(t, "the bus went away")
	w.do(agent.ListInstalledPackages{}) // nobody hears, nobody waits
	w.bus.start()
	w.opened()
	m, _ = w.manager(silent)
	equal(t, w.downloadComplete(u1), receive(t, m.heard))
	if err := w.call("updateReport", u1, []map[string]any{{"id": u1, "result_code": 1, "result_text": ""}}); err != nil {
		t.Fatal(err)
	}
	equal(t, ota.Outcome(u1, ota.AlreadyProcessed, ""), receive(t, w.server.reports))
}

// A bus that takes nothing holds up neither the client nor its end.
func TestABusThatIsStuck(t *testing.T) {
	w := newWorld(t)
	w.cfg.Device.SystemInfo = filepath.Join(t.TempDir(), "info")
	script := "#!/bin/sh\nprintf '{\"x\":\"%0100000d\"}' 0\n"
	if err := os.WriteFile(w.cfg.Device.SystemInfo, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.bus.start()
	w.startClient()
	w.opened()
	w.bus.signal(syscall.SIGSTOP)
	for range 20 { // far more than a socket holds
		if _, ok := w.do(agent.ListSystemInfo{}).(agent.FoundSystemInfo); !ok {
			t.Fatal("no system info")
		}
	}
	w.end()
}

func TestAStuckBusIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.cfg.Device.SystemInfo = filepath.Join(t.TempDir(), "info")
	script := "#!/bin/sh\nprintf '{\"x\":\"%0900000d\"}' 0\n"
	if err := os.WriteFile(w.cfg.Device.SystemInfo, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := w.cfg.Apply(map[string]string{"dbus-timeout": "1"}); err != nil {
		t.Fatal(err)
	}
	w.bus.start()
	w.startClient()
	w.opened()
	w.bus.signal(syscall.SIGSTOP)
	w.do(agent.ListSystemInfo{})
	w.log.says(t, "the bus went away")
	w.bus.signal(syscall.SIGCONT)
	w.opened()
	w.listen()
}

// Who has our name keeps it; it becomes ours with the other's end.
func TestANameThatIsTaken(t *testing.T) {
	w := newWorld(t)
	w.bus.start()
	other := w.bus.connect("org.genivi.SotaClient")
	w.startClient()
	w.log.says(t, "another program has our name")
	w.opened()
	other.Close()
	w.log.says(t, "our name on the bus is ours")
	if err := w.call("sendInstalledPackages", []pair{{"a", "1"}}); err != nil {
		t.Error(err)
	}
}

// A policy that comes late, as when packages are installed in any order.
func TestABusThatRefusesOurName(t *testing.T) {
	w := newWorld(t)
	w.bus.config = filepath.Join(t.TempDir(), "bus.conf")
	policy := func(own string) {
		config := "<busconfig><listen>unix:tmpdir=/tmp</listen><policy context='default'>" +
			"<allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><" + own + " own='*'/></policy></busconfig>"
		if err := os.WriteFile(w.bus.config, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	policy("deny")
	w.bus.start()
	w.startClient()
	w.log.says(t, "a policy must allow it")
	policy("allow")
	w.bus.signal(syscall.SIGHUP)
	w.opened()
	if err := w.call("sendInstalledPackages", []pair{{"a", "1"}}); err != nil {
		t.Error(err)
	}
}

func TestACommandThatCannotWait(t *testing.T) {
	w := start(t)
	hold := make(chan struct{})
	w.server.set(hold)
	go w.agent.Do(context.Background(), agent.GetUpdateRequests{})
	receive(t, w.server.held)
	var err error
	for range 2000 {
		if err = w.door.post(agent.ListInstalledPackages{}); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("the queue has no end")
	}
	err = w.call("initiateDownload", u1)
	close(hold)
	if err == nil || !strings.Contains(err.Error(), "commands are waiting") {
		t.Error(err)
	}
}

func TestWhereTheBusIs(t *testing.T) {
	for _, c := range []struct{ bus, env, want string }{
		{"system", "", "unix:path=/run/dbus/system_bus_socket"},
		{"system", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/x", "unix:path=/x"},
		{"session", "DBUS_SESSION_BUS_ADDRESS=unix:path=/x", "unix:path=/x"},
		{"session", "XDG_RUNTIME_DIR=/run/user/0 1", "unix:path=/run/user/0%201/bus"},
		{"session", "", ""},
	} {
		got, err := address(c.bus, func(name string) string {
			value, _ := strings.CutPrefix(c.env, name+"=")
			if value == c.env {
				return ""
			}
			return value
		})
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v: %q, %v", c, got, err)
		}
	}
	for address, want := range map[string]string{
		"unix:path=/run/bus":                     "/run/bus",
		"unix:guid=0123,path=/a%20b":             "/a b",
		"unix:abstract=/tmp/dbus-x,guid=0":       "@/tmp/dbus-x",
		"unix:path=%zz":                          "",
		"unix:tmpdir=/tmp":                       "",
		"tcp:host=localhost,port=1":              "",
		"autolaunch:":                            "",
		"unixexec:path=/bin/sh,argv1=-c,argv2=x": "",
	} {
		if got, err := socket(address); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	w := start(t)
	c, err := dial(t.Context(), "tcp:host=x;unix:path=/nowhere;"+w.bus.address)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := dial(t.Context(), "tcp:host=x;unix:path=/nowhere"); err == nil || !strings.Contains(fmt.Sprint(err), "/nowhere") {
		t.Error(err)
	}
}
