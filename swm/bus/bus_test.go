package bus

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm"
)

// daemon is a real bus.
type daemon struct {
	*testing.T
	address string
	cmd     *exec.Cmd
}

// newDaemon starts a bus, which is the session's for this test.
func newDaemon(t *testing.T) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &daemon{T: t, address: "unix:path=" + filepath.Join(dir, "bus")}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", d.address)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", d.address)
	d.start()
	t.Cleanup(d.kill)
	return d
}

func (d *daemon) start() {
	d.Helper()
	d.cmd = exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1", "--address="+d.address)
	out, err := d.cmd.StdoutPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		d.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		d.Fatalf("dbus-daemon says %q: %v", line, err)
	}
}

func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// manager takes note of what it is told.
type manager struct {
	heard   chan any
	answers chan error // what to answer next; nil when there is none
	link    chan swm.Client
}

func newManager() *manager {
	return &manager{make(chan any, 10), make(chan error, 1), make(chan swm.Client, 1)}
}

func (m *manager) answer() error {
	select {
	case err := <-m.answers:
		return err
	default:
		return nil
	}
}

type downloaded struct {
	path string
	id   ota.UpdateID
}

func (m *manager) UpdateAvailable(o swm.Offer) error { m.heard <- o; return m.answer() }
func (m *manager) DownloadComplete(path string, id ota.UpdateID) error {
	m.heard <- downloaded{path, id}
	return m.answer()
}

func (m *manager) Installed(_ context.Context, packages, firmware bool) (swm.Inventory, error) {
	m.heard <- [2]bool{packages, firmware}
	return swm.Inventory{
		Packages: []swm.InstalledPackage{{ID: ota.PackageID{Name: "gcc", Version: "7.63"}, Description: "compiler", Modified: 1476000000}},
		Firmware: []ota.Firmware{{Module: "ecu", ID: "v1", LastModified: 5}},
	}, m.answer()
}

func (m *manager) Run(ctx context.Context, c swm.Client) error {
	m.link <- c
	<-ctx.Done()
	return nil
}

// serve opens a door and returns the way to the client behind it, and an end.
func serve(t *testing.T, m *manager, o Options) swm.Client {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, m, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return receive(t, m.link)
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing comes")
	}
	panic("unreachable")
}

