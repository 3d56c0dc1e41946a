package web_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
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
	one := browse(t, w.srv.URL)
	one.sees("Nothing is published yet.")
	one.sees("updraft publish --")
	one.live()
	two := one.another(w.srv.URL)
	two.live()
	one.gallery("empty")

	one.types(`.publish [name=publish_id]`, "board/app")
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=files]`), files(t, "slot0.bin", "zero", "slot1.bin", "one")))
	one.do(chromedp.SetUploadFiles(chromedp.CSS(`.publish [name=manifest]`), files(t, "some.suit", "not a manifest")))
	one.click(`.publish button`)
	one.sees("Published: board_app r1")
	one.sees("slot1.bin, 3 bytes: coap://[fd00::1]:5683/board_app/slot1.bin")
	two.sees("3 files, 21 B")

	two.click(`.apps a.name`)
	two.sees("not SUIT, unchecked")
	two.sees("f9194e73f9e9459e3450ea10a179cdf77aafa695beecd3b9344a98d111622243") // printf zero | sha256sum
	two.live()
	two.click(`#notify summary`)
	two.types(`#notify textarea`, "[fd00::2]/url\ndead.example:5683")
	two.click(`#notify button`)
	two.sees("1 device of 2 devices did not take board_app=r1.")
	two.sees("the device does not answer")
	two.gallery("notified")

	w.put("board/app", "slot0.bin", "new")
	two.sees("r2")
	two.sees("the device does not answer") // what was said stays to be read

	two.click(`[id="version-r2"] header button`)
	two.sees("Delete board_app=r2 with 3 files?")
	two.gallery("delete")
	two.click(`[id="remove-r2"] form button.danger`)
	two.misses("r2")
	two.sees("r1")
}
