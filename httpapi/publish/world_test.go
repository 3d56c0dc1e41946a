package publish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/publish"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

// world is a real fleet behind the door, with devices to be told.
type world struct {
	t     testing.TB
	fleet *fleet.Fleet
	srv   *httptest.Server
	blobs string
	auth  string

	mu   sync.Mutex
	told []string
}

func start(t testing.TB, change ...func(*fleet.Options)) *world {
	t.Helper()
	w := &world{t: t, blobs: t.TempDir(), auth: "Bearer admin"}
	st, err := store.Open(context.Background(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	blobs, err := blob.Open(w.blobs, blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := fleet.Options{Store: st, Blobs: blobs, MaxUpload: 1 << 20, Trigger: w, CoAPRoot: func() string { return "coap://[fd00::1]:5683" }}
	for _, c := range change {
		c(&o)
	}
	w.fleet = fleet.New(o)
	who := func(r *http.Request) (httpapi.Identity, error) {
		token, err := httpapi.Bearer(r)
		role := map[string]httpapi.Role{"admin": httpapi.Operator, "device": httpapi.Device}[token]
		if err == nil && role == 0 {
			err = ota.Fail(ota.KindUnauthenticated, "invalid_token", "who is that")
		}
		return httpapi.Identity{Role: role}, err
	}
	door := publish.New(publish.Options{Fleet: w.fleet, Who: who, Log: slog.New(slog.DiscardHandler)})
	w.srv = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !publish.Serves(r.URL.Path) {
			t.Errorf("%s is not served", r.URL.Path)
		}
		door.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.srv.Close)
	return w
}

// Post and Slot make the world its own devices: those named "dead" are.
func (w *world) Post(_ context.Context, target, text string) error {
	if strings.HasPrefix(target, "dead") {
		return ota.Fail(ota.KindUnreachable, "no_answer", "the device does not answer")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, target+" "+text)
	return nil
}

func (w *world) Slot(context.Context, string) (int, error) { return 1, nil }

// ask sends a request and checks the answer's status.
func (w *world) ask(method, path, contentType, body string, status int, header ...string) string {
	w.t.Helper()
	req, err := http.NewRequest(method, w.srv.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if w.auth != "" {
		req.Header.Set("Authorization", w.auth)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != status {
		w.t.Errorf("%s %s: got %d, want %d: %s", method, path, resp.StatusCode, status, text)
	}
	if want := httpapi.ProblemType; status >= 400 && resp.Header.Get("Content-Type") != want {
		w.t.Errorf("%s %s: Content-Type %q", method, path, resp.Header.Get("Content-Type"))
	}
	return string(text)
}

// part is a field, or a file if it has a file name.
type part struct{ field, filename, content string }

func field(name, value string) part    { return part{field: name, content: value} }
func file(name, content string) part   { return part{name, "x.bin", content} }
func id(s string) part                 { return field("publish_id", s) }
func form(parts ...part) (t, b string) { return formBody(parts) }

func formBody(parts []part) (contentType, body string) {
	var buf bytes.Buffer
	m := multipart.NewWriter(&buf)
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + p.field + `"`}}
		if p.filename != "" {
			h.Set("Content-Disposition", h.Get("Content-Disposition")+`; filename="`+p.filename+`"`)
			h.Set("Content-Type", "application/octet-stream")
		}
		part, err := m.CreatePart(h)
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(part, p.content)
	}
	m.Close()
	return m.FormDataContentType(), buf.String()
}

func (w *world) publish(status int, parts ...part) string {
	w.t.Helper()
	contentType, body := form(parts...)
	return w.ask("POST", "/publish", contentType, body, status)
}

func into[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// at is what a device finds there.
func (w *world) at(publishID, name string) string {
	w.t.Helper()
	_, a, err := w.fleet.Locate(context.Background(), ota.DefaultNamespace, publishID, name)
	if err != nil {
		return ota.CodeOf(err)
	}
	b, err := w.fleet.OpenBlob(context.Background(), a.SHA256)
	if err != nil {
		w.t.Fatal(err)
	}
	defer b.Close()
	text, err := io.ReadAll(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// nothingShows fails if a refused upload became visible, or left a file half
// written. Whole files that nothing refers to are collected in time.
func (w *world) nothingShows() {
	w.t.Helper()
	if list, err := w.fleet.Packages(context.Background(), ota.PackageFilter{Namespace: ota.DefaultNamespace}); err != nil || len(list) > 0 {
		w.t.Errorf("something got through: %v, %v", list, err)
	}
	err := filepath.WalkDir(w.blobs, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && len(d.Name()) != 64 {
			w.t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
