package swm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

const harmless = `{"id":"1","operation":"install_config","image":"f","path":"/f"}`

// The update is the one in the manifest, or else the one that the client says,
// or else the one the file is named after. Manifest and client must agree.
func TestWhichUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	manifest := func(id string) string { return `{"updateId":"` + id + `","name":"n","operations":[` + harmless + `]}` }
	for _, c := range []struct {
		file, manifest string
		told           ota.UpdateID
		want           ota.UpdateID
		code           ota.ResultCode
	}{
		{"a", "", "", "a", ota.OK},
		{"b", "inside", "", "inside", ota.AlreadyProcessed},
		{"c", "", "told", "told", ota.AlreadyProcessed},
		{"d", "both", "both", "both", ota.AlreadyProcessed},
		{"e", "inside", "told", "told", ota.ValidationFailed},
	} {
		text := manifest(c.manifest)
		if c.manifest == "" {
			text = `{"name":"n","operations":[` + harmless + `]}`
		}
		if err := w.DownloadComplete(w.imageWith(c.file, content{"f": ""}, text), c.told); err != nil {
			t.Fatal(err)
		}
		if r := w.hears(); r.Update != c.want || len(r.Results) != 1 || r.Results[0].Code != c.code {
			t.Errorf("%+v: %+v", c, r)
		}
	}
}

// An image that cannot be used is reported, too.
func TestBrokenImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opts.Limits = image.Limits{Bytes: 1000, Files: 2}
	w.start()
	text := filepath.Join(w.images, "text")
	w.write(text, "hello", 0o600)
	for path, want := range map[string]ota.ResultCode{
		text:                                 ota.ValidationFailed,
		w.imageWith("no-json", nil, "hello"): ota.ValidationFailed,
		w.image("no-file", nil, harmless):    ota.ValidationFailed,
		w.image("large", content{"f": strings.Repeat("x", 1000)}, harmless): ota.ValidationFailed,
		w.image("many", content{"f": "", "g": ""}, harmless):                ota.ValidationFailed,
		w.image("good", content{"f": ""}, harmless):                         ota.OK,
	} {
		r := w.installs(path)
		if r.Update != ota.UpdateID(filepath.Base(path)) || len(r.Results) != 1 || r.Results[0].Code != want {
			t.Errorf("%s: %+v", path, r)
		}
	}
	for _, path := range []string{"relative", w.images, filepath.Join(w.images, "nothing")} {
		if err := w.DownloadComplete(path, ""); ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := w.DownloadComplete(text, "../x"); ota.KindOf(err) != ota.KindInvalid {
		t.Errorf("a bad id: %v", err)
	}
}

// An image announced once more is reported once more, also by the manager's
// successor, and not installed again; other bytes under the same name are
// another image.
func TestAnnouncedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plugin("delete_partition", "exit 0")
	w.start()
	path := w.image("u1", nil, op(1, "delete_partition", ""))
	first := w.installs(path)
	codes(t, first, ota.OK)
	w.plugin("delete_partition", "exit 1")
	for range 2 {
		if diff := cmp.Diff(first, w.installs(path)); diff != "" {
			t.Errorf("reported again (-want +got):\n%s", diff)
		}
		w.end()
		w.start()
	}
	if left, err := os.ReadDir(filepath.Join(w.opts.StateDir, "work")); err != nil || len(left) > 0 {
		t.Errorf("unpacked images are left: %v %v", left, err)
	}
	w.image("u1", content{"more": ""}, op(1, "delete_partition", ""))
	codes(t, w.installs(path), ota.AlreadyProcessed)
}

// A client that is away hears the report when it is back.
func TestClientIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var calls atomic.Int32
	w.client.away = func() error {
		if calls.Add(1) <= 3 {
			return errors.New("away")
		}
		return nil
	}
	w.start()
	codes(t, w.installs(w.image("u1", content{"f": ""}, harmless)), ota.OK)
	if got := calls.Load(); got != 5 {
		t.Errorf("%d calls, want 3 in vain and 2", got)
	}
}

