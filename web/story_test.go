package web_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/updraft-ota/updraft/ota"
)

// files writes files to be chosen in a form, and returns their paths.
func files(t *testing.T, pairs ...string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		path := filepath.Join(dir, pairs[i])
		if err := os.WriteFile(path, []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// An operator publishes in one window, and sees it in another at once; tells
// devices, and sees what each said; deletes a version, and confirms it.
func TestAnOperatorsDay(t *testing.T) {
	w := start(t)
	one := browse(t, w.srv.URL, "")
	one.sees("Nothing is published yet.")
	one.sees("updraft publish --")
	one.live()
	two := one.another(w.srv.URL, "")
	two.live()
	one.gallery("empty")
	one.accessible("the first page")

	one.types(`.publish [name=publish_id]`, "board/app")
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=files]`), files(t, "slot0.bin", "zero", "slot1.bin", "one")))
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=manifest]`), files(t, "some.suit", "not a manifest")))
	one.click(`.publish button`)
	one.sees("published board_app r1")
	one.until("document.querySelector('.publish progress').value === 100")
	one.sees("slot1.bin, 3 B: coap://[fd00::1]:5683/board_app/slot1.bin")
	two.sees("3 files, 21 B")

	two.click(`.apps a.name`)
	two.sees("not SUIT, unchecked")
	two.sees("f9194e73f9e9459e3450ea10a179cdf77aafa695beecd3b9344a98d111622243") // printf zero | sha256sum
	two.live()
	two.click(`#notify summary`)
	two.types(`#notify textarea`, "[fd00::2]/url\ndead.example:5683")
	two.click(`#notify button`)
	two.sees("1 of 2 devices did not take board_app=r1.")
	two.sees("the device does not answer")
	two.gallery("notified")
	two.accessible("an application")

	w.put("board/app", "slot0.bin", "new")
	two.sees("r2")
	two.sees("the device does not answer") // what was said stays to be read

	two.click(`[id="version-r2"] header button`)
	two.sees("Delete board_app=r2 with 3 files?")
	two.gallery("delete")
	two.accessible("a question")
	two.do(chromedp.KeyEvent(kb.Escape))
	two.misses("Delete board_app=r2 with 3 files?")
	two.click(`[id="version-r2"] header button`)
	two.click(`[id="remove-r2"] form button.danger`)
	two.misses("r2")
	two.sees("r1")
}

// A manifest that is refused tells every reason, and is published if the
// operator insists; devices are told of it only then as well.
func TestAnOperatorInsists(t *testing.T) {
	w := start(t)
	suit, err := os.ReadFile("../suit/testdata/vectors/draft-37/example0.unsigned.suit")
	if err != nil {
		t.Fatal(err)
	}
	one := browse(t, w.srv.URL, "the server responded with a status of 4")
	one.live()
	one.types(`.publish [name=publish_id]`, "app")
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=manifest]`), files(t, "some.suit", string(suit))))
	one.click(`.publish button`)
	one.sees("Nothing was published. The manifest is refused:")
	one.sees("manifest: the manifest is not signed")
	one.gallery("not-published")
	one.click(`.publish [name=force]`)
	one.click(`.publish button`)
	one.sees("Published although refused:")
	one.sees("r1 forced 1 version")
	one.gallery("forced")

	one.do(chromedp.Navigate(w.srv.URL + "/app?name=app"))
	one.live()
	one.click(`#notify summary`)
	one.types(`#notify textarea`, "[fd00::2]/url")
	one.click(`#notify button`)
	one.sees("Nobody was notified.")
	one.sees("manifest: the manifest is not signed")
	one.gallery("refused")
	one.click(`#notify [name=force]`)
	one.click(`#notify button`)
	one.sees("1 device was notified of app=r1.")
	one.sees("Told although refused:")
	one.sees("Forced to notify at ")
	one.gallery("insisted")
	one.accessible("what was forced")
}

// An operator shows the token once, and is led to what they asked for.
func TestAnOperatorLogsIn(t *testing.T) {
	w := guarded(t)
	w.put("app", "f", "x")
	one := browse(t, w.srv.URL+"/app?name=app", "")
	one.sees("Operators’ token")
	one.gallery("login")
	one.accessible("the login")
	one.types(`#token`, "secret\r")
	one.sees("Devices fetch its files at")
	one.live()
	two := one.another(w.srv.URL, "401")
	two.sees("Log out")
	two.live()

	one.click(`.state form button`)
	one.sees("Operators’ token")
	w.put("app", "f", "y")
	two.sees("Operators’ token") // whose line ended with the session
}

