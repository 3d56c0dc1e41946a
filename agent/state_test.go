package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

var me = Identity{UUID: "d1", Server: "http://server"}

// open opens a state that the test closes.
func open(t *testing.T, dir string, id Identity) *State {
	t.Helper()
	s, err := OpenState(dir, id, StateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refused expects that a state directory is not used, and returns why.
func refused(t *testing.T, dir string) string {
	t.Helper()
	s, err := OpenState(dir, me, StateOptions{})
	if err == nil {
		s.Close()
		t.Fatal("it was used")
	}
	return err.Error()
}

func TestStateIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer open(t, dir, me).Close()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestSecondAgentIsToldTheFirstsPID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first := open(t, dir, me)
	if text := refused(t, dir); !strings.Contains(text, fmt.Sprintf("pid %d", os.Getpid())) {
		t.Error(text)
	}
	first.Close()
	open(t, dir, me).Close()
}

func TestAnotherIdentityStartsAFreshJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for _, other := range []Identity{{UUID: "d2", Server: me.Server}, {UUID: "d1", Server: "http://other"}} {
		s := open(t, dir, me)
		if err := s.file(ota.Outcome("u1", ota.OK, "")); err != nil {
			t.Fatal(err)
		}
		s.Close()

		s = open(t, dir, other)
		if _, known := s.entry("u1"); known {
			t.Error("the old journal is still in use")
		}
		s.Close()
		aside, _ := filepath.Glob(filepath.Join(dir, "old-*", "journal", "u1.json"))
		if len(aside) == 0 {
			t.Error("the old journal is gone")
		}
	}
	s := open(t, dir, Identity{UUID: "d1", Server: "http://other"})
	defer s.Close()
}

func TestSameIdentityKeepsTheJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir, me)
	if err := s.file(ota.Outcome("u1", ota.OK, "fine")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir, me)
	defer s.Close()
	if q := s.unsent(); len(q) != 1 || !cmp.Equal(q[0].Report, ota.Outcome("u1", ota.OK, "fine")) {
		t.Errorf("%v", q)
	}
}

func TestLinksInSharedDirectoriesAreNotFollowed(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "tmp")
	target := t.TempDir()
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(shared, "state")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	refused(t, link)
	refused(t, filepath.Join(link, "below"))
	if names, _ := os.ReadDir(target); len(names) > 0 {
		t.Errorf("written through the link: %v", names)
	}
}

func TestStateIsNeverALink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "state")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	refused(t, link)
}

// Directories that only their owner can write to may be links: /var/lib on
// another disk.
func TestLinksOfTheIntegratorAreFollowed(t *testing.T) {
	link := filepath.Join(t.TempDir(), "lib")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Join(link, "state"), me).Close()
}

func TestDirectoryWhereEveryoneReplacesFilesIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if text := refused(t, filepath.Join(dir, "state")); !strings.Contains(text, "sticky") {
		t.Error(text)
	}
	if _, err := openFolder(dir, true); err == nil {
		t.Error("it may be packages_dir")
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Join(dir, "state"), me).Close()
}

func TestStateFilesThatAreNotOursAreRefused(t *testing.T) {
	for name, plant := range map[string]func(path, victim string) error{
		"symbolic link": func(path, victim string) error { return os.Symlink(victim, path) },
		"hard link":     func(path, victim string) error { return os.Link(victim, path) },
		"FIFO":          func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
		"directory":     func(path, _ string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			victim := filepath.Join(dir, "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			state := filepath.Join(dir, "state")
			if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := plant(filepath.Join(state, "lock"), victim); err != nil {
				t.Fatal(err)
			}
			refused(t, state)
			if data, _ := os.ReadFile(victim); string(data) != "precious" {
				t.Errorf("overwritten: %q", data)
			}
		})
	}
}

// packages_dir is /tmp/ by default, where anyone may put something in the way.
func TestPartFileThatIsALinkIsNotWritten(t *testing.T) {
	story(t, func(w *world) {
		victim := filepath.Join(t.TempDir(), "victim")
		if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
			w.Fatal(err)
		}
		if err := os.Mkdir(w.cfg.Device.PackagesDir, 0o700); err != nil {
			w.Fatal(err)
		}
		if err := os.Symlink(victim, filepath.Join(w.cfg.Device.PackagesDir, ".u1.part")); err != nil {
			w.Fatal(err)
		}
		if err := os.Symlink(victim, filepath.Join(w.cfg.Device.PackagesDir, "u2")); err != nil {
			w.Fatal(err)
		}
		w.server.add("u1", someBytes(1000))
		w.server.add("u2", someBytes(1000))
		w.start()
		w.do(GetUpdateRequests{})
		w.pass(0)
		if diff := cmp.Diff([]string{"u1 GENERAL_ERROR"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
		if data, _ := os.ReadFile(victim); string(data) != "precious" {
			t.Errorf("overwritten: %.20q", data)
		}
		if info, err := os.Lstat(filepath.Join(w.cfg.Device.PackagesDir, "u2")); err != nil || !info.Mode().IsRegular() {
			t.Errorf("u2: %v, %v", info, err)
		}
	})
}

func TestDamagedJournalEntryIsSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir, me)
	for _, id := range []ota.UpdateID{"u1", "u2"} {
		if err := s.file(ota.Outcome(id, ota.OK, "")); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "journal", "u1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal", ".tmp-u3.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, me)
	defer s.Close()
	if q := s.unsent(); len(q) != 1 || q[0].Report.Update != "u2" {
		t.Errorf("%v", q)
	}
	names, err := s.journal.names()
	if err != nil || len(names) != 2 {
		t.Errorf("%q, %v", names, err)
	}
}

