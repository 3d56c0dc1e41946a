package dbus

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"
)

// daemon is a real dbus-daemon of this test's own.
type daemon struct {
	t       *testing.T
	address string
	config  string // a file; "": that of the session bus
	cmd     *exec.Cmd
}

// newDaemon says where a bus will be.
func newDaemon(t *testing.T) *daemon {
	d := &daemon{t: t, address: "unix:path=" + godbus.EscapeBusAddressValue(filepath.Join(shortDir(t), "bus"))}
	t.Cleanup(d.kill)
	return d
}

// shortDir is for sockets, whose paths may have 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start starts the bus and waits until it listens.
func (d *daemon) start() {
	d.t.Helper()
	config := "--session"
	if d.config != "" {
		config = "--config-file=" + d.config
	}
	d.cmd = exec.Command("dbus-daemon", config, "--nofork", "--nopidfile", "--print-address=1", "--address="+d.address)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.cmd.StdoutPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		d.t.Fatalf("dbus-daemon says %q: %v", line, err)
	}
}

// kill ends the bus, if it runs.
func (d *daemon) kill() {
	if d.cmd != nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
		d.cmd = nil
	}
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// connect makes a peer of the bus, which has the given names.
func (d *daemon) connect(names ...string) *godbus.Conn {
	d.t.Helper()
	return d.connectWith(nil, names...)
}

func (d *daemon) connectWith(h godbus.Handler, names ...string) *godbus.Conn {
	d.t.Helper()
	var opts []godbus.ConnOption
	if h != nil {
		opts = append(opts, godbus.WithHandler(h))
	}
	c, err := godbus.Connect(d.address, opts...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	for _, n := range names {
		if reply, err := c.RequestName(n, godbus.NameFlagDoNotQueue); err != nil || reply != godbus.RequestNameReplyPrimaryOwner {
			d.t.Fatal(n, reply, err)
		}
	}
	return c
}

// run runs a program that knows where the bus is.
func (d *daemon) run(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(d.t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+d.address, "LC_ALL=C", "SYSTEMD_COLORS=0", "PAGER=cat")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs a program that succeeds.
func (d *daemon) must(name string, args ...string) string {
	d.t.Helper()
	out, err := d.run(name, args...)
	if err != nil {
		d.t.Fatalf("%s %.300q: %v\n%s", name, args, err, out)
	}
	return out
}

// ear is a stranger's "gdbus monitor".
type ear struct {
	t    *testing.T
	all  []string
	next chan string
}

// listen begins to monitor our object, and returns when it does. Because gdbus
// says that it has found us before it asks for signals, probe must cause some.
func (d *daemon) listen(probe func()) *ear {
	d.t.Helper()
	cmd := exec.Command("gdbus", "monitor", "--address", d.address, "--dest", "org.genivi.SotaClient", "--object-path", "/org/genivi/SotaClient")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	e := &ear{t: d.t, next: make(chan string, 1000)}
	var reader sync.WaitGroup
	reader.Go(func() { e.read(out) })
	d.t.Cleanup(func() {
		cmd.Process.Kill()
		reader.Wait()
		cmd.Wait()
	})
	e.hears("is owned by")
	for {
		probe()
		select {
		case <-e.next:
			return e
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (e *ear) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		e.next <- lines.Text()
	}
}

// hears waits for a line with all the texts, and returns it.
func (e *ear) hears(texts ...string) string {
	e.t.Helper()
	timeout := time.After(time.Minute)
	for {
		var line string
		select {
		case line = <-e.next:
		case <-timeout:
			e.t.Fatalf("not heard: %q; but:\n%s", texts, strings.Join(e.all, "\n"))
		}
		e.all = append(e.all, line)
		ok := true
		for _, text := range texts {
			ok = ok && strings.Contains(line, text)
		}
		if ok {
			return line
		}
	}
}

// signals begins to hear what we tell.
func (d *daemon) signals() <-chan *godbus.Signal {
	d.t.Helper()
	c := d.connect()
	heard := make(chan *godbus.Signal, 1000)
	if err := c.AddMatchSignal(godbus.WithMatchInterface("org.genivi.SotaClient"), godbus.WithMatchMember("Event")); err != nil {
		d.t.Fatal(err)
	}
	c.Signal(heard)
	return heard
}

// peer answers all method calls in one function. It notes them as one line
// each, with values in Go's form.
type peer struct {
	heard  chan string
	answer func(method string, body []any) ([]any, error)
}

func newPeer(answer func(string, []any) ([]any, error)) *peer {
	return &peer{heard: make(chan string, 1000), answer: answer}
}

func (p *peer) LookupObject(path godbus.ObjectPath) (godbus.ServerObject, bool) {
	return peerObject{p, string(path)}, true
}

type peerObject struct {
	*peer
	path string
}

type peerMethod struct {
	peerObject
	call
	name string
}

func (o peerObject) LookupInterface(name string) (godbus.Interface, bool) {
	o.path += " " + name
	return o, true
}

func (o peerObject) LookupMethod(name string) (godbus.Method, bool) {
	return peerMethod{peerObject: o, name: name}, true
}

func (m peerMethod) Call(body ...any) ([]any, error) {
	m.heard <- fmt.Sprintf("%s %#v", m.name, body)
	if m.path != "/org/genivi/SoftwareLoadingManager org.genivi.SoftwareLoadingManager" {
		m.heard <- "wrong address: " + m.path
	}
	return m.answer(m.name, body)
}

// silent is a manager that takes calls and does nothing.
func silent(string, []any) ([]any, error) { return nil, nil }
