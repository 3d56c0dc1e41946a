package web_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/updraft-ota/updraft/ota"
)

// What an operator chose stays chosen while the page follows what changes.
func TestWhatIsChosenStaysChosen(t *testing.T) {
	w := start(t)
	w.put("app", "manifest", "1")
	w.put("app", "manifest", "2")
	one := browse(t, w.srv.URL+"/app?name=app", "")
	one.live()
	one.click(`#notify summary`)
	one.types(`#notify textarea`, "[fd00::2]/url")
	one.do(chromedp.SetValue(chromedp.CSS(`#notify-version`), "r1"))
	one.click(`#notify [name=force]`)
	one.click(`#publish summary`)
	one.types(`#publish [name=version]`, "1.2.3")
	one.click(`[id="version-r1"] .do button`)
	one.sees("Delete app=r1 with 1 file?")

	w.put("app", "manifest", "3")
	one.until(`document.getElementById("version-r3") !== null`)
	one.until(`document.querySelector("#notify-version").value === "r1"`)
	one.until(`document.querySelector("#notify textarea").value === "[fd00::2]/url"`)
	one.until(`document.querySelector("#notify [name=force]").checked`)
	one.until(`document.querySelector("#publish [name=version]").value === "1.2.3"`)
	one.until(`document.querySelector("#publish").open && document.querySelector("#notify").open`)
	one.sees("Delete app=r1 with 1 file?") // the question of r1, and not of what stands there now
	one.do(chromedp.KeyEvent(kb.Escape))
	one.misses("Delete app=r1 with 1 file?")
}

// Everything is done with the keyboard, and shows where it is.
func TestWithTheKeyboard(t *testing.T) {
	w := start(t)
	w.put("app", "manifest", "m")
	one := browse(t, w.srv.URL+"/app?name=app", "")
	one.live()
	const ring = `getComputedStyle(document.activeElement).outlineStyle !== "none" || getComputedStyle(document.activeElement).boxShadow !== "none"`
	tab := func(to string) {
		t.Helper()
		for range 40 {
			one.do(chromedp.KeyEvent(kb.Tab))
			one.until(ring)
			if at, err := chromedp.Run(one.ctx, chromedp.Evaluate[bool](`document.activeElement.matches(`+quote(to)+`)`)); err != nil || at {
				return
			}
		}
		t.Fatalf("the keyboard never comes to %s", to)
	}
	one.do(chromedp.KeyEvent(kb.Tab))
	one.until(`document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`)
	one.gallery("skip")
	tab(`#notify summary`)
	one.do(chromedp.KeyEvent(kb.Enter))
	tab(`#notify textarea`)
	one.do(chromedp.KeyEvent("dead.example"))
	tab(`#notify button`)
	one.do(chromedp.KeyEvent(kb.Enter))
	one.sees("1 of 1 device did not take app=r1.")
	tab(`.do a`)
	tab(`.do button`)
	one.do(chromedp.KeyEvent(" "))
	one.sees("Delete app=r1 with 1 file?")
	one.until(`document.activeElement.textContent === "Keep it"`) // so that Enter deletes nothing
	one.do(chromedp.KeyEvent(kb.Enter))
	one.misses("Delete app=r1 with 1 file?")
	one.until(`document.activeElement.matches(".do button")`)
}

// Without scripts an operator publishes, tells devices, deletes, and reads what
// became of it.
func TestWithoutScripts(t *testing.T) {
	w := start(t)
	one := browse(t, "about:blank", "")
	one.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), chromedp.Navigate(w.srv.URL))
	one.sees("Reload to see what changed")
	one.types(`.publish [name=publish_id]`, "app")
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=manifest]`), files(t, "some.suit", "not a manifest")))
	one.click(`.publish button[type=submit]`)
	one.sees("published app r1")
	one.gallery("published")
	one.click(`main p a`)
	one.click(`.do a`) // opens the form
	one.until(`document.querySelector("#notify-version").value === "r1"`)
	one.types(`#notify textarea`, "dead.example")
	one.click(`#notify button`)
	one.sees("1 of 1 device did not take app=r1.")
	one.click(`.do button`)
	one.click(`[id="remove-r1"] form button.danger`)
	one.sees("Nothing is published yet.")
}

// A long upload shows how far it is; it can be stopped, and then nothing was
// published; and what was typed outlives the session.
func TestALongUpload(t *testing.T) {
	w := guarded(t)
	gate := make(chan struct{})
	w.before = func(r *http.Request) {
		if r.URL.Path == "/app/publish" {
			r.Body = &gated{ReadCloser: r.Body, open: gate}
		}
	}
	one := browse(t, w.srv.URL, "401")
	one.types(`#token`, "secret\r")
	one.live()
	path := filepath.Join(t.TempDir(), "image.bin")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 40<<20); err != nil {
		t.Fatal(err)
	}
	one.types(`.publish [name=publish_id]`, "app")
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=files]`), []string{path}))
	one.click(`.publish button[type=submit]`)
	one.until(`/^[1-9][0-9]? % of 40\.0 MiB$/.test(document.querySelector(".sent").textContent)`)
	one.until(`document.querySelector(".publish progress").value > 0`)
	one.gallery("sending")
	one.accessible("an upload")
	one.click(`.publish .stop`)
	one.sees("Stopped: nothing was published.")
	one.until(`document.querySelector(".publish progress").hidden && !document.querySelector(".publish button").disabled`)
	close(gate)

	two := one.another(w.srv.URL, "401")
	two.live()
	two.click(`.state form button`)
	two.sees("Operators’ token")
	one.click(`.publish button[type=submit]`)
	one.sees("Your session has ended.")
	one.sees("Log in again")
	one.gallery("ended")
	two.types(`#token`, "secret\r")
	two.sees("Nothing is published yet.")
	one.click(`.publish button[type=submit]`)
	one.sees("published app r1")
}

// gated is a body of which a little is read before the gate opens.
type gated struct {
	io.ReadCloser
	open <-chan struct{}
	had  int
}

func (g *gated) Read(p []byte) (int, error) {
	if g.had > 1<<20 {
		<-g.open
	}
	n, err := g.ReadCloser.Read(p)
	g.had += n
	return n, err
}

// A device that fetches shows how far it is, and by which name it is known.
func TestWatchingADevice(t *testing.T) {
	w := start(t)
	d := w.constrained("node-7", true)
	u := w.send(d, w.put("thermostat", "manifest", "m", "image.bin", "x"))
	if _, err := w.fleet.Uplink(d.ID).Fetch(w.ctx, ota.FetchRequest{Update: u.ID, Artifact: "image.bin"}); err != nil {
		t.Fatal(err)
	}
	var held atomic.Int64
	w.links = func() []ota.Link {
		return []ota.Link{{Device: d.ID, Transfers: []ota.Transfer{{Update: u.ID, Package: u.Package, State: "fetching", Size: 100 << 10, Held: held.Add(10 << 10)}}}}
	}
	one := browse(t, w.srv.URL+"/device?id="+string(d.ID), "")
	one.live()
	one.sees("In flight")
	one.sees("10.0 KiB of 100.0 KiB")
	one.gallery("fetching")
	one.accessible("a device that fetches")
	one.sees("30.0 KiB of 100.0 KiB") // without an event
}
