package publish_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi/publish"
)

func TestPublishing(t *testing.T) {
	w := start(t)
	got := into[publish.Published](t, w.publish(201, id("raw/id"), file("file1", "one"), file("./build/file2", "two")))
	want := publish.Published{ID: "raw_id", Version: "r1", Changed: true, Files: []publish.File{
		{"file1", 3, "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", "coap://[fd00::1]:5683/raw_id/file1"},
		{"file2", 3, "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3", "coap://[fd00::1]:5683/raw_id/file2"},
	}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v", got)
	}
	// The id may come last, and several files in one field.
	got = into[publish.Published](t, w.publish(201, part{"files", "/tmp/file3", "three"}, part{"files", "manifest", "m"}, id("raw_id")))
	if got.Version != "r1" || !got.Changed || got.Files[1].Name != "manifest" || got.Manifests[0].Status != "not SUIT, unchecked" {
		t.Errorf("%+v", got)
	}
	got = into[publish.Published](t, w.publish(201, id("raw_id"), file("manifest", "m")))
	if got.Version != "r1" || got.Changed {
		t.Errorf("the same again: %+v", got)
	}
	got = into[publish.Published](t, w.publish(201, field("force", ""), field("version", "9"), id("raw_id"), file("manifest", "n")))
	if got.Version != "9" {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]string{"file1": "one", "file2": "two", "file3": "three", "manifest": "n"} {
		if got := w.at("raw/id", name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	// A form whose file input was left empty.
	contentType, body := form(id("browser"), part{"files", "a", "x"})
	body = strings.Replace(body, "\r\n--"+boundary(contentType)+"--", "\r\n--"+boundary(contentType)+"\r\nContent-Disposition: form-data; name=\"manifest\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--"+boundary(contentType)+"--", 1)
	w.ask("POST", "/publish", contentType, body, 201)
	if w.at("browser", "manifest") != "missing_entity" {
		t.Error("no file became an empty one")
	}
}

func boundary(contentType string) string {
	return strings.TrimPrefix(contentType, "multipart/form-data; boundary=")
}

func TestUploadsThatAreRefused(t *testing.T) {
	w := start(t)
	parts := func(n int) []part {
		list := []part{id("a")}
		for i := range n {
			list = append(list, file(fmt.Sprintf("f%d", i), ""))
		}
		return list
	}
	for name, tt := range map[string]struct {
		parts  []part
		status int
		says   string
	}{
		"no id":            {[]part{file("f", "x")}, 400, "publish_id"},
		"no file":          {[]part{id("a")}, 400, "No file found in request"},
		"nothing":          {nil, 400, ""},
		"empty id":         {[]part{id(""), file("f", "x")}, 422, "empty"},
		"two ids":          {[]part{id("a"), id("b"), file("f", "x")}, 422, "twice"},
		"slash":            {[]part{id("/"), file("f", "x")}, 422, "segment"},
		"absolute":         {[]part{id("/etc"), file("f", "x")}, 422, "segment"},
		"empty segment":    {[]part{id("a//b"), file("f", "x")}, 422, "segment"},
		"parent":           {[]part{id("../x"), file("f", "x")}, 422, "segment"},
		"parent, late":     {[]part{file("f", "x"), id("..")}, 422, "segment"},
		"backslashes":      {[]part{id(`..\x`), file("f", "x")}, 422, "segment"},
		"space":            {[]part{id("a b"), file("f", "x")}, 422, "spaces"},
		"control":          {[]part{id("a\x00b"), file("f", "x")}, 422, "control"},
		"not UTF-8":        {[]part{id("\xff"), file("f", "x")}, 422, "UTF-8"},
		"long id":          {[]part{id(strings.Repeat("n", 201)), file("f", "x")}, 422, "201 bytes"},
		"very long id":     {[]part{id(strings.Repeat("n", 5000)), file("f", "x")}, 400, "longer than"},
		"reserved":         {[]part{id("b"), file("f", "x")}, 422, "reserved"},
		"reserved core":    {[]part{id(".well-known"), file("f", "x")}, 422, "reserved"},
		"file name":        {[]part{id("a"), file("..", "x")}, 422, "segment"},
		"no file name":     {[]part{id("a"), file("a/", "x")}, 422, "empty"},
		"spaced file name": {[]part{id("a"), part{"files", "my file", "x"}}, 422, "spaces"},
		"one name twice":   {[]part{id("a"), file("f", "x"), file("d/f", "y")}, 422, "two files named f"},
		"a file as field":  {[]part{id("a"), field("manifest", "x")}, 422, "-F manifest=@FILE"},
		"version":          {[]part{id("a"), field("version", "1/2"), file("f", "x")}, 422, "version"},
		"latest":           {[]part{id("a"), field("version", "latest"), file("f", "x")}, 422, "latest"},
		"force":            {[]part{id("a"), field("force", "perhaps"), file("f", "x")}, 422, "force"},
		"two versions":     {[]part{id("a"), file("slot0.1.bin", "x"), file("slot1.2.bin", "x")}, 422, "several versions"},
		"many parts":       {parts(300), 400, "256 parts"},
		"too large":        {[]part{id("a"), file("f", strings.Repeat("x", 1<<20+1))}, 413, "1048576"},
		"large together":   {[]part{id("a"), file("f", strings.Repeat("x", 600<<10)), file("g", strings.Repeat("y", 600<<10))}, 413, "1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			if got := w.publish(tt.status, tt.parts...); !strings.Contains(got, tt.says) {
				t.Errorf("it says %s", got)
			}
			w.nothingShows()
		})
	}
	w.t = t
	contentType, body := form(id("a"), file("f", "hello"))
	for name, tt := range map[string][2]string{
		"no form": {"text/plain", "hello"}, "another": {"application/x-www-form-urlencoded", "publish_id=a"}, "no boundary": {"multipart/form-data", body},
		"another boundary": {"multipart/form-data; boundary=x", body}, "empty": {contentType, ""},
	} {
		if got := w.ask("POST", "/publish", tt[0], tt[1], 400); !strings.Contains(got, "invalid_entity") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for at := range body[:len(body)-3] { // wherever it breaks off; the last line end counts for nothing
		w.ask("POST", "/publish", contentType, body[:at], 400)
	}
	w.nothingShows()
}

// A connection that ends early leaves nothing; one that never meant to send
// what the server takes is told at once.
func TestUploadsByHand(t *testing.T) {
	w := start(t)
	contentType, body := form(id("a"), file("f", "hello"))
	head := "POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Type: " + contentType + "\r\n"
	for name, tt := range map[string]struct {
		text   string
		cut    bool
		status int
	}{
		"broken off":            {head + "Content-Length: 100000\r\n\r\n" + body[:len(body)/2], true, 400},
		"too large by its word": {head + "Content-Length: 5000000000\r\n\r\n", false, 413},
		"with a question":       {head + "Content-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n", false, 413},
		"a bad id first":        {head + "Content-Length: 900000\r\n\r\n" + strings.Replace(body, "\r\na\r\n", "\r\n..\r\n", 1)[:150+len(boundary(contentType))], false, 422},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			conn, err := net.Dial("tcp", w.srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // so that a test that fails ends
			if _, err := io.WriteString(conn, tt.text); err != nil {
				t.Fatal(err)
			}
			if tt.cut {
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.status || !resp.Close {
				t.Errorf("%s, closing: %v", resp.Status, resp.Close)
			}
			w.nothingShows()
		})
	}
}

func TestNotifying(t *testing.T) {
	w := start(t)
	const urlencoded = "application/x-www-form-urlencoded"
	post := func(path, body string, status int) string {
		t.Helper()
		return w.ask("POST", path, urlencoded, body, status)
	}
	post("/notify", "publish_id=a&urls=host/url", 404)
	w.publish(201, id("a"), file("file1", "x"))
	if got := post("/notify", "publish_id=a&urls=host/url", 404); !strings.Contains(got, "Manifest is not available for publish id a.") {
		t.Error(got)
	}
	w.publish(201, id("a"), file("manifest", "m"))
	got := into[publish.Notified](t, post("/notify", "publish_id=a&urls=[fd00::2]/url,dead/url,+host:1", 202))
	if got.ID != "a" || got.Version != "r1" || got.Scheme != "direct" || len(got.Devices) != 3 {
		t.Errorf("%+v", got)
	}
	if d := got.Devices[1]; d.OK || d.Error != "the device does not answer" || d.Device != "dead/url" {
		t.Errorf("%+v", d)
	}
	slices.Sort(w.told)
	if got := strings.Join(w.told, "\n"); got != "[fd00::2]/url coap://[fd00::1]:5683/a/manifest\nhost:1 coap://[fd00::1]:5683/a/manifest" {
		t.Errorf("told %s", got)
	}
	// As the page of the original posts it, which takes the version along.
	w.publish(201, id("board/app"), file("app-riot.suitv4_signed.5.bin", "m"))
	contentType, body := form(id("board/app"), field("urls", "[fd00::3]"), field("version", "latest"))
	w.ask("POST", "/notifyv4", contentType, body, 202)
	post("/notifyv4", "publish_id=board_app&urls=h&version=5", 202)
	post("/notifyv4", "publish_id=board_app&urls=h", 202)
	post("/notifyv4", "publish_id=a&urls=h", 404)
	post("/notifyv4", "publish_id=board_app&urls=h&version=6", 404)
	post("/notify", "publish_id=board_app&urls=h&scheme=slot", 404)

	for body, says := range map[string]string{
		"urls=h": "empty", "publish_id=a": "name 1 to 256 devices", "publish_id=a&urls=": "name 1 to 256", "publish_id=..&urls=h": "segment",
		"publish_id=a&urls=coap://h/x": "leave the scheme out", "publish_id=a&urls=h,fd00::1/x": "in brackets", "publish_id=a&urls=h&scheme=x": "scheme",
		"publish_id=a&urls=[ff02::1]/x": "one machine", "publish_id=a&urls=h&force=x": "force",
	} {
		if got := post("/notify", body, 422); !strings.Contains(got, says) {
			t.Errorf("%s: %s", body, got)
		}
	}
	post("/notify", "%zz", 400)
	w.ask("POST", "/notify", "text/plain", "x", 400)
	w.ask("POST", "/notify", "", "x", 400)
	w.ask("POST", "/notify", "multipart/form-data; boundary=x", "x", 400)
	post("/notify", "publish_id=a&urls="+strings.Repeat("h,", 40<<10), 413)

	bare := start(t, func(o *fleet.Options) { o.Trigger = nil })
	bare.ask("POST", "/notify", urlencoded, "publish_id=a&urls=h", 503)
}

func TestRemoving(t *testing.T) {
	w := start(t)
	w.publish(201, id("a"), file("x-riot.suitv4_signed.1.bin", "one"))
	w.publish(201, id("a"), file("x-riot.suitv4_signed.12.bin", "twelve"))
	remove := func(body string, status int) string {
		t.Helper()
		return w.ask("POST", "/remove", "application/json", body, status)
	}
	remove(`{"publish_id":"a","version":"2"}`, 404)
	remove(`{"publish_id":"a","version":"bin"}`, 404)
	remove(`{"publish_id":"b/c","version":"1"}`, 404)
	remove(`{"publish_id":"a","version":""}`, 422)
	remove(`{"publish_id":"a//b","version":"1"}`, 422)
	remove(`{"publish_id":"a","version":null}`, 422)
	remove(`{"publish_id":"a","version":[1]}`, 422)
	remove(`{"publish_id":"a"}`, 422)
	remove(`nonsense`, 400)
	if got := remove(`{"publish_id":"a","version":12}`, 200); got != `{"publish_id":"a","version":"12"}` {
		t.Error(got)
	}
	if got := w.at("a", "x-riot.suitv4_signed.latest.bin"); got != "one" {
		t.Errorf("latest is %q", got)
	}
	remove(`{"publish_id":"a","version":"1"}`, 200)
	if got := w.at("a", "x-riot.suitv4_signed.1.bin"); got != "missing_entity" {
		t.Error(got)
	}
}

func TestWhereFilesWillBe(t *testing.T) {
	w := start(t)
	w.auth = ""
	for path, want := range map[string]string{"raw_id": "raw_id", "raw/id": "raw_id", "fw/app/board": "fw_app_board", "a%3Fb": "a%3Fb"} {
		if got := w.ask("GET", "/coap/url/"+path, "", "", 200); got != "coap://[fd00::1]:5683/"+want {
			t.Errorf("%s: %s", path, got)
		}
	}
	w.ask("GET", "/coap/url/", "", "", 422)
	for _, bad := range []string{"b", "/", "/etc", "a//b", "a/../b", "./a", "a/", "a%2F%2Fb", "%00", "a%20b/c", strings.Repeat("n", 201)} {
		if got := into[publish.Refused](t, w.ask("GET", "/coap/url/"+bad, "", "", 422)); got.Code != "invalid_publish_id" {
			t.Errorf("%s: %+v", bad, got)
		}
	}
	w.ask("GET", "/coap/url/%2e%2e", "", "", 422)
	w.ask("GET", "/coap/url/a%20b", "", "", 422)
	w.ask("POST", "/coap/url/a", "", "", 405)
}

func TestWhoMayPublish(t *testing.T) {
	w := start(t)
	contentType, body := form(id("a"), file("f", "hello"))
	for _, path := range []string{"/publish", "/notify", "/notifyv4", "/remove"} {
		for auth, status := range map[string]int{"": 401, "Bearer nonsense": 401, "Bearer device": 403} {
			w.auth = auth
			w.ask("POST", path, contentType, body, status)
		}
		w.auth = "Bearer admin"
		w.ask("GET", path, "", "", 405)
		w.ask("POST", path, contentType, body, 403, "Sec-Fetch-Site", "cross-site")
		w.ask("POST", path, contentType, body, 403, "Origin", "https://evil.example.org")
	}
	w.nothingShows()
}

func TestAManifestIsRefusedWithEveryReason(t *testing.T) {
	w := start(t, func(o *fleet.Options) { o.RequireSUIT = true })
	got := into[publish.Refused](t, w.publish(422, id("a"), file("manifest", "x"), file("riot.suit.1.bin", "y")))
	if got.Code != "refused_manifest" || len(got.Reasons) != 2 || got.Status != 422 || !strings.Contains(got.Detail, got.Reasons[1]) {
		t.Errorf("%+v", got)
	}
	forced := into[publish.Published](t, w.publish(201, id("a"), file("manifest", "x"), field("force", "true")))
	if len(forced.Forced) != 1 || forced.Manifests[0].Findings[0].Severity != "error" {
		t.Errorf("%+v", forced)
	}
	got = into[publish.Refused](t, w.ask("POST", "/notify", "application/x-www-form-urlencoded", "publish_id=a&urls=h", 422))
	if got.Code != "refused_manifest" || len(w.told) > 0 {
		t.Errorf("%+v; told %q", got, w.told)
	}
	w.ask("POST", "/notify", "application/x-www-form-urlencoded", "publish_id=a&urls=h&force=yes", 202)
}
