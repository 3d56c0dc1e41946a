package httpapi_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

const (
	base   = "/api/v1/mydevice/" + string(deviceID)
	result = `[{"id":"` + string(updateID) + `","result_code":4,"result_text":"no"}]`
	hello  = ota.Digest("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
)

// ask sends one request and returns the answer with its whole body.
func ask(t *testing.T, srv *httptest.Server, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// refused checks that an answer is a whole problem document.
func refused(t *testing.T, resp *http.Response, body string, status int, code string) {
	t.Helper()
	var p httpapi.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%d %q: %v", resp.StatusCode, body, err)
	}
	if resp.StatusCode != status || p.Code != code || p.Status != status {
		t.Errorf("got %d %s, want %d %s: %s", resp.StatusCode, p.Code, status, code, body)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" || p.Description != p.Detail {
		t.Errorf("incomplete problem: %s", body)
	}
	if got := resp.Header.Get("Content-Type"); got != httpapi.ProblemType {
		t.Errorf("Content-Type %q", got)
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

func TestPendingIsWrittenAsTheOriginalDoes(t *testing.T) {
	srv := serve(t, &uplink{offers: []ota.Offer{offer()}})
	resp, body := ask(t, srv, "GET", base+"/updates", "")
	want := `[{"requestId":"7fc9a0e2-2d0f-4c1e-9a4b-0c5a8f1a9c11","packageId":{"name":"movie\u0026player","version":"1:2.0~rc1"},` +
		`"installPos":0,"status":"Pending","createdAt":"2026-11-21T10:00:00.000123Z","updatedAt":"2026-11-21T10:00:01.000123Z",` +
		`"size":5,"sha256":"` + string(hello) + `","signature":"sig"}]`
	if resp.StatusCode != 200 || body != want {
		t.Errorf("%d\n%s\nwant\n%s", resp.StatusCode, body, want)
	}
	if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", resp.Header)
	}
	_, body = ask(t, serve(t, &uplink{}), "GET", base+"/updates", "")
	if body != "[]" {
		t.Errorf("nothing to do is %s", body)
	}
}

func TestDownload(t *testing.T) {
	u := &uplink{image: []byte("hello"), digest: hello}
	srv := serve(t, u)
	path := base + "/updates/" + string(updateID) + "/download"
	tag := `"` + string(hello) + `"`
	for _, tt := range []struct {
		name   string
		method string
		header []string
		status int
		body   string
		span   string
	}{
		{"whole", "GET", nil, 200, "hello", ""},
		{"head", "HEAD", nil, 200, "", ""},
		{"rest", "GET", []string{"Range", "bytes=2-"}, 206, "llo", "bytes 2-4/5"},
		{"middle", "GET", []string{"Range", "bytes=1-2"}, 206, "el", "bytes 1-2/5"},
		{"last bytes", "GET", []string{"Range", "bytes=-2"}, 206, "lo", "bytes 3-4/5"},
		{"same artifact", "GET", []string{"Range", "bytes=2-", "If-Range", tag}, 206, "llo", "bytes 2-4/5"},
		{"another artifact", "GET", []string{"Range", "bytes=2-", "If-Range", `"0000"`}, 200, "hello", ""},
		{"another unit", "GET", []string{"Range", "chapters=2-"}, 200, "hello", ""},
		{"unchanged", "GET", []string{"If-None-Match", tag}, 304, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := ask(t, srv, tt.method, path, "", tt.header...)
			if resp.StatusCode != tt.status || tt.status < 400 && body != tt.body {
				t.Fatalf("%d %q", resp.StatusCode, body)
			}
			if tt.span != "" && tt.status == 206 && resp.Header.Get("Content-Range") != tt.span {
				t.Errorf("Content-Range %q", resp.Header.Get("Content-Range"))
			}
			if tt.status != 200 && tt.status != 206 {
				return
			}
			if resp.Header.Get("ETag") != tag || resp.Header.Get("Accept-Ranges") != "bytes" ||
				resp.Header.Get("Content-Type") != "application/octet-stream" ||
				resp.Header.Get("Repr-Digest") != "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:" {
				t.Errorf("header %v", resp.Header)
			}
		})
	}
	for _, q := range u.fetched {
		if q.From != 0 || q.Artifact != "" {
			t.Errorf("asked for %+v", q)
		}
	}
	if !u.fetched[1].Peek || u.fetched[0].Peek {
		t.Error("only HEAD may peek")
	}
}

func TestSeveralRangesInOneAnswer(t *testing.T) {
	srv := serve(t, &uplink{image: []byte("hello"), digest: hello})
	resp, body := ask(t, srv, "GET", base+"/updates/"+string(updateID)+"/download?artifact=notes", "", "Range", "bytes=0-0,3-4")
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != 206 || err != nil {
		t.Fatalf("%d %v %q", resp.StatusCode, err, body)
	}
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	var got []string
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(part)
		got = append(got, part.Header.Get("Content-Range")+" "+string(text))
	}
	if diff := cmp.Diff([]string{"bytes 0-0/5 h", "bytes 3-4/5 lo"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnusableRanges(t *testing.T) {
	srv := serve(t, &uplink{image: []byte("hello"), digest: hello})
	for _, asked := range []string{
		"bytes=5-", "bytes=99999999999999999999-", "bytes=-0", "bytes=x-y", "bytes=2-1",
		"bytes=" + strings.Repeat("0-0,", 100) + "0-0",
	} {
		resp, body := ask(t, srv, "GET", base+"/updates/"+string(updateID)+"/download", "", "Range", asked)
		refused(t, resp, body, 416, "range_not_satisfiable")
		if resp.Header.Get("Content-Range") != "bytes */5" || resp.Header.Get("Repr-Digest") != "" {
			t.Errorf("%s: header %v", asked, resp.Header)
		}
	}
}

// fileTaker stands for a connection: it notes whether it is handed files, and
// how long they may take.
type fileTaker struct {
	*httptest.ResponseRecorder
	files    int
	deadline time.Time
	late     int // files handed over without a deadline
}

func (w *fileTaker) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

func (w *fileTaker) ReadFrom(r io.Reader) (int64, error) {
	if lr, ok := r.(*io.LimitedReader); ok {
		if _, ok := lr.R.(*os.File); ok {
			w.files++
			if w.deadline.Before(time.Now().Add(time.Minute)) {
				w.late++
			}
		}
	}
	return io.Copy(w.ResponseRecorder, r)
}

func TestTheKernelMayCopyTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "blob")
	want := strings.Repeat("0123456789", 200_000)
	if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &fileTaker{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(httpapi.WithConnection(r.Context(), new(net.TCPConn)))
	httpapi.ServeContent(w, r, &ota.Content{Body: f, Size: int64(len(want)), Digest: hello})
	if w.Body.String() != want {
		t.Errorf("%d bytes arrived", w.Body.Len())
	}
	if w.files != 1 || w.late != 0 || !w.deadline.IsZero() {
		t.Errorf("the connection was handed a file %d times, want it once; %d without deadline; at the end it is %v", w.files, w.late, w.deadline)
	}
}

func TestReportsReachTheServer(t *testing.T) {
	u := &uplink{}
	resp, body := ask(t, serve(t, u), "POST", base+"/updates/"+string(updateID), result)
	if resp.StatusCode != 204 || body != "" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	want := []ota.Report{ota.Outcome(updateID, ota.InstallFailed, "no")}
	if diff := cmp.Diff(want, u.reports); diff != "" {
		t.Error(diff)
	}
}

func TestInstalledInBothForms(t *testing.T) {
	pkgs := []ota.Installed{{PackageID: ota.PackageID{Name: "Movie & Player", Version: "1:2"}}}
	for body, want := range map[string]ota.Inventory{
		`[]`:              {},
		` [ ]`:            {},
		`{"packages":[]}`: {},
		`[{"name":"Movie & Player","version":"1:2","extra":{}}]`: {Packages: pkgs},
		`{"packages":[{"name":"Movie & Player","version":"1:2"}],"firmware":[{"module":"ecu1","firmwareId":"f","lastModified":1476000000}]}`: {
			Packages: pkgs, Firmware: []ota.Firmware{{Module: "ecu1", ID: "f", LastModified: 1476000000}}},
	} {
		u := &uplink{}
		resp, answer := ask(t, serve(t, u), "PUT", base+"/installed", body, "Content-Type", "text/plain")
		if resp.StatusCode != 200 || u.inventory == nil {
			t.Errorf("%s: %d %s", body, resp.StatusCode, answer)
			continue
		}
		if diff := cmp.Diff(want, *u.inventory); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

func TestTheRegistrysDoorTakesPackagesToo(t *testing.T) {
	u := &uplink{}
	resp, _ := ask(t, serve(t, u), "PUT", base+"/packages", `[{"name":"a","version":"1"}]`)
	if resp.StatusCode != 204 || u.inventory == nil || len(u.inventory.Packages) != 1 {
		t.Errorf("%d %+v", resp.StatusCode, u.inventory)
	}
}

func TestAnotherSitesPageIsRefused(t *testing.T) {
	u := &uplink{}
	resp, body := ask(t, serve(t, u), "POST", base+"/updates/"+string(updateID), result, "Origin", "https://evil.example")
	refused(t, resp, body, 403, "cross_origin")
	if u.reports != nil {
		t.Error("the report got through")
	}
}

func TestSystemInfoIsKeptVerbatim(t *testing.T) {
	u := &uplink{}
	const doc = "{\"b\": 1.00,\n \"a\":\"\\u00e4[[{\", \"b\":null}"
	resp, body := ask(t, serve(t, u), "PUT", base+"/system_info", doc)
	if resp.StatusCode != 200 || string(u.info) != doc {
		t.Errorf("%d %s: kept %q", resp.StatusCode, body, u.info)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	u := &uplink{}
	srv := serve(t, u)
	download := base + "/updates/" + string(updateID) + "/download"
	report := base + "/updates/" + string(updateID)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"no uuid", "GET", "/api/v1/mydevice/42/updates", "", 400, "invalid_entity"},
		{"another device", "GET", "/api/v1/mydevice/" + string(updateID) + "/updates", "", 404, "missing_device"},
		{"dots for a uuid", "GET", "/api/v1/mydevice/%2e%2e/updates", "", 400, "invalid_entity"},
		{"dots in the path", "POST", base + "/updates/../x", result, 400, "invalid_entity"},
		{"escaped slash", "POST", base + "/updates/..%2fx", result, 400, "invalid_entity"},
		{"empty element", "GET", base + "//updates", "", 400, "invalid_entity"},
		{"unknown path", "GET", base + "/nothing", "", 404, "missing_entity"},
		{"wrong method", "DELETE", base + "/updates", "", 405, "method_not_allowed"},
		{"no update id", "GET", base + "/updates/7/download", "", 400, "invalid_entity"},
		{"unknown update", "GET", base + "/updates/" + string(deviceID) + "/download", "", 404, "missing_entity"},
		{"empty report", "POST", report, "[]", 400, "invalid_entity"},
		{"no body", "POST", report, "", 400, "invalid_entity"},
		{"null", "POST", report, "null", 400, "invalid_entity"},
		{"object for array", "POST", report, "{}", 400, "invalid_entity"},
		{"truncated", "POST", report, result[:20], 400, "invalid_entity"},
		{"trailing garbage", "POST", report, result + "x", 400, "invalid_entity"},
		{"two documents", "POST", report, result + result, 400, "invalid_entity"},
		{"code of text", "POST", report, strings.Replace(result, "4,", `"OK",`, 1), 400, "invalid_entity"},
		{"code 20", "POST", report, strings.Replace(result, "4,", "20,", 1), 400, "invalid_entity"},
		{"code -1", "POST", report, strings.Replace(result, "4,", "-1,", 1), 400, "invalid_entity"},
		{"code 260", "POST", report, strings.Replace(result, "4,", "260,", 1), 400, "invalid_entity"},
		{"code 1.5", "POST", report, strings.Replace(result, "4,", "1.5,", 1), 400, "invalid_entity"},
		{"no code", "POST", report, `[{"id":"` + string(updateID) + `","result_text":""}]`, 400, "invalid_entity"},
		{"result id", "POST", report, `[{"id":"1","result_code":0,"result_text":""}]`, 400, "invalid_entity"},
		{"bad UTF-8", "POST", report, strings.Replace(result, "no", "\xff", 1), 400, "invalid_entity"},
		{"large report", "POST", report, strings.Repeat(" ", 5<<20), 413, "too_large"},
		{"installed null", "PUT", base + "/installed", "null", 400, "invalid_entity"},
		{"installed {}", "PUT", base + "/installed", "{}", 400, "invalid_entity"},
		{"installed text", "PUT", base + "/installed", `"x"`, 400, "invalid_entity"},
		{"installed nothing", "PUT", base + "/installed", `[null]`, 400, "invalid_entity"},
		{"installed no version", "PUT", base + "/installed", `[{"name":"a"}]`, 400, "invalid_entity"},
		{"installed control", "PUT", base + "/installed", `[{"name":"a\u0000","version":"1"}]`, 400, "invalid_entity"},
		{"installed deep", "PUT", base + "/installed", strings.Repeat("[", 20_000), 400, "invalid_entity"},
		{"info not JSON", "PUT", base + "/system_info", "{", 400, "invalid_entity"},
		{"info empty", "PUT", base + "/system_info", "", 400, "invalid_entity"},
		{"info deep", "PUT", base + "/system_info", strings.Repeat("[", 101) + strings.Repeat("]", 101), 400, "invalid_entity"},
		{"info large", "PUT", base + "/system_info", strings.Repeat(" ", 1<<20) + "1", 413, "too_large"},
		{"download by POST", "POST", download, "", 405, "method_not_allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := ask(t, srv, tt.method, tt.path, tt.body)
			refused(t, resp, body, tt.status, tt.code)
		})
	}
	if u.reports != nil || u.inventory != nil || u.info != nil {
		t.Errorf("something got through: %+v", u)
	}
}

func TestFailuresOfTheUplink(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{ota.Fail(ota.KindConflict, "update_ended", "over"), 409, "update_ended"},
		{ota.Fail(ota.KindLocked, "device_blocked", "blocked"), 423, "device_blocked"},
		{ota.Fail(ota.KindCorrupt, "corrupt_blob", "damaged"), 500, "corrupt_blob"},
		{ota.Fail(ota.KindNoSpace, "no_space", "full"), 507, "no_space"},
		{ota.Fail(ota.KindUnauthenticated, "not_authenticated", "who"), 401, "not_authenticated"},
		{fmt.Errorf("wrapped: %w", ota.Fail(ota.KindForbidden, "forbidden", "no")), 403, "forbidden"},
		{errors.New("password is swordfish"), 500, "internal_error"},
	} {
		resp, body := ask(t, serve(t, &uplink{fail: tt.err}), "GET", base+"/updates/"+string(updateID)+"/download", "")
		refused(t, resp, body, tt.status, tt.code)
		if strings.Contains(body, "swordfish") {
			t.Error("an internal error was told to the caller")
		}
		if (resp.Header.Get("WWW-Authenticate") != "") != (tt.status == 401) {
			t.Errorf("%d: WWW-Authenticate %q", tt.status, resp.Header.Get("WWW-Authenticate"))
		}
	}
}

// TestMalformedRequests speaks to the bare socket.
func TestMalformedRequests(t *testing.T) {
	u := &uplink{image: []byte("hello"), digest: hello}
	srv := serve(t, u)
	put := "PUT " + base + "/system_info HTTP/1.1\r\nHost: x\r\n"
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"body shorter than told", put + "Content-Length: 100\r\n\r\n{}", 400},
		{"broken chunk", put + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400},
		{"chunks over the limit", put + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat(" ", 1<<16)+"\r\n", 17), 413},
		{"told too large", put + "Content-Length: 1048577\r\n\r\n", 413},
		{"dots", "PUT " + base + "/../../x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400},
		{"no slash", "GET api HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"no host", "GET " + base + "/updates HTTP/1.1\r\n\r\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				_, _ = io.WriteString(conn, tt.request)
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("got %d, want %d", resp.StatusCode, tt.status)
			}
		})
	}
	if u.info != nil {
		t.Errorf("something got through: %s", u.info)
	}
}