// A fleet with a bit of everything, to be looked at.
func TestAFleetToLookAt(t *testing.T) {
	w := start(t)
	suit, err := os.ReadFile("../suit/testdata/vectors/draft-37/example4.signed.suit")
	if err != nil {
		t.Fatal(err)
	}
	riot, err := os.ReadFile("../suit/testdata/vectors/riot-draft-09/riot.samr21-xpro.1700000000.suit")
	if err != nil {
		t.Fatal(err)
	}
	w.put("lamp", "manifest", string(riot))
	old := w.put("fw/gnrc_networking/samr21-xpro", "slot0.1557151500.bin", "old", "slot1.1557151500.bin", "older", "riot.suit.1557151500.bin", "m")
	w.put("thermostat", "manifest", string(suit), "image.bin", "content of the image")
	w.put("a-name-so-long-that-it-fits-on-no-telephone-"+strings.Repeat("x", 120), "f", "x")
	for _, name := range []string{"kitchen", "cellar", "attic with a rather long name, for those who like to write"} {
		w.send(w.device(name), old)
	}
	w.send(w.constrained("node-7", true), old)
	for i := range 60 {
		w.reports(w.send(w.device(fmt.Sprintf("shed-%02d", i)), old), ota.OK, "")
	}
	failed := w.device("garage")
	u := w.send(failed, old)
	report := ota.Report{Update: u.ID, Results: []ota.OperationResult{{Code: ota.FlashFailed, Text: "slot 1: verify failed at 0x2000"}}}
	if err := w.fleet.Uplink(failed.ID).Report(w.ctx, report); err != nil {
		t.Fatal(err)
	}

	one := browse(t, w.srv.URL, "status of 404") // of a device that is nobody
	one.sees("attic with a rather long name")
	one.gallery("overview")
	one.accessible("the overview")
	one.click(`[id="device-` + string(failed.ID) + `"] a`)
	one.sees("FLASH_FAILED")
	one.gallery("device")
	one.accessible("a device")
	one.do(chromedp.Navigate(w.srv.URL + "/app?name=thermostat"))
	one.click(`.files a`)
	one.sees("Sequence number")
	one.gallery("manifest")
	one.accessible("a manifest")
	one.do(chromedp.Navigate(w.srv.URL + "/manifest?name=lamp&version=r1&file=manifest"))
	one.sees("Slot")
	one.gallery("riot")
	one.accessible("a manifest of RIOT's")
	one.do(chromedp.Navigate(w.srv.URL + "/devices?find=nobody"))
	one.sees("No device is “nobody”")
	one.gallery("nobody")
	one.do(chromedp.Navigate(w.srv.URL + "/app?name=fw_gnrc_networking_samr21-xpro"))
	one.click(`.version details summary`)
	one.sees("shed-51")
	one.gallery("updates")
	one.accessible("updates to a version")
	one.click(`.version details p a`)
	one.sees("1–50 of 65")
	one.gallery("list")
	one.accessible("a list of updates")
	one.click(`.statuses .bad`)
	one.misses("cellar")
	one.sees("garage")
}

// What strangers wrote is read and not run, and forms made of it work.
func TestHostileNamesInABrowser(t *testing.T) {
	w := start(t)
	const evil = `"><img src=x onerror=alert(1)>'{{7*7}}`
	id := strings.ReplaceAll(evil, " ", "\u2060") // spaces are none in an id
	p := w.put(id, `<script>alert(1)<\script>`, "x", "manifest", "m")
	w.send(w.device(evil), p)
	one := browse(t, w.srv.URL, "")
	one.sees(evil)
	one.click(`.apps a.name`)
	one.sees(id)
	one.sees(`script>`)
	one.live()
	one.click(`#notify summary`)
	one.types(`#notify textarea`, "dead.example")
	one.click(`#notify button`)
	one.sees("did not take " + id)
	one.gallery("application")
	one.accessible("a hostile application")
	one.click(`.version header button`)
	one.sees("Delete " + id)
	one.do(chromedp.KeyEvent(kb.Escape))
	one.click(`.version details summary`)
	one.click(`.version details .updates a`)
	one.sees("Devices / " + evil)
	one.gallery("device")
}
