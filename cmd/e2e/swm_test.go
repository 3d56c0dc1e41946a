package e2e_test

import (
	"archive/tar"
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// managed is a device whose client has no package manager: a software loading
// manager installs.
type managed struct {
	*car
	manager *process
	accept  string
	input   string // on the manager's terminal
	bus     string // address; "" where there is none, and sockets are used
	sockets string // directory
	plugins string
}

// newManaged registers a device. Nothing is started but a bus, if it has one.
func newManaged(s *site, name string, onBus bool) *managed {
	s.Helper()
	m := &managed{car: newCar(s, name), accept: "all", sockets: shortDir(s.T)}
	m.plugins = filepath.Join(m.dir, "plugins")
	m.extra = []string{"--device-package-manager", "off"}
	if onBus {
		m.bus = startBus(s.T, m.sockets)
		m.extra = append(m.extra, "--gateway-dbus", "true", "--dbus-bus", "session")
	} else {
		m.extra = append(m.extra, "--gateway-socket", "true",
			"--network-socket-events-path", m.events(), "--network-socket-commands-path", m.commands())
	}
	return m
}

func (m *managed) events() string   { return filepath.Join(m.sockets, "events") }
func (m *managed) commands() string { return filepath.Join(m.sockets, "commands") }

// shortDir is for sockets, whose paths may have 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// startBus starts a bus and returns its address.
func startBus(t *testing.T, dir string) string {
	t.Helper()
	address := "unix:path=" + filepath.Join(dir, "bus")
	launch(t, "bus", exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1", "--address="+address)).says("unix:path=")
	return address
}

func (m *managed) start(env ...string) {
	m.Helper()
	m.car.start(append(env, "DBUS_SESSION_BUS_ADDRESS="+m.bus)...)
}

// startManager starts the software loading manager.
func (m *managed) startManager(env ...string) {
	m.Helper()
	args := []string{"swm", "--state-dir", filepath.Join(m.dir, "swm"), "--root", m.root, "--plugins", m.plugins, "--accept", m.accept}
	if m.bus == "" {
		args = append(args, "--events-socket", m.events(), "--commands-socket", m.commands())
	}
	cmd := self("agent", args...)
	cmd.Env = append(append(cmd.Env, env...), "DBUS_SESSION_BUS_ADDRESS="+m.bus)
	cmd.Stdin = strings.NewReader(m.input)
	m.manager = launch(m.T, "software loading manager of "+m.name, cmd)
}

// plugin makes a plug-in of a shell script.
func (m *managed) plugin(name, script string) {
	m.Helper()
	write(m.T, filepath.Join(m.plugins, name), "#!/bin/sh\nset -e\n"+script+"\n", 0o755)
}

// image is an update image: files by name, the manifest among them.
type image map[string]string

// tool is an image that installs a package, a file, and a partition.
func tool(t *testing.T, of scripts) image {
	t.Helper()
	deb, err := os.ReadFile(buildDeb(t, "tool", "1.0", of))
	if err != nil {
		t.Fatal(err)
	}
	return image{
		"packages/tool.deb": string(deb),
		"tool.conf":         "colour = green\n",
		"update_manifest.json": `{"name":"tool","description":"A tool and what it needs","operations":[
			{"id":"package","operation":"install_package","image":"packages/tool.deb"},
			{"id":"config","operation":"install_config","image":"tool.conf","path":"/etc/tool.conf","onFailure":"continue"},
			{"id":"partition","operation":"create_partition","parameters":{"disk":"/dev/null","size":"64M"}}]}`,
	}
}

// tar writes the image as one.
func (i image) tar(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for name, text := range i {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// squashfs writes the image as one.
func (i image) squashfs(t *testing.T) string {
	t.Helper()
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "image.squashfs")
	for name, text := range i {
		write(t, filepath.Join(dir, name), text, 0o644)
	}
	if out, err := exec.Command("mksquashfs", dir, path, "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v\n%s", err, out)
	}
	return path
}

// hasTool waits for the end of the update and checks that all is well.
func (m *managed) hasTool(id string) {
	m.Helper()
	m.await(id, ota.Finished)
	m.car.lists("tool", "1.0")
	m.installed("tool", "1.0")
	m.counts("postinst done", 1)
	if b, err := os.ReadFile(filepath.Join(m.root, "etc/tool.conf")); string(b) != "colour = green\n" {
		m.Errorf("the configuration is %q: %v", b, err)
	}
	list := m.results(id)
	if len(list) != 3 {
		m.Fatalf("results: %v, want one for each of 3 operations", list)
	}
	for i, op := range []string{"package: ", "config: ", "partition: "} {
		if r := list[i]; r.ResultCode != ota.OK || !strings.HasPrefix(r.ResultText, op) {
			m.Errorf("result %d is %v, want %s OK", i, r, op)
		}
	}
	until(m.T, "the manager to be done", func() bool { return m.left() == 0 })
}

// left counts what the manager has unpacked.
func (m *managed) left() int {
	list, err := os.ReadDir(filepath.Join(m.dir, "swm/work"))
	if err != nil {
		m.Fatal(err)
	}
	return len(list)
}

// partition is the plug-in for the image's partition.
const partition = `test "$SWM_PARAM_DISK" = /dev/null; test "$SWM_PARAM_SIZE" = 64M; echo "made it, attempt $SWM_ATTEMPT"`

// A package in a tar and in a squashfs image, over D-Bus and over sockets: the
// flow of seed 000.
func TestAManagerInstalls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(tool(t, nil).tar(t), "tool-image", "tar")
	s.publish(tool(t, nil).squashfs(t), "tool-image", "squashfs")
	for _, way := range []struct {
		format string
		onBus  bool
	}{{"tar", true}, {"squashfs", true}, {"tar", false}, {"squashfs", false}} {
		t.Run(fmt.Sprintf("%s,bus=%t", way.format, way.onBus), func(t *testing.T) {
			t.Parallel()
			m := newManaged(s.in(t), strings.ReplaceAll(t.Name(), "/", "-"), way.onBus)
			m.plugin("create_partition", partition)
			m.start()
			m.startManager()
			m.hasTool(m.send("tool-image", way.format))
			m.rests()
			m.manager.terminate()
		})
	}
}

// A manager that is killed at any step, and started again, ends as if it had
// not been.
func TestAManagerDiesAtEveryStep(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(tool(t, nil).tar(t), "tool-image", "1.0")
	for point, times := range map[string]int{"announced": 1, "unpacked": 7, "started": 2, "concluded": 1, "reported": 1, "closed": 1} {
		for n := range times {
			for _, onBus := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s#%d,bus=%t", point, n+1, onBus), func(t *testing.T) {
					t.Parallel()
					m := newManaged(s.in(t), strings.ReplaceAll(t.Name(), "/", "-"), onBus)
					m.plugin("create_partition", partition)
					m.start()
					m.startManager(killAt(point, n+1))
					id := m.send("tool-image", "1.0")
					m.manager.killed()
					m.startManager()
					m.hasTool(id)
					m.rests()
					m.hasTool(id) // nothing came twice
				})
			}
		}
	}
}

