package web_test

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"
)

// What a browser complains of when its server is away.
const complaints = "htmx:sse:error|htmx:error|ERR_|status of 4|Failed to fetch|network error"

func (w *window) script(text string) {
	w.t.Helper()
	w.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(w.ctx, chromedp.Evaluate[any](text))
		return err
	}))
}

// A line that is cut is taken up again, and the page shows what it missed.
func TestALineThatIsCut(t *testing.T) {
	w := start(t)
	one := browse(t, w.srv.URL, complaints)
	one.live()
	w.srv.CloseClientConnections()
	w.put("meanwhile", "f", "x")
	one.sees("meanwhile")
	one.live()
}

// While the server is away the page says so, and what it would do then fails
// visibly; when the server is there again, so is the page.
func TestAServerThatIsAway(t *testing.T) {
	w := start(t)
	w.put("app", "manifest", "m")
	one := browse(t, w.srv.URL+"/app?name=app", complaints)
	one.live()
	one.click(`#notify summary`)
	one.types(`#notify textarea`, "[fd00::2]/url")
	one.click(`#publish summary`)
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=files]`), files(t, "f", "x")))
	w.end()
	one.sees("Not connected: what is shown may be old.")
	one.click(`#notify button`)
	one.sees("The server cannot be reached, or ended the connection.")
	one.click(`.publish button[type=submit]`)
	one.sees("Nothing was published. The server cannot be reached")
	one.gallery("away")
	one.accessible("a page without its server")

	w.again()
	w.put("app", "manifest", "n")
	one.live()
	one.misses("Not connected")
	one.sees("r2")
	one.click(`#notify button`)
	one.sees("1 device was notified of app=r2.")
}

// A line on which nothing comes is cut, though nobody said so.
func TestALineThatIsSilent(t *testing.T) {
	w := start(t)
	one := browse(t, w.srv.URL, complaints)
	one.live()
	one.script(`document.getElementById("live").dataset.patience = 200`)
	w.put("one", "f", "x") // from then on it counts
	one.sees("Not connected")
	one.script(`document.getElementById("live").dataset.patience = 50000`)
	one.live()
	w.put("two", "f", "x")
	one.sees("two")
}

// A page for which there is no line says so, and tries again.
func TestAPageWithoutALine(t *testing.T) {
	w := start(t)
	w.pages.Close()
	one := browse(t, w.srv.URL, complaints)
	one.sees("Not connected")
	one.until(`!document.body.innerText.includes("too_many")`) // which is for programs
	w.end()
	w.again()
	one.script(`htmx.trigger(document.getElementById("live"), "again")`) // as it does by itself after a while
	one.live()
}