// busctl calls a method as a stranger would.
func (d *daemon) busctl(args ...string) string {
	d.Helper()
	out, _ := exec.Command("busctl", append([]string{"--address=" + d.address}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

func (d *daemon) call(args ...string) string {
	d.Helper()
	return d.busctl(append([]string{"call", name, path, name}, args...)...)
}

func TestStrangersCalls(t *testing.T) {
	d, m := newDaemon(t), newManager()
	serve(t, m, Options{})
	for _, c := range []struct {
		args []string
		says string
		want any
	}{
		{[]string{"updateAvailable", "sssb", "u1", "A tree", "sig", "true"}, "", swm.Offer{Update: "u1", Description: "A tree", Signature: "sig", Confirm: true}},
		{[]string{"downloadComplete", "ss", "/tmp/u1", "sig"}, "", downloaded{"/tmp/u1", ""}},
		{[]string{"getInstalledPackages", "bb", "true", "false"}, `aa{sv}aa{sv} 1 4 `, [2]bool{true, false}},
		{[]string{"updateAvailable", "ss", "u1", "A tree"}, "", nil},
		{[]string{"downloadComplete", "si", "/tmp/u1", "1"}, "", nil},
		{[]string{"reboot"}, "Unknown method", nil},
	} {
		out := d.call(c.args...)
		if c.want == nil {
			if out == "" || len(m.heard) > 0 {
				t.Errorf("%v: %q, and the manager heard %d", c.args, out, len(m.heard))
			}
			continue
		}
		if !strings.HasPrefix(out, c.says) || c.says == "" && out != "" {
			t.Errorf("%v: %q", c.args, out)
		}
		if diff := cmp.Diff(c.want, receive(t, m.heard), cmp.AllowUnexported(downloaded{})); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
	for _, method := range described.Methods {
		if out := d.busctl("introspect", name, path, name); !strings.Contains(out, "."+method.Name+" ") {
			t.Errorf("introspection lacks %s:\n%s", method.Name, out)
		}
	}
}

// The answer has the members of client.md 5.4.
func TestInventory(t *testing.T) {
	d, m := newDaemon(t), newManager()
	serve(t, m, Options{System: true})
	out := d.call("getInstalledPackages", "bb", "true", "true")
	for _, part := range []string{`"package_id" s "gcc-7.63"`, `"name" s "gcc"`, `"description" s "compiler"`, `"last_modified" t 1476000000`,
		`"module" s "ecu"`, `"firmware_id" s "v1"`, `"last_modified" t 5`} {
		if !strings.Contains(out, part) {
			t.Errorf("%s lacks %s", out, part)
		}
	}
}

func TestCompatOrder(t *testing.T) {
	d, m := newDaemon(t), newManager()
	serve(t, m, Options{CompatOrder: true})
	d.call("updateAvailable", "sssb", "u1", "sig", "A tree", "false")
	if diff := cmp.Diff(any(swm.Offer{Update: "u1", Description: "A tree", Signature: "sig"}), receive(t, m.heard)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What the manager refuses has the specification's name.
func TestRefusals(t *testing.T) {
	d, m := newDaemon(t), newManager()
	serve(t, m, Options{})
	c, err := godbus.Connect(d.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for answer, want := range map[error]string{
		ota.Invalid("no"): "InvalidArgs", ota.Fail(ota.KindTooMany, "many", "no"): "LimitsExceeded", errors.New("no"): "Failed"} {
		m.answers <- answer
		err := c.Object(name, path).Call(name+".downloadComplete", 0, "/x", "").Err
		if bad, ok := errors.AsType[godbus.Error](err); !ok || bad.Name != "org.freedesktop.DBus.Error."+want || bad.Error() != "no" {
			t.Errorf("%v: %v", answer, err)
		}
		receive(t, m.heard)
	}
}

// There is one software loading manager on a bus.
func TestNameIsTaken(t *testing.T) {
	newDaemon(t)
	serve(t, newManager(), Options{})
	if err := Serve(t.Context(), newManager(), Options{}); !errors.Is(err, errTaken) {
		t.Error(err)
	}
}

func TestNoBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus")
	if err := Serve(t.Context(), newManager(), Options{}); err == nil {
		t.Error("there is a bus")
	}
}

// theClient is the other side: it takes note of calls.
type theClient struct{ calls chan []any }

func (c theClient) join(t *testing.T, d *daemon) *godbus.Conn {
	t.Helper()
	conn, err := godbus.Connect(d.address)
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]any{
		"initiateDownload": func(id string) *godbus.Error { c.calls <- []any{id}; return nil },
		"updateReport": func(id string, results []dict) *godbus.Error {
			c.calls <- []any{id, results}
			return nil
		},
	}
	if err := conn.ExportMethodTable(methods, clientPath, clientName); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(clientName, 0); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A client that is not there is no client that refuses: only the latter is an
// end of the matter.
func TestCallsOfTheClient(t *testing.T) {
	d, m := newDaemon(t), newManager()
	link := serve(t, m, Options{})
	report := ota.Outcome("u1", ota.UserDeclined, "no\x00")
	if err := link.SendUpdateReport(t.Context(), report); err == nil {
		t.Error("nobody took the report")
	}
	c := theClient{make(chan []any, 10)}
	defer c.join(t, d).Close()
	if err := errors.Join(link.StartDownload(t.Context(), "u1"), link.SendUpdateReport(t.Context(), report)); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, c.calls); got[0] != "u1" {
		t.Errorf("%v", got)
	}
	want := []any{"u1", []dict{{"id": godbus.MakeVariant("u1"), "result_code": godbus.MakeVariant(int32(13)), "result_text": godbus.MakeVariant("no\uFFFD")}}}
	if diff := cmp.Diff(want, receive(t, c.calls), cmp.Comparer(func(a, b godbus.Variant) bool { return a.Value() == b.Value() })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// This one does not know sendInstalledPackages, as the original does not.
	if err := link.SendInstalledPackages(t.Context(), []ota.PackageID{{Name: "gcc", Version: "7.63"}}); err != nil {
		t.Error(err)
	}
}

// A bus that goes away and comes back finds the manager again.
func TestBusComesBack(t *testing.T) {
	d, m := newDaemon(t), newManager()
	link := serve(t, m, Options{})
	d.kill()
	if err := link.StartDownload(t.Context(), "u1"); err == nil {
		t.Error("somebody heard it")
	}
	d.start()
	deadline := time.Now().Add(time.Minute)
	for d.call("downloadComplete", "ss", "/tmp/u1", "") != "" {
		if time.Now().After(deadline) {
			t.Fatal("it does not come back")
		}
	}
	receive(t, m.heard)
}
