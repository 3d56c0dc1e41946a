package server

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// An operator's browser logs in, publishes with its session as well as with
// the token, and hears of it; whoever watches does not keep the server from
// ending.
func TestPagesOfAServer(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := filepath.Join(t.TempDir(), "data")
	l := start(t, testConfig(dir))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: new(http.Transport)}
	defer browser.CloseIdleConnections()
	at := "http://" + l.HTTP
	get := func(path string) string {
		t.Helper()
		resp, err := browser.Get(at + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status + " " + string(text)
	}
	if got := get("/"); !strings.HasPrefix(got, "200") || !strings.Contains(got, "Operators’ token") {
		t.Fatalf("a stranger sees %s", got)
	}
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := browser.PostForm(at+"/login", url.Values{"token": {string(token)}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := get("/"); !strings.Contains(got, "Nothing is published yet.") {
		t.Fatalf("an operator sees %s", got)
	}
	if got := get("/api/v1/devices"); !strings.HasPrefix(got, "200") {
		t.Errorf("the session does not count for the API: %s", got)
	}

	live, err := browser.Get(at + "/live?since=0")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Body.Close()
	publish := func(id string) *http.Request {
		const form = "--b\r\nContent-Disposition: form-data; name=publish_id\r\n\r\n%\r\n" +
			"--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nx\r\n--b--\r\n"
		r, err := http.NewRequest("POST", at+"/publish", strings.NewReader(strings.Replace(form, "%", id, 1)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		r.Header.Set("Origin", at)
		return r
	}
	send := func(client *http.Client, r *http.Request, status int) {
		t.Helper()
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s, want %d", resp.Status, status)
		}
	}
	send(http.DefaultClient, publish("stranger"), 401)
	foreign := publish("foreign")
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	send(browser, foreign, 403)
	send(browser, publish("mine"), 201)
	curl := publish("curl")
	curl.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	send(http.DefaultClient, curl, 201)
	lines := bufio.NewScanner(live.Body)
	for lines.Scan() && lines.Text() != "event: changed" {
	}
	if lines.Err() != nil {
		t.Errorf("nothing was heard: %v", lines.Err())
	}
	if got := get("/"); !strings.Contains(got, "mine") || !strings.Contains(got, "curl") || strings.Contains(got, "foreign") {
		t.Errorf("the page shows %s", got)
	}
	if err := l.end(); err != nil {
		t.Errorf("somebody who watches keeps the server: %v", err)
	}
}

// Where nobody is asked for proof there is nothing to log in to, and no name
// but a loopback one shows the pages.
func TestPagesWithoutProof(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Auth = AuthNone
	l := start(t, c)
	l.expect("GET", "/", "", "", 200, "Nothing is published yet.")
	l.expect("GET", "/", "updates.example.org", "", 421, "misdirected")
	l.expect("GET", "/login", "", "", 404, "missing_entity")
	l.expect("GET", "/app?name=x", "", "", 404, "Nothing is published as")
}
