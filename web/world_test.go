package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/publish"
	"github.com/updraft-ota/updraft/httpapi/token"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
	"github.com/updraft-ota/updraft/web"
)

const ns = ota.DefaultNamespace

// world is a real fleet behind the pages, with devices to be told.
type world struct {
	t     testing.TB
	ctx   context.Context
	fleet *fleet.Fleet
	pages *web.Pages
	open  func() http.Handler // what a server serves
	srv   *httptest.Server
	http  *http.Client

	links  func() []ota.Link   // set before anybody looks
	before func(*http.Request) // and this

	mu   sync.Mutex
	told []string
}

// start makes a world in which nobody needs to log in; guarded is one in which
// operators have the token "secret".
func start(t testing.TB) *world   { return begin(t, false) }
func guarded(t testing.TB) *world { return begin(t, true) }

func begin(t testing.TB, guard bool) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), links: func() []ota.Link { return nil }, before: func(*http.Request) {}}
	st, err := store.Open(context.Background(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	w.fleet = fleet.New(fleet.Options{Store: st, Blobs: blobs, MaxUpload: 64 << 20, Trigger: w, Log: log,
		CoAPRoot: func() string { return "coap://[fd00::1]:5683" }})
	who, sessions := httpapi.Who(httpapi.NoAuth), (*token.Sessions)(nil)
	if guard {
		sessions = token.NewSessions(sha256.Sum256([]byte("secret")))
		who = sessions.Who(func(*http.Request) (httpapi.Identity, error) {
			return httpapi.Identity{}, ota.Fail(ota.KindUnauthenticated, "not_authenticated", "who is that")
		})
	}
	w.open = func() http.Handler {
		door := publish.New(publish.Options{Fleet: w.fleet, Who: who, Log: log})
		w.pages = web.New(web.Options{Fleet: w.fleet, Publish: door, Links: func() []ota.Link { return w.links() }, Who: who, Sessions: sessions, Log: log})
		pages := w.pages
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.before(r)
			if publish.Serves(r.URL.Path) {
				door.ServeHTTP(rw, r)
			} else {
				pages.ServeHTTP(rw, r)
			}
		})
	}
	w.srv = httptest.NewServer(w.open())
	t.Cleanup(func() { w.end() })
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.http = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w
}

// end stops the server, and again starts another at the same address.
func (w *world) end() {
	w.pages.Close()
	w.srv.CloseClientConnections()
	w.srv.Close()
}

func (w *world) again() {
	w.t.Helper()
	at, err := net.Listen("tcp", w.srv.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.srv = &httptest.Server{Listener: at, Config: &http.Server{Handler: w.open()}}
	w.srv.Start()
}

// Post and Slot make the world its own devices: those named "dead" are.
func (w *world) Post(_ context.Context, target, text string) error {
	if strings.HasPrefix(target, "dead") {
		return ota.Fail(ota.KindUnreachable, "unreachable", "the device does not answer")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, target+" "+text)
	return nil
}

func (w *world) Slot(context.Context, string) (int, error) { return 0, nil }

// put publishes files, given as name and content in turn.
func (w *world) put(id string, files ...string) ota.Package {
	w.t.Helper()
	n := fleet.Publication{ID: id}
	for pair := range slices.Chunk(files, 2) {
		a, err := w.fleet.PutFile(w.ctx, pair[0], strings.NewReader(pair[1]), 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		n.Files = append(n.Files, a)
	}
	out, err := w.fleet.Publish(w.ctx, ns, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Package
}

func (w *world) device(name string) ota.Device {
	w.t.Helper()
	d, err := w.fleet.AddDevice(w.ctx, ns, fleet.NewDevice{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) constrained(name string, plain bool) ota.Device {
	w.t.Helper()
	d, _, err := w.fleet.AddConstrained(w.ctx, ns, fleet.NewConstrained{NewDevice: fleet.NewDevice{Name: name},
		Constrained: ota.Constrained{Vendor: "example.com", Class: "thermostat", Plain: plain, Address: "[fd00::9]:5683"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) send(d ota.Device, p ota.Package) ota.Update {
	w.t.Helper()
	updates, _, err := w.fleet.Send(w.ctx, ns, fleet.Request{Device: d.ID, Packages: []ota.PackageID{p.ID}})
	if err != nil {
		w.t.Fatal(err)
	}
	return updates[0]
}

// reports makes an update's device tell how it ended.
func (w *world) reports(u ota.Update, code ota.ResultCode, text string) {
	w.t.Helper()
	report := ota.Report{Update: u.ID, Results: []ota.OperationResult{{Code: code, Text: text}}}
	if err := w.fleet.Uplink(u.Device).Report(w.ctx, report); err != nil {
		w.t.Fatal(err)
	}
}

// ask sends a request and expects that status; headers come in pairs.
func (w *world) ask(method, path string, form url.Values, status int, headers ...string) (*http.Response, string) {
	w.t.Helper()
	var body io.Reader = http.NoBody
	if form != nil {
		body = bytes.NewBufferString(form.Encode())
	}
	r, err := http.NewRequestWithContext(w.ctx, method, w.srv.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Origin", w.srv.URL)
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	resp, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s: %s, want %d:\n%s", method, path, resp.Status, status, text)
	}
	return resp, string(text)
}

func (w *world) page(path string) string {
	w.t.Helper()
	_, text := w.ask("GET", path, nil, 200)
	return text
}

// holds checks that a page says all of that.
func (w *world) holds(text string, wanted ...string) {
	w.t.Helper()
	for _, s := range wanted {
		if !strings.Contains(text, s) {
			w.t.Errorf("it does not say %q:\n%s", s, text)
		}
	}
}

// fields makes a form of pairs.
func fields(pairs ...string) url.Values {
	m := map[string][]string{}
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0]] = append(m[pair[0]], pair[1])
	}
	return maps.Clone(m)
}
