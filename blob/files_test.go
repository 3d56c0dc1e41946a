package blob_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/blob/blobtest"
	"github.com/updraft-ota/updraft/ota"
)

func TestContract(t *testing.T) {
	blobtest.Run(t, func(t *testing.T, now func() time.Time) blobtest.Subject {
		dir := t.TempDir()
		files, err := blob.Open(dir, blob.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return blobtest.Subject{
			Blobs:    files,
			Damage:   func(t *testing.T, d ota.Digest) { flip(t, pathOf(dir, d)) },
			Truncate: func(t *testing.T, d ota.Digest) { shorten(t, pathOf(dir, d)) },
			Crash: func(t *testing.T, n int) {
				f, err := os.CreateTemp(filepath.Join(dir, "tmp"), "put-*")
				if err != nil {
					t.Fatal(err)
				}
				f.Write(make([]byte, n))
				f.Close()
			},
			Traces: func(t *testing.T) int { return len(filesIn(t, dir)) },
		}
	})
}

func TestAnotherStartFindsBlobsAndChecksThem(t *testing.T) {
	dir := t.TempDir()
	good, bad, gone := put(t, open(t, dir), "good"), put(t, open(t, dir), "bad"), put(t, open(t, dir), "gone")
	flip(t, pathOf(dir, bad))
	os.Remove(pathOf(dir, gone))

	files := open(t, dir)
	for d, want := range map[ota.Digest]string{good: "", bad: "corrupt_blob", gone: "missing_blob"} {
		b, err := files.Open(t.Context(), d)
		if ota.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %q", d, err, want)
		}
		if err == nil {
			b.Close()
		}
	}
}

func TestAStartRemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	d := put(t, open(t, dir), "content")
	if err := os.WriteFile(filepath.Join(dir, "tmp", "put-1"), []byte("con"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if got := filesIn(t, dir); len(got) != 1 || filepath.Base(got[0]) != string(d) {
		t.Errorf("left are %v", got)
	}
}

func TestADamagedFileWithItsOldDateIsCheckedAgain(t *testing.T) {
	dir := t.TempDir()
	files := open(t, dir)
	d := put(t, files, "content")
	fi, err := os.Stat(pathOf(dir, d))
	if err != nil {
		t.Fatal(err)
	}
	flip(t, pathOf(dir, d))
	if err := os.Chtimes(pathOf(dir, d), fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Open(t.Context(), d); ota.CodeOf(err) != "corrupt_blob" {
		t.Errorf("got %v", err)
	}
}

func TestNobodyElseMayRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	put(t, open(t, dir), "secret firmware")
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		if fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %s", path, fi.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStrangeFilesArePassedOver(t *testing.T) {
	dir := t.TempDir()
	files := open(t, dir)
	d := put(t, files, "content")
	strange := []string{
		filepath.Join(dir, "sha256", "README"),
		filepath.Join(filepath.Dir(pathOf(dir, d)), "notes.txt"),
		filepath.Join(dir, "sha256", string(otherShard(d)), string(d)),
	}
	if err := os.Mkdir(filepath.Join(dir, "sha256", string(otherShard(d))), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range strange {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unused := func(ota.Digest) (bool, error) { return false, nil }
	if freed, err := files.Collect(t.Context(), time.Now().Add(time.Hour), unused); err != nil || freed != int64(len("content")) {
		t.Errorf("freed %d bytes, %v", freed, err)
	}
	if got := filesIn(t, dir); len(got) != len(strange) {
		t.Errorf("left are %v, want %v", got, strange)
	}
}

func TestOpenNeedsAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Open(path, blob.Options{}); err == nil {
		t.Error("a file was taken for a folder")
	}
}
