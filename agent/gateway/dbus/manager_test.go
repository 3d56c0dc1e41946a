package dbus

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// image is where the client puts an update's image.
func (w *world) image(id string) string {
	return filepath.Join(w.cfg.Device.PackagesDir, id)
}

func (w *world) downloadComplete(id string) string {
	return fmt.Sprintf("downloadComplete %#v", []any{w.image(id), "sig"})
}

func TestAnUpdateFromQuestionToReport(t *testing.T) {
	for _, c := range []struct {
		compat   string
		question []any
	}{
		{"false", []any{u1, "A tree", "sig", true}},
		{"true", []any{u1, "sig", "A tree", true}}, // the original's order
	} {
		w := newWorld(t)
		if err := w.cfg.Apply(map[string]string{"dbus-compat-order": c.compat}); err != nil {
			t.Fatal(err)
		}
		w.bus.start()
		w.startClient()
		w.opened()
		m, _ := w.manager(silent)

		w.server.offer(u1, "the image", true)
		w.do(agent.GetUpdateRequests{})
		equal(t, fmt.Sprintf("updateAvailable %#v", c.question), receive(t, m.heard))
		if err := w.call("initiateDownload", u1); err != nil {
			t.Fatal(err)
		}
		equal(t, w.downloadComplete(u1), receive(t, m.heard))
		if b, err := os.ReadFile(w.image(u1)); string(b) != "the image" {
			t.Error(b, err)
		}
		if err := w.call("updateReport", u1, []map[string]any{{"id": u1, "result_code": 0, "result_text": "done"}}); err != nil {
			t.Fatal(err)
		}
		equal(t, ota.Outcome(u1, ota.OK, "done"), receive(t, w.server.reports))
	}
}

// A manager that dies over an image, or starts late, is told of it until it
// reports; one that only takes its time is not told twice.
func TestAManagerThatDiesIsToldAgain(t *testing.T) {
	w := start(t)
	w.server.offer(u1, "the image", false)
	w.do(agent.GetUpdateRequests{})
	w.log.says(t, "the software loading manager is not there")

	hang := make(chan struct{})
	defer close(hang)
	late, conn := w.manager(func(string, []any) ([]any, error) {
		<-hang
		return nil, nil
	})
	equal(t, w.downloadComplete(u1), receive(t, late.heard))
	conn.Close() // killed in the middle of it

	again, conn := w.manager(silent)
	equal(t, w.downloadComplete(u1), receive(t, again.heard))
	if err := w.call("updateReport", u1, []map[string]any{{"id": u1, "result_code": int32(4), "result_text": "no"}}); err != nil {
		t.Fatal(err)
	}
	equal(t, ota.Outcome(u1, ota.InstallFailed, "no"), receive(t, w.server.reports))
	conn.Close()

	last, _ := w.manager(silent)
	w.server.notices <- ota.ListWanted{}
	equal(t, "getInstalledPackages []interface {}{true, false}", receive(t, last.heard)) // and nothing before it
	nothing(t, late.heard)
	nothing(t, again.heard)
}

// What other gateways bring to an end is known from the server's next list.
func TestWhatTheServerNoLongerOffersIsNotToldAgain(t *testing.T) {
	w := start(t)
	w.server.offer(u1, "the image", false)
	w.do(agent.GetUpdateRequests{})
	w.log.says(t, "the software loading manager is not there")
	w.do(agent.SendUpdateReport{Report: ota.Outcome(u1, ota.OK, "")})
	w.do(agent.GetUpdateRequests{})
	w.listen() // what it heard, the door has told after it knew of the list

	m, _ := w.manager(silent)
	w.server.notices <- ota.ListWanted{}
	equal(t, "getInstalledPackages []interface {}{true, false}", receive(t, m.heard))
}

// The journal remembers what the manager has not reported.
func TestAClientThatStartsAnewTellsTheManager(t *testing.T) {
	w := start(t)
	m, _ := w.manager(silent)
	w.server.offer(u1, "the image", false)
	w.do(agent.GetUpdateRequests{})
	equal(t, w.downloadComplete(u1), receive(t, m.heard))
	w.end()
	w.startClient()
	w.opened()
	equal(t, w.downloadComplete(u1), receive(t, m.heard))
}

