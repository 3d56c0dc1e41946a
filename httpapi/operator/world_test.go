package operator_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator"
	"github.com/updraft-ota/updraft/httpapi/publish"
	"github.com/updraft-ota/updraft/httpapi/token"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

// world is a whole server, but for its program: real fleet, real store, real
// files, a clock to turn. Every answer is checked against the document.
type world struct {
	t     *testing.T
	fleet *fleet.Fleet
	srv   *httptest.Server
	now   time.Time
	doc   *document
	auth  string // Authorization of the requests to come
	blobs string // the folder of what was uploaded
	links []ota.Link
}

func start(t *testing.T, change ...func(*fleet.Options)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), doc: readDocument(t), blobs: t.TempDir()}
	clock := func() time.Time { return w.now }
	st, err := store.Open(t.Context(), store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	blobs, err := blob.Open(w.blobs, blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var tokens *token.Issuer
	o := fleet.Options{
		Store: st, Blobs: blobs, Now: clock, MaxUpload: 1 << 20,
		Trigger: agreeable{}, CoAPRoot: func() string { return "coap://[::1]:5683" },
		NewID:      func() string { n++; return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) },
		DeviceGone: func(id ota.DeviceID) { tokens.Revoke(id) }, CredentialGone: func(id ota.DeviceID) { tokens.Revoke(id) },
	}
	for _, c := range change {
		c(&o)
	}
	w.fleet = fleet.New(o)
	if tokens, err = token.NewIssuer(filepath.Join(t.TempDir(), "token.key"), w.fleet); err != nil {
		t.Fatal(err)
	}
	tokens.Now = clock
	log := slog.New(slog.DiscardHandler)
	who := tokens.Who(sha256.Sum256([]byte("admin")))
	op := operator.New(operator.Options{Fleet: w.fleet, Who: who, Links: func() []ota.Link { return w.links }, Version: "1.2", Log: log})
	mux := http.NewServeMux()
	mux.Handle("/token", tokens.Endpoint(log))
	mux.Handle("/api/v1/", op)
	mux.Handle("GET /api/v1/mydevice/{uuid}", op)
	mux.Handle("/api/v1/mydevice/{uuid}/", httpapi.DeviceAPI(httpapi.OpenFor(who, func(id ota.DeviceID) ota.Uplink { return w.fleet.Uplink(id) }), log))
	for _, path := range []string{"/publish", "/notify", "/notifyv4", "/remove", "/coap/url/"} {
		mux.Handle(path, publish.New(publish.Options{Fleet: w.fleet, Who: who, Log: log}))
	}
	w.srv = httptest.NewServer(httpapi.Door(mux, log))
	t.Cleanup(w.srv.Close)
	w.auth = "Bearer admin"
	return w
}

// agreeable are constrained devices that take what they are told.
type agreeable struct{}

func (agreeable) Post(context.Context, string, string) error { return nil }

func (agreeable) Slot(context.Context, string) (int, error) { return 1, nil }

// answer is an answer with its whole body.
type answer struct {
	*http.Response
	text string
}

// ask sends a request and checks the answer's status and its schema.
func (w *world) ask(method, path, body string, status int, header ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, w.srv.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", w.auth)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return w.send(req, status)
}

func (w *world) send(req *http.Request, status int) answer {
	w.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{resp, string(text)}
	if resp.StatusCode != status {
		w.t.Errorf("%s %s: got %d, want %d: %s", req.Method, req.URL, resp.StatusCode, status, text)
	}
	w.doc.check(w.t, req, a)
	return a
}

// refused asks for something that must be refused with a code.
func (w *world) refused(method, path, body string, status int, code string, header ...string) {
	w.t.Helper()
	a := w.ask(method, path, body, status, header...)
	if got := into[httpapi.Problem](w.t, a); got.Code != code || got.Status != status || got.Detail == "" || got.Description != got.Detail {
		w.t.Errorf("%s %s: want %s: %s", method, path, code, a.text)
	}
	if got := a.Header.Get("Content-Type"); got != httpapi.ProblemType {
		w.t.Errorf("%s %s: Content-Type %q", method, path, got)
	}
}

func into[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), &v); err != nil {
		t.Fatalf("%q: %v", a.text, err)
	}
	return v
}

// form is an upload's body.
func form(t *testing.T, field, content string) (body, contentType string) {
	t.Helper()
	var buf bytes.Buffer
	m := multipart.NewWriter(&buf)
	part, err := m.CreateFormFile(field, "x.deb")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, content)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String(), m.FormDataContentType()
}

func (w *world) upload(path, content string, status int) answer {
	w.t.Helper()
	body, contentType := form(w.t, "file", content)
	return w.ask("PUT", path, body, status, "Content-Type", contentType)
}

func (w *world) device(name string) string {
	w.t.Helper()
	return into[string](w.t, w.ask("POST", "/api/v1/devices", `{"deviceName":"`+name+`"}`, 201))
}