// A manager that is killed while dpkg runs a maintainer script waits for it
// when it is back; dpkg is not disturbed.
func TestAManagerDiesDuringAMaintainerScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(tool(t, scripts{"postinst": atTheGate}).squashfs(t), "tool-image", "1.0")
	m := newManaged(s, "gated", true)
	m.plugin("create_partition", partition)
	g := m.gate()
	m.start()
	m.startManager()
	id := m.send("tool-image", "1.0")
	pid := g.reached()
	m.manager.kill()
	m.startManager()
	m.manager.says("waiting for what an earlier manager started")
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("dpkg died with the manager: %v", err)
	}
	g.open()
	m.hasTool(id)
	m.counts("postinst began", 1)
	m.rests()
	m.hasTool(id)
}

// The same of a plug-in, which is run again.
func TestAManagerDiesDuringAPlugin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(tool(t, nil).tar(t), "tool-image", "1.0")
	m := newManaged(s, "plugged", false)
	hello, answer := fifo(t, filepath.Join(m.dir, "hello")), fifo(t, filepath.Join(m.dir, "answer"))
	m.plugin("create_partition", fmt.Sprintf("echo $$ $SWM_ATTEMPT > %s; read word < %s; echo made it", hello.Name(), answer.Name()))
	m.start()
	m.startManager()
	id := m.send("tool-image", "1.0")
	at := bufio.NewReader(hello)
	attempt := func(n int) {
		t.Helper()
		var pid, number int
		if line, err := at.ReadString('\n'); err != nil {
			t.Fatal(err)
		} else if _, err := fmt.Sscan(line, &pid, &number); err != nil || number != n {
			t.Fatalf("the plug-in says %q: %v", line, err)
		}
	}
	attempt(1)
	m.manager.kill()
	m.startManager()
	m.manager.says("waiting for what an earlier manager started")
	answer.WriteString("go\n")
	attempt(2)
	answer.WriteString("go\n")
	m.hasTool(id)
}