// The journal is for one manager, and what is damaged does not stop it.
func TestJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.installs(w.image("u1", content{"f": ""}, harmless))
	if _, err := New(w.opts); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("a second manager: %v", err)
	}
	w.end()
	records, err := filepath.Glob(filepath.Join(w.opts.StateDir, "journal/*.json"))
	if err != nil || len(records) != 1 {
		t.Fatalf("%v %v", records, err)
	}
	w.write(records[0], "{", 0o600)
	w.write(filepath.Join(w.opts.StateDir, "journal/other.json"), "{}", 0o600)
	orphan := filepath.Join(w.opts.StateDir, "work/orphan")
	w.write(filepath.Join(orphan, "image/f"), "", 0o600)
	w.start()
	if _, err := os.Stat(orphan); !os.IsNotExist(err) {
		t.Errorf("an unpacked image of no record is left: %v", err)
	}
	codes(t, w.installs(w.image("u1", content{"f": ""}, harmless)), ota.AlreadyProcessed)
	if bad, _ := filepath.Glob(filepath.Join(w.opts.StateDir, "journal/*.bad")); len(bad) != 2 {
		t.Errorf("put aside: %v", bad)
	}
}

// The journal forgets what was closed long ago.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	j, err := openJournal(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	path := func(i int) string { return "/images/" + strings.Repeat("x", i+1) }
	for i := range maxClosed + 5 {
		if err := j.put(record{Image: path(i), Step: closed}); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(j.dir, "*.json"))
	_, oldest := j.find(path(4))
	_, newer := j.find(path(5))
	if len(files) != maxClosed || oldest || !newer {
		t.Errorf("%d files, the oldest is there: %t, newer: %t", len(files), oldest, newer)
	}
}

// A process of another start of the machine, or one that has taken the number
// of ours, is not waited for.
func TestAwaitKnowsItsProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	me, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*process{nil, {}, {PID: me.PID, Start: me.Start + 1, Boot: me.Boot}, {PID: me.PID, Start: me.Start, Boot: "another"}} {
		if err := w.await(t.Context(), p); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// Users are asked in words that a terminal may be given, until they answer.
func TestTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	ask := Terminal(strings.NewReader("what?\nY\n no \n"), &out)
	o := Offer{Update: "u1", Description: "green\x1b[2J\nscreen", Confirm: true}
	yes, err := ask(t.Context(), o)
	no, err2 := ask(t.Context(), o)
	_, nobody := ask(t.Context(), o)
	if !yes || no || err != nil || err2 != nil || !errors.Is(nobody, ErrNobody) {
		t.Errorf("%t %t %v %v %v", yes, no, err, err2, nobody)
	}
	const q = "Download and install it? [y/n] "
	const want = "Update u1: green[2J screen\n" + q
	if got := out.String(); !strings.HasPrefix(got, want+q+want+want) {
		t.Errorf("%q", got)
	}
}

// Consent reaches the client as a wish to download, and its lack as a report;
// what needs none is downloaded, and what nobody answers waits.
func TestConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answers := make(chan string)
	w.opts.Consent = Terminal(reader(answers), new(strings.Builder))
	w.start()
	offer := func(id ota.UpdateID, confirm bool) {
		t.Helper()
		if err := w.UpdateAvailable(Offer{Update: id, Confirm: confirm}); err != nil {
			t.Fatal(err)
		}
	}
	offer("free", false)
	if got := receive(t, w.client.wanted); got != "free" {
		t.Errorf("downloads %s", got)
	}
	offer("yes", true)
	offer("yes", true) // asked once
	offer("no", true)
	answers <- "y\n"
	if got := receive(t, w.client.wanted); got != "yes" {
		t.Errorf("downloads %s", got)
	}
	answers <- "n\n"
	want := ota.Outcome("no", ota.UserDeclined, "the user declined the update")
	if diff := cmp.Diff(want, receive(t, w.client.reports)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	close(answers)
	offer("nobody", true)
	offer("free2", false)
	if got := receive(t, w.client.wanted); got != "free2" || len(w.client.reports) > 0 {
		t.Errorf("downloads %s, %d reports", got, len(w.client.reports))
	}
	if err := w.UpdateAvailable(Offer{Update: "../x"}); ota.KindOf(err) != ota.KindInvalid {
		t.Error(err)
	}
}

// A manager that is to end does not wait for an answer.
func TestEndWhileAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := make(chan string)
	w.opts.Consent = Terminal(reader(asked), new(strings.Builder))
	w.start()
	if err := w.UpdateAvailable(Offer{Update: "u1", Confirm: true}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		w.end()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("it waits")
	}
	close(asked)
}

// reader reads what comes through a channel.
type reader chan string

func (r reader) Read(p []byte) (int, error) {
	s, ok := <-r
	if !ok {
		return 0, os.ErrClosed
	}
	return copy(p, s), nil
}
