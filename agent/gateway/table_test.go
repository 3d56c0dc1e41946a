package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// allDoors are ways to send a command and to hear its final event; nothing is
// heard of Shutdown. The websocket and the bus hear more, and give all up to
// the last event that is wanted.
var allDoors = map[string]func(t *testing.T, d *device, r row, want []string) []string{
	"HTTP": func(t *testing.T, d *device, r row, _ []string) []string {
		h, err := NewHTTP(d, local)
		if err != nil {
			t.Fatal(err)
		}
		serve(t, h)
		resp, err := http.Post("http://"+h.Addr(), "application/json", strings.NewReader(r.json))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s %s %v", resp.Status, b, err)
		}
		return []string{string(b)}
	},
	"websocket": func(t *testing.T, d *device, r row, want []string) (heard []string) {
		s := openWebsocket(t, d)
		serve(t, s)
		w := watch(t, s.Addr(), nil)
		w.say(r.json)
		for {
			_, b, err := w.Read(t.Context())
			if len(want) == 0 && websocket.CloseStatus(err) == -1 && err != nil {
				return heard
			}
			if err != nil {
				t.Fatalf("%v after %s", err, heard)
			}
			heard = append(heard, string(b))
			if len(want) > 0 && strings.HasPrefix(string(b), want[len(want)-1]) {
				return heard
			}
		}
	},
	"socket": func(t *testing.T, d *device, r row, _ []string) []string {
		path, s := openCommandSocket(t, d)
		serve(t, s)
		return lastLine(tell(t, path, r.words()))
	},
	"socket, JSON": func(t *testing.T, d *device, r row, _ []string) []string {
		path, s := openCommandSocket(t, d)
		serve(t, s)
		return lastLine(tell(t, path, r.json))
	},
	"console": func(t *testing.T, d *device, r row, _ []string) []string {
		var out strings.Builder
		if err := NewConsole(d, strings.NewReader(r.words()+"\n"), &out, discard).Serve(t.Context()); err != nil {
			t.Fatal(err)
		}
		return lastLine(strings.TrimSuffix(out.String(), "\n"))
	},
	"D-Bus": func(t *testing.T, d *device, r row, want []string) []string {
		return Bus(t, d.Agent, r.command(t), want[len(want)-1], d.link.wantList)
	},
}

// Bus is the door of a package that imports this one; see table_dbus_test.go.
// It takes commands that have a method there, or are the answer to a server
// that wants a list, and hears events up to one that begins as the last one.
var Bus func(t *testing.T, a *agent.Agent, c agent.Command, last string, wantList func()) []string

// carries reports whether a command can come in at a door: the bus is for an
// external installer, and knows what such a one needs (client.md 5.4).
func carries(door string, c agent.Command) bool {
	switch c.(type) {
	case agent.StartDownload, agent.SendUpdateReport, agent.SendInstalledPackages, agent.SendInstalledSoftware:
		return true
	}
	return door != "D-Bus"
}

