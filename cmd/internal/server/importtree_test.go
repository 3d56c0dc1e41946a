package server

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// oldTree lays out what the original server keeps: files as folder/name, each
// a second younger than the one before.
func oldTree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_700_000_000+int64(i), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// packages lists what there is as "name=version file file".
func (l *life) packages() string {
	l.t.Helper()
	_, body := l.ask("GET", "/api/v1/packages", "", "")
	var list []struct {
		ID        struct{ Name, Version string }
		Artifacts []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		l.t.Fatalf("%v: %s", err, body)
	}
	var lines []string
	for _, p := range list {
		line := p.ID.Name + "=" + p.ID.Version
		for _, a := range p.Artifacts {
			line += " " + a.Name
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestAnOldTreeMovesInOnce(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Auth, c.Bind = AuthNone, ""
	c.UploadPath = oldTree(t,
		"board_app/app-slot0.2.riot.bin", "board_app/app-slot1.2.riot.bin", "board_app/app-riot.suitv4_signed.2.bin", "board_app/app-riot.suitv4_signed.latest.bin",
		"board_app/app-slot0.10.riot.bin", "board_app/app-riot.suitv4_signed.10.bin",
		"raw_id/file1", "raw_id/file2", "raw_id/manifest", "b/file", "spaced name/file", "odd/a b", "odd2/a b", "odd2/good", "odd2/deeper/file", "loose", "mixed/file1", "mixed/app-slot0.3.riot.bin")
	if err := os.Symlink("/etc/passwd", filepath.Join(c.UploadPath, "raw_id", "passwd")); err != nil {
		t.Fatal(err)
	}
	const want = "board_app=2 app-riot.suitv4_signed.2.bin app-slot0.2.riot.bin app-slot1.2.riot.bin\n" +
		"board_app=10 app-riot.suitv4_signed.10.bin app-slot0.10.riot.bin\n" +
		"mixed=r1\nmixed=3\nodd2=r1\nraw_id=r1 file1 file2 manifest"
	l := start(t, c)
	if got := l.packages(); got != want {
		t.Errorf("got %s", got)
	}
	for _, left := range []string{"name=b ", `name="spaced name"`, `name="odd/a b"`, `name="odd2/a b"`, "name=loose", "name=raw_id/passwd", "name=odd2/deeper"} {
		if !strings.Contains(l.log.String(), left) {
			t.Errorf("nothing is said of %s:\n%s", left, l.log)
		}
	}
	l.expect("DELETE", "/api/v1/packages/odd2/r1", "", "", 204, "")
	if err := l.end(); err != nil {
		t.Fatal(err)
	}

	l = start(t, c) // what was removed does not come back
	if got := l.packages(); got != strings.Replace(want, "odd2=r1\n", "", 1) {
		t.Errorf("after a restart: %s", got)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}

	// Had the server died before it noted that it was done, the same again
	// changes nothing.
	if err := os.Remove(filepath.Join(c.Data, "imported")); err != nil {
		t.Fatal(err)
	}
	l = start(t, c)
	if got := l.packages(); got != want {
		t.Errorf("once more: %s", got)
	}
}

func TestATreeThatIsNotThere(t *testing.T) {
	c := testConfig(t.TempDir())
	c.UploadPath = filepath.Join(t.TempDir(), "none")
	if err := Run(t.Context(), c, Hooks{Log: io.Discard}); err == nil || !strings.Contains(err.Error(), "--upload-path") {
		t.Errorf("%v", err)
	}
}

func TestOptionsOfTheOriginal(t *testing.T) {
	c, err := configure(t, "--data=/d", "--debug", "--coap-port=61616", "--http_port", "8888", "--coap_host", "[::1]", "--http_host=localhost",
		"--static_path=static", "--upload_path", "fw", "--with_coap_server=false")
	if err != nil || !c.Debug || c.CoAP != 61616 || c.HTTP != 8888 || c.CoAPHost != "[::1]" || c.UploadPath != "fw" || c.WithCoAPServer || c.StaticPath != "static" {
		t.Errorf("%+v, %v", c, err)
	}
	c = testConfig(t.TempDir())
	c.StaticPath = "static"
	if l := start(t, c); !strings.Contains(l.log.String(), "--static-path is ignored") {
		t.Errorf("no warning:\n%s", l.log)
	}
}

func TestTheNameInCoAPURLs(t *testing.T) {
	for _, tt := range []struct {
		host, bind string
		port       string
		bound      int32
		want       string
	}{
		{"ota.example.org", "", "5683", 0, "coap://ota.example.org:5683"},
		{"ota.example.org:9", "", "5683", 40000, "coap://ota.example.org:9"},
		{"::1", "", "5683", 0, "coap://[::1]:5683"},
		{"[::1]", "", "5683", 0, "coap://[::1]:5683"},
		{"[::1]:9", "", "off", 0, "coap://[::1]:9"},
		{"", "127.0.0.1", "0", 40000, "coap://127.0.0.1:40000"},
		{"", "fd00::1", "5683", 0, "coap://[fd00::1]:5683"},
		{"", "127.0.0.1", "0", 0, ""},
		{"x", "", "off", 0, ""},
	} {
		s := &server{Config: testConfig("/d")}
		s.CoAPHost, s.Bind = tt.host, tt.bind
		if err := s.CoAP.Set(tt.port); err != nil {
			t.Fatal(err)
		}
		s.coapBound.Store(tt.bound)
		if got := s.coapRoot(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	for _, tt := range []struct {
		public      bool
		coap, coaps string
		bound       int32
		want        string
	}{
		{true, "5683", "5684", 0, "coap://ota.example.org:9"},
		{false, "5683", "5684", 0, "coaps://ota.example.org:5684"},
		{false, "5683", "0", 40000, "coaps://ota.example.org:40000"},
		{false, "5683", "0", 0, ""},
		{true, "off", "5684", 0, "coaps://ota.example.org:5684"},
		{false, "5683", "off", 0, "coap://ota.example.org:9"},
	} {
		s := &server{Config: testConfig("/d")}
		s.CoAPHost, s.CoAPPublic = "ota.example.org:9", tt.public
		if err := errors.Join(s.CoAP.Set(tt.coap), s.CoAPS.Set(tt.coaps)); err != nil {
			t.Fatal(err)
		}
		s.coapsBound.Store(tt.bound)
		if got := s.coapRoot(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	s := &server{Config: testConfig("/d")}
	s.Bind, s.CoAP = "", 5683 // all addresses: one of them, whatever machine this is
	if got := s.coapRoot(); !strings.HasPrefix(got, "coap://") || strings.Contains(got, "0.0.0.0") || strings.Contains(got, "[::]") {
		t.Errorf("%s", got)
	}
}