func TestJournalForgetsOldEntries(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir, me)
	if err := s.file(ota.Outcome("waits", ota.OK, "")); err != nil {
		t.Fatal(err)
	}
	for i := range keepEntries + 5 {
		id := ota.UpdateID(fmt.Sprint("u", i))
		s.entries[id] = &Entry{Update: id, Step: Reported, Seq: int64(i + 2)}
	}
	s.last = keepEntries + 10
	if err := s.put(Entry{Update: "u0", Step: Known}); err != nil { // takes no part
		t.Fatal(err)
	}
	if err := s.put(Entry{Update: "u1", Step: Reported}); err != nil { // is the newest now
		t.Fatal(err)
	}
	if err := s.prune(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for id, want := range map[ota.UpdateID]bool{"waits": true, "u0": true, "u1": true, "u5": false, "u6": true, "u1004": true} {
		if _, known := s.entry(id); known != want {
			t.Errorf("%s is known: %v", id, known)
		}
	}
	if len(s.entries) != keepEntries+2 {
		t.Errorf("%d entries", len(s.entries))
	}
}

func TestOutboxOfOneUpdateIsBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state"), me)
	defer s.Close()
	var err error
	for i := 0; err == nil && i <= maxQueued; i++ {
		err = s.file(ota.Outcome("u1", ota.OK, fmt.Sprint(i)))
	}
	if ota.KindOf(err) != ota.KindTooMany || len(s.unsent()) != maxQueued {
		t.Errorf("%v, %d wait", err, len(s.unsent()))
	}
}

// Someone on the device who reports nonsense while the server is away fills
// neither disk nor memory, nor the place of reports that are wanted.
func TestReportsOnUpdatesNobodyToldOfAreBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state"), me)
	defer s.Close()
	long := strings.Repeat("x", 1<<20)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = s.file(ota.Outcome(ota.UpdateID(fmt.Sprint("strange", n)), ota.OK, long))
	}
	if ota.KindOf(err) != ota.KindTooMany || n != maxStrange>>20 {
		t.Errorf("%d reports, %v", n, err)
	}
	if err := s.put(Entry{Update: "u1", Package: ota.PackageID{Name: "n", Version: "1"}, Step: Ready, Size: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.file(ota.Outcome("u1", ota.OK, long)); err != nil {
		t.Errorf("a report that is wanted: %v", err)
	}
	for n = 1; err == nil || n == 1; n++ {
		err = s.file(ota.Outcome("u1", ota.OK, fmt.Sprint(n, long)))
	}
	if ota.KindOf(err) != ota.KindTooMany || n > maxQueuedBytes>>20+1 {
		t.Errorf("%d reports of one update, %v", n, err)
	}
}

func TestFileNames(t *testing.T) {
	long := strings.Repeat("x", 500)
	seen := map[string]bool{}
	for _, id := range []string{"", ".", "..", "a/b", "a%2Fb", "../x", "\x00", "ü", "A", "a", long, long + "y", "7fc9a0e2-2d0f-4c1e-9a4b-0c5a8f1a9c11"} {
		name := fileName(ota.UpdateID(id))
		if seen[name] || len(name) > 200 || strings.ContainsAny(name, "/\x00") || name[0] == '.' && id != "" && id[0] != '.' {
			t.Errorf("%.20q: %q", id, name)
		}
		seen[name] = true
	}
	if got := fileName("../x"); got != "%2E%2E%2Fx.json" {
		t.Error(got)
	}
}

// A journal that cannot be written stops the update rather than going on
// without memory.
func TestNothingIsAnnouncedThatIsNotWritten(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(100))
		w.start()
		if err := os.RemoveAll(filepath.Join(w.cfg.StatePath(), "journal")); err != nil {
			w.Fatal(err)
		}
		if e := w.do(GetUpdateRequests{}); !strings.HasPrefix(line(e), "Error IO error: journal") {
			t.Errorf("%v", e)
		}
		if e := w.do(SendUpdateReport{ota.Outcome("u1", ota.OK, "")}); !strings.HasPrefix(line(e), "Error IO error: journal") {
			t.Errorf("%v", e)
		}
		if len(w.server.reports) > 0 {
			t.Error("a report was sent that a crash could lose")
		}
	})
}
