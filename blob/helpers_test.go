package blob_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/ota"
)

func open(t testing.TB, dir string) *blob.Files {
	t.Helper()
	files, err := blob.Open(dir, blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func put(t testing.TB, files *blob.Files, content string) ota.Digest {
	t.Helper()
	sums, err := files.Put(t.Context(), strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return sums.SHA256
}

func pathOf(dir string, d ota.Digest) string {
	return filepath.Join(dir, "sha256", string(d[:2]), string(d))
}

// otherShard names a folder where d does not belong.
func otherShard(d ota.Digest) ota.Digest {
	if d[:2] == "00" {
		return "01"
	}
	return "00"
}

// flip inverts the last byte of a file, in place.
func flip(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], fi.Size()-1); err != nil {
		t.Fatal(err)
	}
	last[0] ^= 0xff
	if _, err := f.WriteAt(last[:], fi.Size()-1); err != nil {
		t.Fatal(err)
	}
}

func shorten(t testing.TB, path string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, fi.Size()-1); err != nil {
		t.Fatal(err)
	}
}

func filesIn(t testing.TB, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
