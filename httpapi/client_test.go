package httpapi_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

func client(t *testing.T, cfg httpapi.Config) *httpapi.Client {
	t.Helper()
	cfg.Device = deviceID
	c, err := httpapi.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer serves one handler at every path.
func answer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func TestBothHalvesAgree(t *testing.T) {
	several := offer()
	several.Pos, several.Request, several.Confirm, several.Description = 1, "wish", true, "two files"
	several.Artifacts = append(several.Artifacts, ota.Artifact{Name: "notes", Sums: ota.Sums{Size: 7, SHA256: hello}})
	u := &uplink{offers: []ota.Offer{offer(), several}, image: []byte("hello"), digest: hello}
	c := client(t, httpapi.Config{Server: serve(t, u).URL})
	ctx := t.Context()

	offers, err := c.Pending(ctx)
	if diff := cmp.Diff(u.offers, offers); err != nil || diff != "" {
		t.Errorf("pending: %v %s", err, diff)
	}
	inv := ota.Inventory{
		Packages: []ota.Installed{{PackageID: ota.PackageID{Name: "a", Version: "1"}}},
		Firmware: []ota.Firmware{{Module: "ecu", ID: "f", LastModified: 7}},
	}
	for _, inv := range []ota.Inventory{inv, {Packages: inv.Packages}, {}} {
		if err := c.Installed(ctx, inv); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(inv, *u.inventory); diff != "" {
			t.Errorf("installed: %s", diff)
		}
	}
	report := ota.Outcome(updateID, ota.DiskFull, "no space")
	if err := c.Report(ctx, report); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ota.Report{report}, u.reports); diff != "" {
		t.Errorf("report: %s", diff)
	}
	if err := c.SystemInfo(ctx, json.RawMessage(`{"a": 1}`)); err != nil || string(u.info) != `{"a": 1}` {
		t.Errorf("system info: %v %s", err, u.info)
	}
}

func TestFetchFromTheMiddle(t *testing.T) {
	other := ota.Digest(strings.Repeat("0", 64))
	c := client(t, httpapi.Config{Server: serve(t, &uplink{image: []byte("hello"), digest: hello}).URL})
	for _, tt := range []struct {
		name string
		q    ota.FetchRequest
		from int64
		body string
	}{
		{"from the start", ota.FetchRequest{}, 0, "hello"},
		{"the rest", ota.FetchRequest{From: 2, Digest: hello}, 2, "llo"},
		{"the rest, unsure of what", ota.FetchRequest{From: 2}, 2, "llo"},
		{"the artifact changed", ota.FetchRequest{From: 2, Digest: other}, 0, "hello"},
		{"nothing is missing", ota.FetchRequest{From: 5, Digest: hello}, 5, ""},
		{"more than there is", ota.FetchRequest{From: 6, Digest: hello}, 0, "hello"},
		{"peek", ota.FetchRequest{Peek: true}, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.q.Update = updateID
			got, err := c.Fetch(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			body, err := io.ReadAll(got.Body)
			if err != nil || got.From != tt.from || string(body) != tt.body || got.Size != 5 || got.Digest != hello {
				t.Errorf("%+v %q %v", got, body, err)
			}
		})
	}
}

func TestFetchOfADamagedBlob(t *testing.T) {
	u := &uplink{fail: ota.Fail(ota.KindCorrupt, "corrupt_blob", "damaged")}
	_, err := client(t, httpapi.Config{Server: serve(t, u).URL}).Fetch(t.Context(), ota.FetchRequest{Update: updateID})
	if ota.KindOf(err) != ota.KindCorrupt || ota.CodeOf(err) != "corrupt_blob" {
		t.Errorf("%v: %v", ota.KindOf(err), err)
	}
}

