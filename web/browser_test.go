package web_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// pictures is a folder for screenshots; none are taken if it is not set.
var pictures = os.Getenv("UPDRAFT_TEST_PICTURES")

// window is a window of a headless Chromium.
type window struct {
	t   *testing.T
	ctx context.Context
	// Complaints of the page that match are none; "": there are no such.
	bears   string
	console *sync.WaitGroup // of those who listen to complaints
}

// browse opens a window of a new browser with its own profile, at a page.
func browse(t *testing.T, url, bears string) *window {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("install chromium (scripts/bootstrap test does): %v", err)
	}
	var console sync.WaitGroup
	t.Cleanup(console.Wait)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900)}
	for _, flag := range []string{"no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run",
		"disable-background-networking", "disable-component-update", "disable-sync", "hide-scrollbars"} {
		opts = append(opts, chromedp.Flag(flag, true))
	}
	opts = append(opts, chromedp.Flag("headless", "new"), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"))
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	w := &window{t, ctx, bears, &console}
	w.open(url)
	return w
}

// another opens a second window of the same browser.
func (w *window) another(url, bears string) *window {
	w.t.Helper()
	ctx, cancel := chromedp.NewContext(w.ctx, chromedp.WithNewWindow(true))
	w.t.Cleanup(cancel)
	v := &window{w.t, ctx, bears, w.console}
	v.open(url)
	return v
}

// open goes to the first page. Whatever a page complains of from then on, such
// as what its policy forbids, is a fault.
func (w *window) open(url string) {
	w.t.Helper()
	w.do() // starts it
	console := chromedp.Console(w.ctx)
	w.console.Go(func() {
		for m, err := range console {
			bad := m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleWarning
			if err == nil && bad && (w.bears == "" || !regexp.MustCompile(w.bears).MatchString(m.Text)) {
				w.t.Errorf("console: %s: %s", m.Type, m.Text)
			}
		}
	})
	w.do(chromedp.Navigate(url))
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.picture("failed")
		w.t.Fatalf("%v; the page says:\n%s", err, w.says())
	}
}

func (w *window) says() string {
	text, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return text
}

// sees waits until the page shows that text, and misses until it no longer does.
func (w *window) sees(text string) {
	w.t.Helper()
	w.until("document.body.innerText.includes(" + quote(text) + ")")
}
func (w *window) misses(text string) {
	w.t.Helper()
	w.until("!document.body.innerText.includes(" + quote(text) + ")")
}

// until waits for what a script tells, also through a change of pages.
func (w *window) until(script string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](script))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			w.picture("failed")
			w.t.Fatalf("never: %s: %v; the page says:\n%s", script, err, w.says())
		}
	}
}

// live waits until the page follows what changes.
func (w *window) live() {
	w.t.Helper()
	w.until("document.querySelector('#live.on') !== null")
}

func (w *window) click(selector string) {
	w.t.Helper()
	w.do(chromedp.Click(chromedp.CSS(selector)))
}

func (w *window) types(selector, text string) {
	w.t.Helper()
	w.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// picture takes a screenshot of the whole page, if wanted.
func (w *window) picture(name string) {
	w.t.Helper()
	if pictures == "" {
		return
	}
	png, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(pictures, strings.ReplaceAll(w.t.Name(), "/", "-")+"-"+name+".png"), png, 0o644)
	}
	if err != nil {
		w.t.Logf("no picture: %v", err)
	}
}

// in shows the page in a light or a dark world, at a size.
func (w *window) in(theme string, width, height int64) {
	w.t.Helper()
	w.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

// gallery takes pictures in every world, if wanted.
func (w *window) gallery(name string) {
	w.t.Helper()
	if pictures == "" {
		return
	}
	for _, theme := range []string{"light", "dark"} {
		w.in(theme, 1280, 900)
		w.picture(name + "-desktop-" + theme)
		w.in(theme, 390, 844)
		w.picture(name + "-phone-" + theme)
	}
	w.in("light", 1280, 900)
}

// accessible runs axe-core over the page, light on a desktop and dark on a
// telephone.
func (w *window) accessible(what string) {
	w.t.Helper()
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		w.t.Fatal(err)
	}
	for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
		w.in(theme, width, 900)
		found, err := chromedp.Run(w.ctx, chromedp.Evaluate[[]string](string(axe)+`;axe.run(document).then(r =>
			r.violations.map(v => v.id + ": " + v.help + "\n    " + v.nodes.map(n => n.target + " " + n.failureSummary).join("\n    ")))`,
			chromedp.EvalAwaitPromise, chromedp.EvalAsValue))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range found {
			w.t.Errorf("%s, %s, %d wide: %s", what, theme, width, f)
		}
		wide, err := chromedp.Run(w.ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
		if err != nil || wide > width {
			w.t.Errorf("%s is %d wide on a screen of %d (%v)", what, wide, width, err)
		}
	}
	w.in("light", 1280, 900)
}

func quote(s string) string {
	var b bytes.Buffer
	b.WriteByte('`')
	b.WriteString(strings.NewReplacer("`", "\\`", "\\", "\\\\", "$", "\\$").Replace(s))
	b.WriteByte('`')
	return b.String()
}
