package store_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

func put(t *testing.T, s *store.Store, name string) {
	t.Helper()
	err := s.Write(t.Context(), func(tx ota.Tx) error {
		if err := tx.Append(ota.Event{Namespace: ota.DefaultNamespace, Type: ota.DeviceCreated}); err != nil {
			return err
		}
		return tx.PutDevice(ota.Device{Namespace: ota.DefaultNamespace, ID: ota.DeviceID(name), Name: name, Type: ota.Vehicle})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, s *store.Store) (list []string) {
	t.Helper()
	err := s.Read(t.Context(), func(tx ota.ReadTx) error {
		devices, err := tx.Devices(ota.DeviceFilter{Namespace: ota.DefaultNamespace})
		for _, d := range devices {
			list = append(list, d.Name)
		}
		if n, _ := tx.LastEvent(); n != int64(len(list)) {
			t.Errorf("%d devices, but %d events", len(list), n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// files is what lies in a directory, byte by byte.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(b)
	}
	return all
}

func TestAStartRemovesWhatAKilledOneLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	if err := open(t, store.Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, ".version-123")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, filepath.Join(left, "db")); err != nil {
		t.Fatal(err)
	}
	if err := open(t, store.Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("%d files are left, want the database alone", len(got))
	}
}

func TestEverythingIsThereAgainAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd ?#%41 name.db")
	for i := range 3 {
		s := open(t, store.Options{Path: path})
		if got := len(names(t, s)); got != i {
			t.Fatalf("opened for the %d. time: %d devices", i+1, got)
		}
		put(t, s, fmt.Sprint("d", i))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if left := files(t, filepath.Dir(path)); len(left) != 1 || left[filepath.Base(path)] == "" {
			t.Fatalf("a closed store is one file of that name, found %d", len(left))
		}
	}
}

func TestNobodyElseMayReadTheFiles(t *testing.T) {
	for name, there := range map[string]bool{"new": false, "there already": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			if there {
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			put(t, open(t, store.Options{Path: path}), "d")
			for _, name := range []string{path, path + "-wal", path + "-shm"} {
				info, err := os.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %v", name, info.Mode())
				}
			}
		})
	}
}

func TestAStoreInMemoryLeavesNothing(t *testing.T) {
	const memory = "/dev/shm/updraft-store-*"
	before, _ := filepath.Glob(memory)
	s := open(t, store.Options{})
	put(t, s, "d")
	s.Close()
	if after, _ := filepath.Glob(memory); len(after) > len(before) {
		t.Errorf("before: %v, after: %v", before, after)
	}
}

func TestMigrationsAreToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	var log bytes.Buffer
	for range 2 {
		open(t, store.Options{Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))}).Close()
	}
	steps, err := os.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(log.Bytes(), []byte("database migrated")); got != len(steps) {
		t.Errorf("%d steps told %d times:\n%s", len(steps), got, &log)
	}
}

func TestANewerDatabaseIsRefusedUntouched(t *testing.T) {
	for name, abandon := range map[string]bool{"closed in good order": false, "left by a killed process": true} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join(t.TempDir(), "db")
			s := open(t, store.Options{Path: from})
			put(t, s, "d")
			db, err := sql.Open("sqlite", from)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
				t.Fatal(err)
			}
			if !abandon {
				db.Close()
				s.Close()
			}
			dir := t.TempDir() // what a killed process leaves is what lies there now
			before := files(t, filepath.Dir(from))
			for name, content := range before {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want := map[bool]int{false: 1, true: 3}[abandon]; len(before) != want {
				t.Fatalf("the database is %d files, expected %d", len(before), want)
			}

			_, err = store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "db")})
			if ota.KindOf(err) != ota.KindConflict || ota.CodeOf(err) != "newer_database" {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, files(t, dir)); diff != "" {
				t.Errorf("it was touched:\n%.500s", diff)
			}
		})
	}
}

func TestAFileThatIsNoDatabaseIsRefusedUntouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	text := bytes.Repeat([]byte("this is a diary\n"), 1000)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), store.Options{Path: path})
	if ota.KindOf(err) != ota.KindCorrupt || ota.CodeOf(err) != "corrupt_database" {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(map[string]string{"db": string(text)}, files(t, filepath.Dir(path))); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingDirectoryIsAnError(t *testing.T) {
	if _, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "none", "db")}); err == nil {
		t.Error("no error")
	}
}

func TestFaultPointsLieAroundEveryCommit(t *testing.T) {
	var points []string
	s := open(t, store.Options{Fault: func(p string) { points = append(points, p) }})
	put(t, s, "d")
	s.Write(t.Context(), func(ota.Tx) error { return os.ErrInvalid })
	if _, err := s.Queue(t.Context(), "d"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{store.BeforeCommit, store.AfterCommit}, points); diff != "" {
		t.Error(diff)
	}
}

// A child process dies at one of the points while it writes its second device.
func TestAProcessDiesAroundACommit(t *testing.T) {
	const pathVar, pointVar = "STORE_TEST_PATH", "STORE_TEST_POINT"
	if path := os.Getenv(pathVar); path != "" {
		armed := false
		s := open(t, store.Options{Path: path, Fault: func(p string) {
			if armed && p == os.Getenv(pointVar) {
				self, _ := os.FindProcess(os.Getpid())
				self.Kill()
				select {}
			}
		}})
		put(t, s, "first")
		armed = true
		put(t, s, "second")
		t.Fatal("still alive")
	}
	for point, want := range map[string][]string{
		store.BeforeCommit: {"first"},
		store.AfterCommit:  {"first", "second"},
	} {
		t.Run(point, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			child := exec.Command(os.Args[0], "-test.run=^TestAProcessDiesAroundACommit$")
			child.Env = append(os.Environ(), pathVar+"="+path, pointVar+"="+point)
			out, err := child.CombinedOutput()
			if child.ProcessState == nil || child.ProcessState.ExitCode() != -1 {
				t.Fatalf("the child should have been killed: %v\n%s", err, out)
			}
			s := open(t, store.Options{Path: path})
			if diff := cmp.Diff(want, names(t, s)); diff != "" {
				t.Error(diff)
			}
			put(t, s, "third") // and its numbers go on without a gap
			names(t, s)
		})
	}
}