func TestUntrustworthyAnswersToAFetch(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"another range":  func(w http.ResponseWriter, r *http.Request) { span(w, "bytes 3-4/5") },
		"several ranges": func(w http.ResponseWriter, r *http.Request) { span(w, "") },
		"nonsense":       func(w http.ResponseWriter, r *http.Request) { span(w, "lines 1-2") },
	} {
		c := client(t, httpapi.Config{Server: answer(t, h).URL})
		if got, err := c.Fetch(t.Context(), ota.FetchRequest{Update: updateID, From: 2}); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
	c := client(t, httpapi.Config{Server: "http://127.0.0.1:1"})
	for _, id := range []ota.UpdateID{"", ".", ".."} {
		if _, err := c.Fetch(t.Context(), ota.FetchRequest{Update: id}); ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func span(w http.ResponseWriter, contentRange string) {
	w.Header().Set("Content-Range", contentRange)
	w.WriteHeader(http.StatusPartialContent)
}

func TestAStrangeIDStaysOneElement(t *testing.T) {
	srv := answer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.EscapedPath()) })
	got, err := client(t, httpapi.Config{Server: srv.URL + "/prefix/"}).Fetch(t.Context(), ota.FetchRequest{Update: "../x?y"})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(got.Body)
	if want := "/prefix" + base + "/updates/..%2Fx%3Fy/download"; string(body) != want {
		t.Errorf("asked for %s, want %s", body, want)
	}
}

func TestErrorsSpeakAsTheOriginalDid(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		kind   ota.Kind
		code   string
		text   string
	}{
		{404, `{"code":"missing_entity","description":"no"}`, ota.KindNotFound, "missing_entity", "Response Code: 404 Not Found, Body:\n{\"code\":\"missing_entity\",\"description\":\"no\"}"},
		{410, "", ota.KindConflict, "http_410", "Response Code: 410 Gone"},
		{418, "\xff\xfe", ota.KindInvalid, "http_418", "Response Code: 418 I'm a teapot, Body: 2 bytes"},
		{502, "<html>", ota.KindUnavailable, "http_502", "Response Code: 502 Bad Gateway, Body:\n<html>"},
		{401, "", ota.KindUnauthenticated, "http_401", "Response Code: 401 Unauthorized"},
		{403, "", ota.KindForbidden, "http_403", "Response Code: 403 Forbidden"},
		{302, "", ota.KindInvalid, "http_302", "Response Code: 302 Found"},
	} {
		srv := answer(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		_, err := client(t, httpapi.Config{Server: srv.URL}).Pending(t.Context())
		if e, ok := errors.AsType[*ota.Error](err); !ok || e.Kind != tt.kind || e.Code != tt.code || e.Error() != tt.text {
			t.Errorf("%d: %#v", tt.status, err)
		}
	}
}

func TestUnusablePendingUpdates(t *testing.T) {
	whole := `{"requestId":"u","packageId":{"name":"n","version":"v"},"installPos":0,"status":"Pending","createdAt":"2017-04-01T00:00:00Z"}`
	for body, ok := range map[string]bool{
		"[" + whole + "]":  true,
		"[" + whole + "]x": false,
		"{}":               false,
		"":                 false,
		"[" + strings.Replace(whole, "Pending", "Broken", 1) + "]":                     false,
		"[" + strings.Replace(whole, `"u"`, `""`, 1) + "]":                             false,
		"[" + strings.Replace(whole, `"u"`, `"`+strings.Repeat("u", 201)+`"`, 1) + "]": false,
		"[" + strings.Replace(whole, `"n"`, `"a/b"`, 1) + "]":                          false,
		"[" + strings.Replace(whole, `"status"`, `"sha256":"x","status"`, 1) + "]":     false,
		"[" + strings.Repeat(" ", 8<<20) + "]":                                         false,
	} {
		srv := answer(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, body) })
		offers, err := client(t, httpapi.Config{Server: srv.URL}).Pending(t.Context())
		if ok != (err == nil) || ok && len(offers) != 1 {
			t.Errorf("%.100s: %v %v", body, offers, err)
		}
	}
}

