package packaging

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

const (
	sotaClient = "org.genivi.SotaClient"
	manager    = "org.genivi.SoftwareLoadingManager"
)

// rights are what our policy may allow on the system bus.
type rights struct{ OwnClient, CallClient, HearClient, OwnManager, CallManager bool }

// The test runs as one user, whom it puts into the place of each of the users
// that the policy knows.
func TestWhoMayTalkOnTheSystemBus(t *testing.T) {
	me, mine, nobody := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid()), "65534"
	for _, c := range []struct {
		who, user, group string
		want             rights
	}{
		{"root", me, nobody, rights{true, true, true, true, true}},
		{"the group", nobody, mine, rights{CallClient: true, HearClient: true}},
		{"a stranger", nobody, nobody, rights{}},
	} {
		policy := policyFor(t, c.user, c.group)
		bus := systemBus(t, policy, "")
		got := rights{OwnClient: mayOwn(t, bus, sotaClient), OwnManager: mayOwn(t, bus, manager)}
		// Here anyone may have the names, so that there is someone to talk to.
		bus = systemBus(t, policy, `<policy context="mandatory"><allow own="*"/></policy>`)
		got.CallClient, got.HearClient = mayTalk(t, bus, sotaClient)
		got.CallManager, _ = mayTalk(t, bus, manager)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.who, diff)
		}
	}
}

// policyFor is our policy with other users in the place of its own.
func policyFor(t *testing.T, user, group string) string {
	t.Helper()
	b, err := os.ReadFile("dbus/org.genivi.SotaClient.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, place := range []struct{ from, to string }{{`user="root"`, `user="` + user + `"`}, {`group="updraft"`, `group="` + group + `"`}} {
		if strings.Count(text, place.from) != 1 {
			t.Fatalf("the policy says %s not once", place.from)
		}
		text = strings.Replace(text, place.from, place.to, 1)
	}
	path := filepath.Join(t.TempDir(), "policy.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// systemBus starts a bus with this machine's own policy for the system bus,
// ours, and some more, and returns its address.
func systemBus(t *testing.T, policy, more string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus-") // short: a socket's path may have 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	system, err := os.ReadFile("/usr/share/dbus-1/system.conf")
	if err != nil {
		t.Fatal(err)
	}
	general := regexp.MustCompile(`(?s)<policy.*?</policy>`).FindAllString(string(system), -1)
	address := "unix:path=" + dir + "/bus"
	config := fmt.Sprintf("<busconfig><type>system</type><auth>EXTERNAL</auth><listen>%s</listen>%s<include>%s</include>%s</busconfig>",
		address, strings.Join(general, ""), policy, more)
	if err := os.WriteFile(dir+"/system.conf", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--config-file="+dir+"/system.conf", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("dbus-daemon says %q: %v", line, err)
	}
	return address
}

func connect(t *testing.T, bus string) *dbus.Conn {
	t.Helper()
	c, err := dbus.Connect(bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mayOwn(t *testing.T, bus, name string) bool {
	t.Helper()
	_, err := connect(t, bus).RequestName(name, dbus.NameFlagDoNotQueue)
	return allowed(t, err)
}

// mayTalk tells whether one may call a program of that name, and hear it.
func mayTalk(t *testing.T, bus, name string) (call, hear bool) {
	t.Helper()
	program := connect(t, bus)
	if _, err := program.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	caller := connect(t, bus)
	call = allowed(t, caller.Object(name, "/").Call("org.freedesktop.DBus.Peer.Ping", 0).Err)

	if err := caller.AddMatchSignal(dbus.WithMatchObjectPath("/org/genivi")); err != nil {
		t.Fatal(err)
	}
	heard := make(chan *dbus.Signal, 10)
	caller.Signal(heard)
	for _, signal := range []string{name + ".Event", "org.example.Everyone.Hears"} {
		if err := program.Emit("/org/genivi", signal); err != nil {
			t.Fatal(err)
		}
	}
	for {
		select {
		case s := <-heard:
			if s.Name == "org.example.Everyone.Hears" {
				return call, hear
			}
			hear = hear || s.Name == name+".Event"
		case <-time.After(time.Minute):
			t.Fatal("nothing is heard")
		}
	}
}

// allowed reports whether a policy forbade a call; no other failure is expected.
func allowed(t *testing.T, err error) bool {
	t.Helper()
	if e, ok := err.(dbus.Error); ok && e.Name == "org.freedesktop.DBus.Error.AccessDenied" {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}