func lastLine(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// row is a row of client.md 2.4 under one condition. The events wanted are
// beginnings of their JSON, the last one is the final event.
type row struct {
	text    string // "": JSON only
	json    string
	when    string // in words
	setup   func(*device)
	but     func(*device) // after the start
	n, u, a []string
}

func (r row) words() string {
	if r.text == "" {
		return r.json
	}
	return r.text
}

func (r row) command(t *testing.T) agent.Command {
	t.Helper()
	c, err := DecodeCommand([]byte(r.json))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var notAuthenticated = []string{`"NotAuthenticated"`}

// begins is how an event with these first arguments begins.
func begins(name, rest string) string { return `{"variant":"` + name + `","fields":[` + rest }

func failing(err error) func(*device) {
	return func(d *device) { d.link.set(func(u *uplink) { u.err = err }) }
}

var (
	away     = failing(ota.Fail(ota.KindUnreachable, "", "nobody answers"))
	rejected = failing(ota.Fail(ota.KindUnauthenticated, "", "who are you"))
	httpFail = begins("Error", `"HTTP client error: `)
)

func managed(o agent.Outcome) func(*device) {
	return func(d *device) {
		d.installer = fitter{o}
		day := time.Now().AddDate(0, 0, 3).Weekday().String()[:3] // when none of this runs
		if err := d.config.Apply(map[string]string{"policy-install-windows": day + " 03:00-03:01"}); err != nil {
			d.Fatal(err)
		}
	}
}

// offered has the client know of u1.
func offered(d *device) {
	d.link.offer("u1")
	d.do(agent.GetUpdateRequests{})
	d.do(agent.ListInstalledPackages{}) // after a download that may follow
}

func byHand(d *device) { d.config.Device.AutoDownload = false }

var table = []row{
	{text: "auth", json: `{"variant":"Authenticate","fields":[null]}`, when: "the credentials are bad",
		n: []string{`"AlreadyAuthenticated"`}, u: notAuthenticated, a: []string{`"AlreadyAuthenticated"`}},
	{text: "auth good secret", json: `{"variant":"Authenticate","fields":[{"client_id":"good","client_secret":"secret"}]}`, when: "those given are good",
		n: []string{`"AlreadyAuthenticated"`}, u: []string{`"Authenticated"`}, a: []string{`"AlreadyAuthenticated"`}},
	{text: "auth", json: `"Authenticate"`, when: "the auth server is away",
		but: func(d *device) {
			if d.auth != nil {
				d.auth.set(ota.Fail(ota.KindUnreachable, "", "nobody answers"))
			}
		},
		n: []string{`"AlreadyAuthenticated"`}, u: []string{httpFail}, a: []string{`"AlreadyAuthenticated"`}},

	{text: "shutdown", json: `"Shutdown"`, when: "at any time"},

	{text: "getreq", json: `"GetUpdateRequests"`, when: "nothing is offered",
		n: []string{`"NoUpdateRequests"`}, u: notAuthenticated, a: []string{`"NoUpdateRequests"`}},
	{text: "getreq", json: `"GetUpdateRequests"`, when: "an update is offered", but: func(d *device) { d.link.offer("u1") },
		n: []string{begins("UpdatesReceived", `[{"requestId":"u1",`)}, u: notAuthenticated, a: []string{begins("UpdatesReceived", `[{"requestId":"u1",`)}},
	{text: "getreq", json: `"GetUpdateRequests"`, when: "the server is away", but: away,
		n: []string{httpFail}, u: notAuthenticated, a: []string{httpFail}},
	{text: "getreq", json: `"GetUpdateRequests"`, when: "the server rejects us", but: rejected,
		n: notAuthenticated, u: notAuthenticated, a: notAuthenticated},

	{text: "ls", json: `"ListInstalledPackages"`, when: "the package manager is off",
		n: []string{begins("FoundInstalledPackages", `[]`)}, u: []string{begins("FoundInstalledPackages", `[]`)}, a: []string{begins("FoundInstalledPackages", `[]`)}},
	{text: "ls", json: `"ListInstalledPackages"`, when: "there is a package manager", setup: managed(agent.Outcome{}),
		n: []string{begins("FoundInstalledPackages", `[{"name":"vim"`)}, u: []string{begins("FoundInstalledPackages", `[{"name":"vim"`)}, a: []string{begins("FoundInstalledPackages", `[{"name":"vim"`)}},
	{text: "ls", json: `"ListInstalledPackages"`, when: "the package manager fails", setup: func(d *device) { d.installer = clumsy{} },
		n: []string{begins("Error", `"Package error: `)}, u: []string{begins("Error", `"Package error: `)}, a: []string{begins("Error", `"Package error: `)}},

	{text: "info", json: `"ListSystemInfo"`, when: "there is a command", setup: (*device).infoScript,
		n: []string{begins("FoundSystemInfo", `"{\"id\":\"host\"}`)}, u: []string{begins("FoundSystemInfo", `"{\"id\":\"host\"}`)}, a: []string{begins("FoundSystemInfo", `"{\"id\":\"host\"}`)}},
	{text: "info", json: `"ListSystemInfo"`, when: "there is none",
		n: []string{begins("Error", `"System info error: `)}, u: []string{begins("Error", `"System info error: `)}, a: []string{begins("Error", `"System info error: `)}},

	{text: "sendpack gcc 7.63", json: `{"variant":"SendInstalledPackages","fields":[[{"name":"gcc","version":"7.63"}]]}`, when: "the server is there",
		n: []string{`"InstalledPackagesSent"`}, u: notAuthenticated, a: []string{`"InstalledPackagesSent"`}},
	{text: "sendpack gcc 7.63", json: `{"variant":"SendInstalledPackages","fields":[[{"name":"gcc","version":"7.63"}]]}`, when: "the server is away", but: away,
		n: []string{httpFail}, u: notAuthenticated, a: []string{httpFail}},
	{text: "sendpack gcc 7.63", json: `{"variant":"SendInstalledPackages","fields":[[{"name":"gcc","version":"7.63"}]]}`, when: "the server rejects us", but: rejected,
		n: notAuthenticated, u: notAuthenticated, a: notAuthenticated},

	{json: software1, when: "the server is there",
		n: []string{`"InstalledSoftwareSent"`}, u: notAuthenticated, a: []string{`"InstalledSoftwareSent"`}},
	{json: software1, when: "the server is away", but: away,
		n: []string{httpFail}, u: notAuthenticated, a: []string{httpFail}},
	{json: software1, when: "the server rejects us", but: rejected,
		n: notAuthenticated, u: notAuthenticated, a: notAuthenticated},

	{text: "sendinfo", json: `"SendSystemInfo"`, when: "there is a command", setup: (*device).infoScript,
		n: []string{`"SystemInfoSent"`}, u: notAuthenticated, a: []string{`"SystemInfoSent"`}},
	{text: "sendinfo", json: `"SendSystemInfo"`, when: "there is none",
		n: []string{begins("Error", `"System info error: `)}, u: notAuthenticated, a: []string{begins("Error", `"System info error: `)}},
	{text: "sendinfo", json: `"SendSystemInfo"`, when: "the server is away", setup: (*device).infoScript, but: away,
		n: []string{httpFail}, u: notAuthenticated, a: []string{httpFail}},
	{text: "sendinfo", json: `"SendSystemInfo"`, when: "the server rejects us", setup: (*device).infoScript, but: rejected,
		n: notAuthenticated, u: notAuthenticated, a: notAuthenticated},

	{text: "sendup u1 OK", json: report1, when: "the server is there",
		n: []string{`"UpdateReportSent"`}, u: notAuthenticated, a: []string{`"UpdateReportSent"`}},
	{text: "sendup u1 0", json: report1, when: "the server is away", but: away,
		n: []string{httpFail}, u: notAuthenticated, a: []string{httpFail}},
	{text: "SendUpdateReport u1 0", json: report1, when: "the server rejects us", but: rejected,
		n: notAuthenticated, u: notAuthenticated, a: notAuthenticated},

	{text: "dl u1", json: `{"variant":"StartDownload","fields":["u1"]}`, when: "it is offered", setup: byHand, but: offeredIfHeard,
		n: []string{begins("DownloadingUpdate", `"u1"`), begins("DownloadComplete", `{"update_id":"u1"`)}, u: notAuthenticated,
		a: []string{begins("DownloadingUpdate", `"u1"`), begins("DownloadComplete", `{"update_id":"u1"`)}},
	{text: "dl u1", json: `{"variant":"StartDownload","fields":["u1"]}`, when: "it is not offered",
		n: []string{begins("DownloadingUpdate", `"u1"`), begins("DownloadFailed", `"u1","`)}, u: notAuthenticated,
		a: []string{begins("DownloadingUpdate", `"u1"`), begins("DownloadFailed", `"u1","`)}},
	{text: "dl u1", json: `{"variant":"StartDownload","fields":["u1"]}`, when: "the server rejects us", setup: byHand,
		but: func(d *device) { offeredIfHeard(d); rejected(d) },
		n:   []string{begins("DownloadingUpdate", `"u1"`), `"NotAuthenticated"`}, u: notAuthenticated,
		a: []string{begins("DownloadingUpdate", `"u1"`), `"NotAuthenticated"`}},

	{text: "inst u1", json: `{"variant":"StartInstall","fields":["u1"]}`, when: "all is well", setup: managed(agent.Outcome{Code: ota.OK}), but: offeredIfHeard,
		n: []string{begins("InstallingUpdate", `"u1"`), begins("InstallComplete", `{"update_id":"u1"`)}, u: notAuthenticated,
		a: []string{begins("InstallingUpdate", `"u1"`), begins("InstallComplete", `{"update_id":"u1"`)}},
	{text: "inst u1", json: `{"variant":"StartInstall","fields":["u1"]}`, when: "it fails", setup: managed(agent.Outcome{Code: ota.InstallFailed, Text: "no"}), but: offeredIfHeard,
		n: []string{begins("InstallingUpdate", `"u1"`), begins("InstallFailed", `{"update_id":"u1","operation_results":[{"id":"u1","result_code":4,"result_text":"no"}]}`)}, u: notAuthenticated,
		a: []string{begins("InstallingUpdate", `"u1"`), begins("InstallFailed", `{"update_id":"u1","operation_results":[{"id":"u1","result_code":4,"result_text":"no"}]}`)}},
	{text: "inst u1", json: `{"variant":"StartInstall","fields":["u1"]}`, when: "the package manager is off", but: offeredIfHeard,
		n: []string{begins("Error", `"Package error: `)}, u: notAuthenticated, a: []string{begins("Error", `"Package error: `)}},
}

const (
	software1 = `{"variant":"SendInstalledSoftware","fields":[{"packages":[{"package_id":"p","name":"n","description":"d","last_modified":1476000000}],"firmwares":[{"module":"ecu1","firmware_id":"f","last_modified":1476000000}]}]}`
	report1   = `{"variant":"SendUpdateReport","fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":"OK","result_text":""}]}]}`
)

// offeredIfHeard offers u1 unless the client cannot ask (state U).
func offeredIfHeard(d *device) {
	if d.auth == nil || d.auth.err == nil {
		offered(d)
	}
}

// clumsy is a package manager that does not work.
type clumsy struct{ fitter }

func (clumsy) Installed(context.Context) ([]ota.PackageID, error) {
	return nil, errors.New("the database is locked")
}

// Every row of client.md 2.4, with its recommendations, in every state and
// through every door.
func TestWhatEachCommandYields(t *testing.T) {
	states := []struct {
		name  string
		enter func(*device)
		want  func(row) []string
	}{
		{"N", func(*device) {}, func(r row) []string { return r.n }},
		{"U", func(d *device) { d.auth = &porter{err: ota.Fail(ota.KindUnauthenticated, "", "unknown client")} }, func(r row) []string { return r.u }},
		{"A", func(d *device) { d.auth = &porter{} }, func(r row) []string { return r.a }},
	}
	for _, r := range table {
		for _, s := range states {
			for name, send := range allDoors {
				if !carries(name, r.command(t)) {
					continue
				}
				t.Run(filepath.Join(r.command(t).Name(), r.when, s.name, name), func(t *testing.T) {
					d := newDevice(t)
					s.enter(d)
					if r.setup != nil {
						r.setup(d)
					}
					d.start()
					if r.but != nil {
						r.but(d)
					}
					compare(t, d, send(t, d, r, s.want(r)), s.want(r))
				})
			}
		}
	}
}

// compare expects the events in their order, and the final one last. The
// websocket and the bus may hear others before and between.
func compare(t *testing.T, d *device, heard, want []string) {
	t.Helper()
	if len(want) == 0 {
		<-d.ended // by Shutdown
		if len(heard) > 0 {
			t.Errorf("heard %s of a shutdown", heard)
		}
		return
	}
	if len(heard) == 1 {
		want = want[len(want)-1:]
	}
	rest := want
	for _, h := range heard {
		if len(rest) > 0 && strings.HasPrefix(h, rest[0]) {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("heard %s, want %s", heard, want)
	}
}
