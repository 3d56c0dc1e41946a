package web_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ear hears what a page is told.
type ear struct {
	t     *testing.T
	lines *bufio.Scanner
	leave context.CancelFunc
}

func (w *world) listen(path string, headers ...string) *ear {
	w.t.Helper()
	ctx, leave := context.WithTimeout(w.ctx, time.Minute)
	r, err := http.NewRequestWithContext(ctx, "GET", w.srv.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { leave(); resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" {
		w.t.Fatalf("%s: %v", resp.Status, resp.Header)
	}
	e := &ear{w.t.(*testing.T), bufio.NewScanner(resp.Body), leave}
	e.hears(": here")
	return e
}

func (e *ear) hears(line string) {
	e.t.Helper()
	for e.lines.Scan() {
		if strings.HasPrefix(e.lines.Text(), line) {
			return
		}
	}
	e.t.Fatalf("never heard %q: %v", line, e.lines.Err())
}

// url is where the page of that path hears of changes.
func (w *world) live(path string) string {
	w.t.Helper()
	m := regexp.MustCompile(`hx-sse:connect="([^"]+)"`).FindStringSubmatch(w.page(path))
	if m == nil {
		w.t.Fatalf("%s is not live", path)
	}
	return strings.ReplaceAll(m[1], "&amp;", "&")
}

func TestAPageHearsOfChanges(t *testing.T) {
	w := start(t)
	w.put("app", "f", "x")
	all, app := w.listen(w.live("/")), w.listen(w.live("/app?name=app"))
	w.put("other", "f", "x") // of no interest to app
	all.hears("event: changed")
	all.hears("id: 2")
	w.put("app", "f", "y")
	app.hears("event: changed")
	app.hears("id: 3")

	d := w.device("kitchen")
	one := w.listen(w.live("/device?id=" + string(d.ID)))
	w.send(d, w.put("app", "f", "y"))
	one.hears("event: changed")
	app.hears("event: changed")
}

// However much happens, a page is not fetched anew all the time; what happened
// last is heard of.
func TestAPageHearsOfMuchAtOnce(t *testing.T) {
	w := start(t)
	e := w.listen(w.live("/"))
	w.put("app", "f", "x")
	e.hears("id: 1")
	for i := range 9 {
		w.put("app", "f", strconv.Itoa(i))
		w.page("/")
	}
	e.hears("id: ")
	if got := e.lines.Text(); got != "id: 10" {
		t.Errorf("it hears of %s first", got)
	}
}

// What happened between the page and the line, or while the line was cut, is
// told at once.
func TestAPageThatComesBackHearsWhatItMissed(t *testing.T) {
	w := start(t)
	at := w.live("/")
	w.put("app", "f", "x")
	w.listen(at).hears("id: 1")
	w.put("app", "f", "y")
	w.listen(at, "Last-Event-ID", "1").hears("id: 2")
	w.listen(at, "Last-Event-ID", "99").hears("id: 2") // of another server, perhaps
	w.listen("/live?since=x").hears("id: 2")
}

func TestLinesEnd(t *testing.T) {
	w := start(t)
	e := w.listen(w.live("/"))
	w.pages.Close()
	for e.lines.Scan() {
	}
	if err := e.lines.Err(); err != nil {
		t.Errorf("it was cut: %v", err)
	}
	w.ask("GET", "/live", nil, 429)
}

func TestALineEndsWithItsSession(t *testing.T) {
	w := guarded(t)
	w.ask("POST", "/login", fields("token", "secret"), 303)
	e := w.listen(w.live("/"))
	w.ask("POST", "/logout", fields(), 303)
	w.put("app", "f", "x")
	for e.lines.Scan() {
		if strings.HasPrefix(e.lines.Text(), "event") {
			t.Errorf("it hears %s", e.lines.Text())
		}
	}
}

func TestOnlySoManyLines(t *testing.T) {
	w := start(t)
	var ears []*ear
	for range 512 {
		ears = append(ears, w.listen("/live?since=0"))
	}
	w.ask("GET", "/live", nil, 429)
	w.put("app", "f", "x")
	for _, e := range ears {
		e.hears("id: 1")
	}
}
