package rvikeys_test

import (
	"crypto/rsa"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

func modes(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		m[e.Name()] = fmt.Sprintf("%04o", info.Mode().Perm())
	}
	return m
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestKeysAreTheirOwnersAlone(t *testing.T) {
	dir := data(t)
	same(t, modes(t, dir), map[string]string{"rvi": "0700"})
	same(t, modes(t, filepath.Join(dir, "rvi")), map[string]string{
		"root.crt": "0644", "root.key": "0600", "server.crt": "0644", "server.key": "0600", "credential.jwt": "0644"})
	out := filepath.Dir(issue(t, car).Key)
	same(t, modes(t, filepath.Dir(out)), map[string]string{"out": "0700"})
	same(t, modes(t, out), map[string]string{"root.crt": "0644", "device.crt": "0644", "device.key": "0600", "credential.jwt": "0644"})
}

func TestAServersKeysAreMadeOnce(t *testing.T) {
	dir := copied(t)
	before := texts(t, filepath.Join(dir, "rvi"))
	if err := os.WriteFile(filepath.Join(dir, "rvi", "addresses.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "rvi"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "rvi", "root.key")); err != nil { // kept elsewhere
		t.Fatal(err)
	}
	if _, err := rvikeys.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	same(t, modes(t, dir), map[string]string{"rvi": "0700"})
	before["addresses.json"] = "{}"
	delete(before, "root.key")
	same(t, texts(t, filepath.Join(dir, "rvi")), before)

	_, err := rvikeys.Issue(dir, car, t.TempDir(), time.Now())
	if err == nil || !strings.Contains(err.Error(), "root.key is not there") {
		t.Error(err)
	}
}

func TestWhatIsGoneIsNotMadeAnew(t *testing.T) {
	for _, name := range []string{"root.crt", "server.crt", "server.key", "credential.jwt"} {
		dir := copied(t)
		if err := os.Remove(filepath.Join(dir, "rvi", name)); err != nil {
			t.Fatal(err)
		}
		before := texts(t, filepath.Join(dir, "rvi"))
		_, err := rvikeys.Ensure(dir, time.Now())
		if err == nil || !strings.Contains(err.Error(), name+" is gone: put it back") {
			t.Error(err)
		}
		same(t, texts(t, filepath.Join(dir, "rvi")), before)
	}
}

// killed leaves a folder as a process does that was killed after it had moved
// so many of the files it made.
func killed(t *testing.T, dir string, moved int) {
	t.Helper()
	made := filepath.Join(dir, ".made")
	files := slices.Sorted(maps.Keys(texts(t, dir)))
	if err := os.Mkdir(made, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range files[moved:] {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(made, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhoIsKilledWhileMakingKeysLeavesAllOrNone(t *testing.T) {
	want := texts(t, filepath.Join(data(t), "rvi"))
	for moved := range len(want) + 1 {
		dir := copied(t)
		killed(t, filepath.Join(dir, "rvi"), moved)
		if _, err := rvikeys.Ensure(dir, time.Now()); err != nil {
			t.Fatal(err)
		}
		same(t, texts(t, filepath.Join(dir, "rvi")), want)
	}

	out := filepath.Dir(issue(t, car).Key) // and a device's
	want = texts(t, out)
	killed(t, out, 2)
	_, err := rvikeys.Issue(data(t), bus, out, time.Now())
	if err == nil || !strings.Contains(err.Error(), "root.crt exists already") {
		t.Error(err)
	}
	same(t, texts(t, out), want)

	early := t.TempDir() // killed before all were written
	if err := os.MkdirAll(filepath.Join(early, ".making", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := rvikeys.Issue(data(t), car, early, time.Now()); err != nil {
		t.Fatal(err)
	}
	same(t, len(texts(t, early)), 4)
}

func TestADevicesFilesAreNotOverwritten(t *testing.T) {
	for _, name := range []string{"root.crt", "device.crt", "device.key", "credential.jwt"} {
		out := t.TempDir()
		if err := os.WriteFile(filepath.Join(out, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := rvikeys.Issue(data(t), car, out, time.Now())
		if err == nil || !strings.Contains(err.Error(), name+" exists already: remove it first") {
			t.Error(err)
		}
		same(t, texts(t, out), map[string]string{name: "mine"})
	}
	_, err := rvikeys.Issue(filepath.Join(t.TempDir(), "typo"), car, t.TempDir(), time.Now())
	if err == nil || !strings.Contains(err.Error(), "name the server's data folder") {
		t.Error(err)
	}
}

func TestWhatIsIssued(t *testing.T) {
	device := rvi.Identity{Device: ota.DeviceID("9ea653bc-3486-44cd-aa86-d936bd957e52")}
	server, err := rvikeys.Ensure(data(t), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		files   rvikeys.Files
		receive []string
		invoke  []string
		years   int
	}{
		{server, []string{"genivi.org/backend/sota/"}, []string{"genivi.org/vin/", "genivi.org/device/"}, 30},
		{issue(t, car), []string{"genivi.org/vin/VINOOLAM0FAU2DEEP/"}, []string{"genivi.org/backend/sota/"}, 15},
		{issue(t, device), []string{"genivi.org/device/9ea653bc-3486-44cd-aa86-d936bd957e52/"}, []string{"genivi.org/backend/sota/"}, 15},
	} {
		id, err := rvikeys.Load(tt.files)
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := id.Roots[0].PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() < 2048 {
			t.Errorf("the root's key is %T", id.Roots[0].PublicKey)
		}
		g, err := node.VerifyCredential(id.Credentials[0], id.Roots, id.Certificate.Certificate[0], time.Now())
		if err != nil {
			t.Fatal(err)
		}
		same(t, g.Receive, tt.receive)
		same(t, g.Invoke, tt.invoke)
		for what, end := range map[string]time.Time{"credential": g.Stop, "certificate": id.Certificate.Leaf.NotAfter} {
			if soon, late := time.Now().AddDate(tt.years, 0, -1), time.Now().AddDate(tt.years, 0, 1); end.Before(soon) || end.After(late) {
				t.Errorf("the %s of %s ends on %v", what, tt.files.Cert, end)
			}
		}
	}
}

func TestNothingIsIssuedBeyondTheRootsEnd(t *testing.T) {
	late := time.Now().AddDate(20, 0, 0)
	files, err := rvikeys.Issue(data(t), car, t.TempDir(), late)
	if err != nil {
		t.Fatal(err)
	}
	id, err := rvikeys.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	same(t, id.Certificate.Leaf.NotAfter, id.Roots[0].NotAfter)
	if _, err := rvikeys.Issue(data(t), car, t.TempDir(), late.AddDate(11, 0, 0)); err == nil || !strings.Contains(err.Error(), "root ended on") {
		t.Error(err)
	}
}

func TestWhatCannotBeLoadedSaysWhy(t *testing.T) {
	good, other := issue(t, car), issue(t, bus)
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		change func(*rvikeys.Files)
		want   string
	}{
		{func(f *rvikeys.Files) { f.Root = "" }, "rvi root: no file is given"},
		{func(f *rvikeys.Files) { f.Cred = "/nowhere" }, "rvi credential: open /nowhere"},
		{func(f *rvikeys.Files) { f.Root = f.Key }, "rvi root: there is no certificate in "},
		{func(f *rvikeys.Files) { f.Root = write("hello") }, "rvi root: there is no certificate in "},
		{func(f *rvikeys.Files) { f.Key = other.Key }, "does not match"},
		{func(f *rvikeys.Files) { f.Cert = f.Key }, "rvi certificate "},
		{func(f *rvikeys.Files) { f.Cred = write(" \n") }, "is empty"},
		{func(f *rvikeys.Files) { f.Cred = write(strings.Repeat("x", 1<<20+1)) }, "more than 1048576 bytes"},
	} {
		files := good
		tt.change(&files)
		if _, err := rvikeys.Load(files); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want %q: %v", tt.want, err)
		}
	}
}

// Root makes keys for a server that is not root.
func TestKeysBelongToWhomTheDataFolderDoes(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rvikeys.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) uint32 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Uid
	}
	for _, name := range []string{"rvi", "rvi/root.crt", "rvi/root.key", "rvi/server.crt", "rvi/server.key", "rvi/credential.jwt"} {
		if got, want := owner(filepath.Join(dir, name)), owner(dir); got != want {
			t.Errorf("%s belongs to %d, want %d", name, got, want)
		}
	}
}