func TestRedirectsKeepEverythingButTheTokenElsewhere(t *testing.T) {
	var got []string
	note := func(r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprintf("%s %s %q %s %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), body, r.Header.Get("Content-Type")))
	}
	var srv *httptest.Server
	storage := answer(t, func(w http.ResponseWriter, r *http.Request) {
		note(r)
		if r.URL.Path == "/stored" {
			http.Redirect(w, r, srv.URL+"/back", http.StatusFound)
		}
	})
	srv = answer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			fmt.Fprint(w, `{"access_token":"T"}`)
		case base + "/installed":
			note(r)
			http.Redirect(w, r, "/moved", http.StatusSeeOther)
		case "/moved":
			note(r)
			http.Redirect(w, r, storage.URL+"/stored", http.StatusTemporaryRedirect)
		default:
			note(r)
		}
	})
	c := client(t, httpapi.Config{Server: srv.URL, Auth: srv.URL})
	if err := c.Authenticate(t.Context(), "id", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := c.Installed(t.Context(), ota.Inventory{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`PUT ` + base + `/installed "Bearer T" [] application/json`,
		`PUT /moved "Bearer T" [] application/json`,
		`PUT /stored "" [] application/json`,
		`PUT /back "" [] application/json`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestARedirectInCirclesEnds(t *testing.T) {
	asked := 0
	srv := answer(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	})
	_, err := client(t, httpapi.Config{Server: srv.URL}).Pending(t.Context())
	if ota.KindOf(err) != ota.KindUnreachable || asked != 11 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestTokensAreRenewedBeforeTheyExpire(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	issued, status := 0, 200
	var used []string
	srv := answer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sub/token" {
			used = append(used, r.Header.Get("Authorization"))
			fmt.Fprint(w, "[]")
			return
		}
		id, secret, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || id != "id" || secret != "s:e" {
			t.Errorf("token asked with %v %q %q", r.Form, id, secret)
		}
		issued++
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"access_token":"T%d","token_type":"bearer","expires_in":3600,"scope":"x"}`, issued)
	})
	c := client(t, httpapi.Config{Server: srv.URL, Auth: srv.URL + "/sub", Now: func() time.Time { return now }})
	if _, err := c.Pending(t.Context()); ota.KindOf(err) != ota.KindUnauthenticated || used != nil {
		t.Fatalf("without a token: %v, sent %v", err, used)
	}
	poll := func() error { _, err := c.Pending(t.Context()); return err }
	if err := c.Authenticate(t.Context(), "id", "s:e"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := poll(); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour - 30*time.Second)
	_ = poll()
	status, now = 503, now.Add(time.Hour-30*time.Second)
	_ = poll() // cannot be renewed, but holds
	now = now.Add(time.Minute)
	if err := poll(); ota.KindOf(err) != ota.KindUnavailable {
		t.Errorf("neither renewed nor valid: %v", err)
	}
	if diff := cmp.Diff([]string{"Bearer T1", "Bearer T1", "Bearer T2", "Bearer T2"}, used); diff != "" {
		t.Error(diff)
	}
	c.Forget()
	if err := poll(); ota.KindOf(err) != ota.KindUnauthenticated {
		t.Errorf("after Forget: %v", err)
	}
}

func TestRefusedCredentials(t *testing.T) {
	for body, status := range map[string]int{`{"error":"invalid_client"}`: 400, ``: 401} {
		srv := answer(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		err := client(t, httpapi.Config{Server: srv.URL, Auth: srv.URL}).Authenticate(t.Context(), "id", "wrong")
		if ota.KindOf(err) != ota.KindUnauthenticated {
			t.Errorf("%d %s: %v", status, body, err)
		}
	}
}

func TestAnAnswerThatStopsOrStandsStill(t *testing.T) {
	release := make(chan struct{})
	srv := answer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		if strings.Contains(r.URL.Path, "still") {
			<-release
		}
	})
	defer close(release)
	c := client(t, httpapi.Config{Server: srv.URL, Stall: 50 * time.Millisecond})
	for _, id := range []ota.UpdateID{"cut", "still"} {
		got, err := c.Fetch(t.Context(), ota.FetchRequest{Update: id})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		if string(body) != "hello" || ota.KindOf(err) != ota.KindUnreachable {
			t.Errorf("%s: %q %v", id, body, err)
		}
		got.Body.Close()
	}
}

func TestNobodyThere(t *testing.T) {
	srv := answer(t, nil)
	srv.Close()
	c := client(t, httpapi.Config{Server: srv.URL})
	if _, err := c.Pending(t.Context()); ota.KindOf(err) != ota.KindUnreachable {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Pending(ctx); !errors.Is(err, context.Canceled) || ota.KindOf(err) == ota.KindUnreachable {
		t.Errorf("%v", err)
	}
}

func TestHTTPSTrustsOnlyTheBundle(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "[]") }))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	bundle, empty := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "empty.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := errors.Join(os.WriteFile(bundle, block, 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, httpapi.Config{Server: srv.URL, CAFile: bundle}).Pending(t.Context()); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"", empty, filepath.Join(dir, "none.pem")} {
		if _, err := httpapi.NewClient(httpapi.Config{Server: srv.URL, CAFile: file}); err == nil {
			t.Errorf("CAFile %q was accepted", file)
		}
		if _, err := httpapi.NewClient(httpapi.Config{Server: "http://x", CAFile: file}); err != nil {
			t.Errorf("without https CAFile %q matters: %v", file, err)
		}
	}
	for _, u := range []string{"", "x", "ftp://x", "http://"} {
		if _, err := httpapi.NewClient(httpapi.Config{Server: u}); ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("server %q: %v", u, err)
		}
	}
}

// network answers a client inside a bubble of fake time.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

func TestTheInboxPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status, list := 200, "[]"
		cfg := httpapi.Config{Server: "http://x", Poll: 10 * time.Second, Rand: func() float64 { return 0.5 }}
		c := client(t, cfg)
		httpapi.SetTransport(c, network(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(list)), Request: r}, nil
		}))
		var log []string
		next := func() {
			start := time.Now()
			n, err := c.Next(t.Context())
			log = append(log, fmt.Sprintf("%v %T%v %v", time.Since(start), n, n, err))
		}
		poll := func() { _, _ = c.Pending(t.Context()) }
		item := func(id string) string {
			return `{"requestId":"` + id + `","packageId":{"name":"n","version":"v"},"status":"InFlight"}`
		}
		next()
		status = 503
		for range 8 {
			poll()
			next()
		}
		status, list = 200, "["+item("a")+","+item("b")+","+item("c")+"]"
		poll()
		next()
		if err := c.Report(t.Context(), ota.Outcome("b", ota.OK, "")); err != nil {
			t.Error(err)
		}
		list = "[" + item("c") + "]"
		go func() {
			time.Sleep(3 * time.Second)
			poll()
		}()
		next()
		next()
		want := strings.Split(`10s ota.Offered{[]} <nil>
20s ota.Offered{[]} <nil>
40s ota.Offered{[]} <nil>
1m20s ota.Offered{[]} <nil>
2m40s ota.Offered{[]} <nil>
5m20s ota.Offered{[]} <nil>
10m40s ota.Offered{[]} <nil>
15m0s ota.Offered{[]} <nil>
15m0s ota.Offered{[]} <nil>
10s ota.Offered{[]} <nil>
3s ota.Withdrawn{a} <nil>
10s ota.Offered{[]} <nil>`, "\n")
		if diff := cmp.Diff(want, log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestByHandTheInboxStaysQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, httpapi.Config{Server: "http://x"})
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if n, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v %v", n, err)
		}
	})
}

// An interval of 0 is manual (seed 002), where the original spins.
func TestWithoutAnIntervalNobodyIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, httpapi.Config{Server: "http://x"})
		httpapi.SetTransport(c, network(func(*http.Request) (*http.Response, error) {
			t.Error("the server was asked")
			return nil, errors.New("no")
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if n, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", n, err)
		}
	})
}

// An answer without a length is read like any other, where the original loses it.
func TestChunkedAnswersAreRead(t *testing.T) {
	parts := []string{`[{"requestId":"u1","packageId":{"name":"n",`, `"version":"v"},"status":"Pending"}]`}
	srv := answer(t, func(w http.ResponseWriter, r *http.Request) {
		for _, part := range parts {
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
		}
	})
	c := client(t, httpapi.Config{Server: srv.URL})
	if offers, err := c.Pending(t.Context()); err != nil || len(offers) != 1 || offers[0].Update != "u1" {
		t.Errorf("%+v, %v", offers, err)
	}
	got, err := c.Fetch(t.Context(), ota.FetchRequest{Update: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if body, err := io.ReadAll(got.Body); err != nil || string(body) != parts[0]+parts[1] || got.Size != -1 {
		t.Errorf("%s of %d, %v", body, got.Size, err)
	}
}