// A client that dies while the manager installs is told when it is back; one
// that loses a report asks again.
func TestAClientDiesWhileItsManagerInstalls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(tool(t, scripts{"postinst": atTheGate}).tar(t), "tool-image", "1.0")
	for _, onBus := range []bool{true, false} {
		t.Run(fmt.Sprintf("bus=%t", onBus), func(t *testing.T) {
			t.Parallel()
			m := newManaged(s.in(t), strings.ReplaceAll(t.Name(), "/", "-"), onBus)
			m.plugin("create_partition", partition)
			g := m.gate()
			m.start()
			m.startManager()
			id := m.send("tool-image", "1.0")
			g.reached()
			m.kill()
			g.open()
			m.manager.says("will try again")
			m.start()
			m.hasTool(id)
			m.rests()
		})
	}
}

// Users are asked about updates that need it, and what they say reaches the
// server.
func TestAManagerAsksItsUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(tool(t, nil).tar(t), "tool-image", "1.0")
	send := func(m *managed) string {
		t.Helper()
		out := s.must("update", "send", "--confirm", "--device", m.uuid, "--package", "tool-image=1.0")
		var id string
		if _, err := fmt.Sscanf(out[strings.Index(out, `"id"`):], `"id": %q`, &id); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		return id
	}
	no := newManaged(s, "no", true)
	no.accept = "none"
	no.start()
	no.startManager()
	declined := send(no)
	no.await(declined, ota.Failed)
	no.reported(declined, ota.UserDeclined)
	if _, err := os.Stat(filepath.Join(no.root, "var")); !os.IsNotExist(err) {
		t.Errorf("dpkg was at work: %v", err)
	}

	yes := newManaged(s, "yes", true)
	yes.accept, yes.input = "ask", "perhaps\nyes\n"
	yes.plugin("create_partition", partition)
	yes.start()
	yes.startManager()
	yes.hasTool(send(yes))
	if said := yes.manager.said(); strings.Count(said, "Download and install it? [y/n]") != 2 {
		t.Errorf("the manager asks: %s", said)
	}
}

// An operation that fails ends the update, and the others say that they were
// not run; one that may fail does not.
func TestAManagerTellsWhatFailed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	broken := tool(t, scripts{"postinst": "echo the disk is on fire >&2; exit 3"})
	s.publish(broken.squashfs(t), "broken", "1.0")
	m := newManaged(s, "unlucky", true)
	m.start()
	m.startManager()
	id := m.send("broken", "1.0")
	m.await(id, ota.Failed)
	list := m.results(id)
	if len(list) != 3 || list[0].ResultCode != ota.InstallFailed || list[1].ResultCode.Success() || list[2].ResultCode.Success() {
		t.Fatalf("results: %v", list)
	}
	if !strings.Contains(list[0].ResultText, "the disk is on fire") || !strings.Contains(list[1].ResultText, "not run") {
		t.Errorf("results: %v", list)
	}
	if _, err := os.Stat(filepath.Join(m.root, "etc/tool.conf")); err == nil || !os.IsNotExist(err) {
		t.Errorf("the configuration was written: %v", err)
	}
}
