package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"
)

// life is one run of a server.
type life struct {
	Addresses
	t   *testing.T
	end func() error // shuts down and returns what Run did
	log *syncBuffer
}

// syncBuffer lets a test read a log while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func testConfig(dir string) Config {
	c := Default()
	c.Data, c.HTTP, c.CoAP, c.Bind = dir, 0, 0, "127.0.0.1"
	return c
}

// start runs a server until the test ends or end is called.
func start(t *testing.T, c Config) *life {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log := new(syncBuffer)
	ready, ended := make(chan Addresses, 1), make(chan error, 1)
	go func() { ended <- Run(ctx, c, Hooks{Log: log, Ready: func(a Addresses) { ready <- a }}) }()
	end := sync.OnceValue(func() error {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		return <-ended
	})
	select {
	case a := <-ready:
		t.Cleanup(func() { _ = end() })
		return &life{a, t, end, log}
	case err := <-ended:
		cancel()
		t.Fatalf("the server did not start: %v\n%s", err, log)
		return nil
	}
}

// ask sends a request and returns the answer's status and body.
func (l *life) ask(method, path, host, bearer string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequest(method, "http://"+l.HTTP+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func (l *life) expect(method, path, host, bearer string, status int, text string) {
	l.t.Helper()
	if got, body := l.ask(method, path, host, bearer); got != status || !strings.Contains(body, text) {
		l.t.Errorf("%s %s as %q with token %.4q…: %d %s\nwant %d %s", method, path, host, bearer, got, body, status, text)
	}
}

func TestAServersLife(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := filepath.Join(t.TempDir(), "data")
	l := start(t, testConfig(dir))

	l.expect("GET", "/healthz", "", "", 200, "OK")
	l.expect("GET", "/readyz", "", "", 200, "OK")
	l.expect("GET", "/health", "", "", 200, `"auth":"on"`)
	l.expect("POST", "/healthz", "", "", 405, "method_not_allowed")
	l.expect("GET", "/nothing/here", "", "", 404, "missing_entity")
	l.expect("GET", "/healthz", "example.org", "", 200, "OK") // names matter only where nobody is asked for proof

	var told map[string]string
	text, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil || json.Unmarshal(text, &told) != nil || len(told) != 2 || told["http"] != l.HTTP || told["coap"] != l.CoAP {
		t.Errorf("addresses.json: %s, %v", text, err)
	}
	for name, want := range map[string]fs.FileMode{".": 0o700 | fs.ModeDir, "admin.token": 0o600, "token.key": 0o600, "updraft.db": 0o600, "lock": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if !strings.Contains(l.log.String(), "admin.token") {
		t.Errorf("nothing is said of the operator's token:\n%s", l.log)
	}

	if err := l.end(); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "addresses.json")); err == nil {
		t.Error("addresses.json outlives the server")
	}
}

func TestTheTokenStaysUntilItsFileIsDeleted(t *testing.T) {
	c := testConfig(t.TempDir())
	path := filepath.Join(c.Data, "admin.token")
	token := func() string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil || len(text) < 40 {
			t.Fatalf("%q, %v", text, err)
		}
		return string(text)
	}
	restart := func() {
		t.Helper()
		if err := start(t, c).end(); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	first := token()
	restart()
	if token() != first {
		t.Error("a restart changed the token")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	restart()
	if token() == first {
		t.Error("deleting the file did not change the token")
	}

	for mode, text := range map[fs.FileMode]string{0o640: "others may read", 0o604: "others may read"} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := Run(t.Context(), c, Hooks{Log: io.Discard}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("token with mode %o: %v", mode, err)
		}
	}
}

func TestASecondServerIsRefused(t *testing.T) {
	c := testConfig(t.TempDir())
	l := start(t, c)
	before := snapshot(t, c.Data)
	err := Run(t.Context(), c, Hooks{Log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("got %v; want it to name pid %d", err, os.Getpid())
	}
	if after := snapshot(t, c.Data); after != before {
		t.Errorf("the folder changed:\n%s\n%s", before, after)
	}
	l.expect("GET", "/readyz", "", "", 200, "OK")
}

func TestANewerDatabaseIsRefusedUntouched(t *testing.T) {
	c := testConfig(t.TempDir())
	if err := start(t, c).end(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(c.Data, "updraft.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, c.Data)
	if err := Run(t.Context(), c, Hooks{Log: io.Discard}); err == nil || !strings.Contains(err.Error(), "9999") {
		t.Errorf("a newer database: %v", err)
	}
	if after := snapshot(t, c.Data); after != before {
		t.Errorf("the folder changed:\n%s\n%s", before, after)
	}
}

// snapshot is every file below dir with its content, but for the files in
// which SQLite coordinates processes and that a running server may change.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, "-shm") {
			return err
		}
		if !d.Type().IsRegular() {
			fmt.Fprintln(&b, path)
			return nil
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAStaleAddressesFileGoesAtTheStart(t *testing.T) {
	c := testConfig(t.TempDir())
	path := filepath.Join(c.Data, "addresses.json")
	if err := os.WriteFile(path, []byte(`{"http":"127.0.0.1:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Bind = "192.0.2.1" // nobody's address: nothing can listen there
	if err := Run(t.Context(), c, Hooks{Log: io.Discard}); err == nil {
		t.Fatal("listening on a foreign address")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the stale addresses are still there")
	}
}

func TestWithoutProofOnlyLoopbackNamesAreAnswered(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Auth, c.Bind = AuthNone, ""
	l := start(t, c)
	if !strings.HasPrefix(l.HTTP, "127.0.0.1:") {
		t.Errorf("listening on %s", l.HTTP)
	}
	for _, path := range []string{"/healthz", "/readyz", "/api/v1/devices", "/api/v1/mydevice/x/updates"} {
		l.expect("GET", path, "example.org", "", 421, "misdirected")
	}
	l.expect("GET", "/healthz", "localhost", "", 200, "OK")
	l.expect("GET", "/health", "", "", 200, `"auth":"none"`)
	l.expect("POST", "/token", "", "", 404, "missing_entity")
	if _, err := os.Stat(filepath.Join(c.Data, "admin.token")); err == nil {
		t.Error("there is a token although nobody is asked for it")
	}
}

func TestAWildcardIsWrittenAsLoopback(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Bind = ""
	l := start(t, c)
	if !strings.HasPrefix(l.HTTP, "127.0.0.1:") {
		t.Errorf("told as %s", l.HTTP)
	}
	l.expect("GET", "/healthz", "", "", 200, "OK")
	if !strings.Contains(l.log.String(), "level=WARN") {
		t.Errorf("no warning that http is open to all:\n%s", l.log)
	}
}

func TestHTTPSBesideOrInsteadOfHTTP(t *testing.T) {
	dir := t.TempDir()
	c := testConfig(filepath.Join(dir, "data"))
	c.TLSCert, c.TLSKey, c.HTTPS = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), 0
	makeCertificate(t, "server", c.TLSCert, c.TLSKey)
	if err := c.HTTP.Set("off"); err != nil {
		t.Fatal(err)
	}
	l := start(t, c)
	if l.HTTP != "" || l.HTTPS == "" {
		t.Fatalf("listening on %+v", l.Addresses)
	}
	pem, err := os.ReadFile(c.TLSCert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := func(max uint16) *http.Client {
		return &http.Client{Transport: &http.Transport{
			ForceAttemptHTTP2: true, DisableKeepAlives: max == tls.VersionTLS11,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: max},
		}}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		web := client(version)
		defer web.CloseIdleConnections()
		resp, err := web.Get("https://" + l.HTTPS + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
			t.Errorf("%d over %s", resp.StatusCode, resp.Proto)
		}
	}
	if _, err := client(tls.VersionTLS11).Get("https://" + l.HTTPS + "/readyz"); err == nil {
		t.Error("TLS 1.1 was taken")
	}
}

func TestDevicesAndOperatorsProveThemselves(t *testing.T) {
	c := testConfig(t.TempDir())
	l := start(t, c)
	text, err := os.ReadFile(filepath.Join(c.Data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	operator := strings.TrimSpace(string(text))
	mine, other := l.register(operator, "mine"), l.register(operator, "other")
	updates := func(id string) string { return "/api/v1/mydevice/" + id + "/updates" }

	l.expect("GET", updates(mine.id), "", "", 401, "not_authenticated")
	l.expect("GET", updates(mine.id), "", "nonsense", 401, "invalid_token")
	l.expect("GET", updates(mine.id), "", operator, 403, "forbidden")
	l.expect("GET", updates(mine.id), "", other.token, 403, "forbidden")
	l.expect("GET", updates(mine.id), "", mine.token, 200, "[]")
	l.expect("GET", "/api/v1/mydevice/"+mine.id, "", mine.token, 200, `"deviceName":"mine"`)
	l.expect("GET", "/api/v1/mydevice/"+mine.id, "", other.token, 403, "forbidden")

	l.expect("GET", "/api/v1/devices", "", "", 401, "not_authenticated")
	l.expect("GET", "/api/v1/devices", "", "nonsense", 401, "invalid_token")
	l.expect("GET", "/api/v1/devices", "", mine.token, 403, "forbidden")
	l.expect("GET", "/api/v1/devices", "", operator, 200, mine.id)
	l.expect("GET", "/api/v1/openapi.json", "", "", 200, "openapi")
	l.expect("GET", "/api/v1/mydevice/"+mine.id, "", operator, 403, "forbidden")
	l.expect("GET", "/api/v1/mydevice/"+mine.id+"/", "", mine.token, 404, "missing_entity")
	l.expect("GET", "/api/v1/mydevice", "", mine.token, 404, "missing_entity")

	l.expect("DELETE", "/api/v1/devices/"+mine.id, "", operator, 200, "")
	l.expect("GET", updates(mine.id), "", mine.token, 401, "invalid_token")

	// A token outlives a restart, as its device does.
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	l = start(t, c)
	l.expect("GET", updates(other.id), "", other.token, 200, "[]")
}

// device is one that was registered and has a token.
type device struct{ id, token string }

func (l *life) register(operator, name string) (d device) {
	l.t.Helper()
	post := func(path, contentType, body string, into any) {
		l.t.Helper()
		req, err := http.NewRequest("POST", "http://"+l.HTTP+path, strings.NewReader(body))
		if err != nil {
			l.t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", "Bearer "+operator)
		if path == "/token" {
			req.Header.Del("Authorization")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			l.t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode/100 != 2 {
			l.t.Fatalf("POST %s: %s, %v", path, resp.Status, err)
		}
	}
	var cred struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	post("/api/v1/devices", "application/json", `{"deviceName":"`+name+`"}`, &d.id)
	post("/api/v1/devices/"+d.id+"/credentials", "application/json", "", &cred)
	post("/token", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {cred.ID}, "client_secret": {cred.Secret},
	}.Encode(), &answer)
	d.token = answer.Token
	return d
}

func TestRunningRequestsEndBeforeTheServerDoes(t *testing.T) {
	c := testConfig(t.TempDir())
	w, err := listenWeb(t.Context(), c, nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	begun, goOn := make(chan bool), make(chan bool)
	w.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- true
		<-goOn
		io.WriteString(w, "whole")
	}))
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + w.addresses().HTTP)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- w.stop(t.Context()) }()
	<-w.ended // it no longer listens
	close(goOn)
	if got := <-answer; got != "whole" {
		t.Errorf("the running request got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestRequestsThatDoNotEndAreCutOff(t *testing.T) {
	w, err := listenWeb(t.Context(), testConfig(t.TempDir()), nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan bool)
	w.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begun <- true
		<-r.Context().Done()
	}))
	answer := make(chan error, 1)
	go func() {
		_, err := http.Get("http://" + w.addresses().HTTP)
		answer <- err
	}()
	<-begun
	noPatience, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if err := w.stop(noPatience); err != nil {
		t.Error(err)
	}
	if err := <-answer; err == nil {
		t.Error("a request that was cut off has an answer")
	}
}
