package rvikeys_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/rvi"
)

var car, bus = rvi.Identity{VIN: "VINOOLAM0FAU2DEEP"}, rvi.Identity{VIN: "VIN-2.b_us"}

// served is a server's data folder with keys, made once, as roots take long to make.
var served = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "rvikeys-test-"); err == nil {
		_, err = rvikeys.Ensure(dir, time.Now())
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := served(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func data(t *testing.T) string {
	t.Helper()
	dir, err := served()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// copied is such a folder of the test's own.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "rvi"), os.DirFS(filepath.Join(data(t), "rvi"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func issue(t *testing.T, who rvi.Identity) rvikeys.Files {
	t.Helper()
	f, err := rvikeys.Issue(data(t), who, filepath.Join(t.TempDir(), "out"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// texts reads all files of a folder.
func texts(t *testing.T, dir string) map[string]string {
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