func TestInstalledSoftware(t *testing.T) {
	w := start(t)
	type dict = map[string]any
	var mu sync.Mutex
	var answer []any
	m, _ := w.manager(func(method string, _ []any) ([]any, error) {
		mu.Lock()
		defer mu.Unlock()
		return answer, nil
	})
	ask := func(a ...any) {
		mu.Lock()
		answer = a
		mu.Unlock()
		w.server.notices <- ota.ListWanted{}
		equal(t, "getInstalledPackages []interface {}{true, false}", receive(t, m.heard))
	}
	good := dict{"package_id": "gcc-7.63", "name": "gcc", "description": "C", "last_modified": uint64(1476000000)}
	ask([]dict{good}, []dict{{"module": "ecu1", "firmware_id": "f", "last_modified": int32(1476000000)}})
	equal(t, ota.Inventory{
		Packages: []ota.Installed{{PackageID: ota.PackageID{Name: "gcc", Version: "7.63"}}},
		Firmware: []ota.Firmware{{Module: "ecu1", ID: "f", LastModified: 1476000000}},
	}, receive(t, w.server.lists))

	for _, nonsense := range []struct {
		answer []any
		why    string
	}{
		{nil, "0 values, expected 2"},
		{[]any{"a", "b"}, "expected values of type aa{sv}"},
		{[]any{[]string{"package-1", "package-2"}}, "1 values, expected 2"}, // the reference manager's stub
		{[]any{[]dict{good}, []dict{{}}}, "firmware[0]: module is missing"},
		{[]any{[]dict{good, {"package_id": 1}}, []dict{}}, "packages[1]: package_id must be of type s"},
		{[]any{[]dict{{"package_id": "a", "name": "a", "description": "", "last_modified": int64(-1)}}, []dict{}}, "packages[0]: last_modified is negative"},
		{[]any{make([]dict, ota.MaxInventory+1), []dict{}}, "50001 packages or firmware modules, at most 50000 are allowed"},
	} {
		ask(nonsense.answer...)
		w.log.says(t, nonsense.why)
	}
	nothing(t, w.server.lists)

	// A name that no server takes keeps no other from being told.
	ask([]dict{good, {"package_id": "", "name": "x", "description": "", "last_modified": uint64(1)}}, []dict{{"module": "a\nb", "firmware_id": "f", "last_modified": uint64(1)}})
	equal(t, ota.Inventory{Packages: []ota.Installed{{PackageID: ota.PackageID{Name: "gcc", Version: "7.63"}}}}, receive(t, w.server.lists))
	w.log.says(t, "package_id is empty")

	ask(godbus.NewError("org.example.Error.Busy", []any{"try later"})) // not an answer at all
	ask([]dict{}, []dict{})
	equal(t, ota.Inventory{}, receive(t, w.server.lists))
}

func TestAManagerThatHangs(t *testing.T) {
	w := newWorld(t)
	equal(t, time.Minute, (&Gateway{cfg: *w.cfg.DBus}).timeout())
	if err := w.cfg.Apply(map[string]string{"dbus-timeout": "1"}); err != nil {
		t.Fatal(err)
	}
	w.bus.start()
	w.startClient()
	w.opened()
	hang := make(chan struct{})
	defer close(hang)
	m, _ := w.manager(func(string, []any) ([]any, error) {
		<-hang
		return nil, nil
	})
	w.server.notices <- ota.ListWanted{}
	receive(t, m.heard)
	// Meanwhile nobody else waits.
	ear := w.listen()
	w.do(agent.SendInstalledPackages{})
	ear.hears("InstalledPackagesSent")
	w.log.says(t, "the software loading manager does not answer")
	w.server.notices <- ota.ListWanted{}
	receive(t, m.heard)
}

func TestAManagerThatRefuses(t *testing.T) {
	w := start(t)
	m, _ := w.manager(func(string, []any) ([]any, error) {
		return nil, godbus.NewError("org.example.Busy", []any{"not now"})
	})
	w.server.offer(u1, "the image", false)
	w.do(agent.GetUpdateRequests{})
	equal(t, w.downloadComplete(u1), receive(t, m.heard))
	w.log.says(t, `answered with an error" gateway=dbus method=downloadComplete update=`+u1+` err="not now"`)
	w.server.notices <- ota.ListWanted{}
	receive(t, m.heard)
	w.log.says(t, `answered with an error" gateway=dbus method=getInstalledPackages`)
}

// The bus starts a manager that is not there, and such a manager is told once.
func TestErrandsAreRunOnce(t *testing.T) {
	var es errands
	e := es.follow(agent.DownloadComplete{Image: agent.Downloaded{Update: u1, Path: "/a"}}, false)
	if !es.begin(e) || es.begin(e) {
		t.Error("begun twice")
	}
	es.orphan()
	renewed := es.all()[0]
	es.end(e) // of a call to a manager that is gone
	if !es.begin(renewed) || es.begin(e) {
		t.Error("not begun anew")
	}
	next := es.follow(agent.DownloadComplete{Image: agent.Downloaded{Update: u1, Path: "/b"}}, false)
	equal(t, 1, len(es.all()))
	for _, over := range []agent.Event{
		agent.DownloadingUpdate{Update: u1}, agent.DownloadFailed{Update: u1}, agent.InstallingUpdate{Update: u1},
		agent.InstallComplete{Report: ota.Outcome(u1, ota.OK, "")}, agent.InstallFailed{Report: ota.Outcome(u1, ota.InstallFailed, "")},
		agent.NoUpdateRequests{}, agent.UpdatesReceived{Updates: []ota.Offer{{Update: "other"}}},
	} {
		es.put(next)
		es.follow(agent.UpdatesReceived{Updates: []ota.Offer{{Update: u1}}}, false)
		equal(t, 1, len(es.all()))
		if es.follow(over, false) != nil || len(es.all()) != 0 {
			t.Errorf("%T leaves an errand", over)
		}
	}
	for i := range maxErrands + 10 {
		es.follow(agent.UpdateAvailable{Update: agent.Available{Update: ota.UpdateID(fmt.Sprint(i))}}, false)
	}
	equal(t, maxErrands, len(es.all()))
	equal(t, "10", string(es.all()[0].update))
}

func TestTextsTheBusWouldNotCarry(t *testing.T) {
	e := updateAvailable(agent.Available{Update: u1, Description: "a\x00b\xff", Signature: "s"}, false)
	equal(t, []any{u1, "a\uFFFDb\uFFFD", "s", false}, e.args)
	if s := sayable(strings.Repeat("é", 3)); s != "ééé" {
		t.Error(s)
	}
}
