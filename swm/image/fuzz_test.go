package image

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// Whatever is unpacked lies in the directory, within the limits.
func FuzzUntar(f *testing.F) {
	for _, h := range []tar.Header{
		{Name: "a/b", Size: 4},
		{Name: "c/", Typeflag: tar.TypeDir},
		{Name: "../f", Size: 4},
		{Name: "l", Linkname: "/etc", Typeflag: tar.TypeSymlink},
		{Name: "long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/\u00e9", Size: 4},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
		w.Write([]byte("text")[:h.Size])
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	limits := Limits{Bytes: 1 << 16, Files: 20}
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := filepath.Join(t.TempDir(), "unpacked")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		err := untar(t.Context(), bytes.NewReader(archive), dir, limits)
		if err != nil && ota.KindOf(err) != ota.KindInvalid && ota.KindOf(err) != ota.KindTooLarge {
			t.Fatalf("blames us: %v", err)
		}
		// A file without an entry of its directory brings that, too.
		most := Limits{Bytes: limits.Bytes, Files: limits.Files * (maxDepth + 1)}
		if err := checkTree(dir, most); err != nil {
			t.Fatal(err)
		}
		if beside, _ := os.ReadDir(filepath.Dir(dir)); len(beside) != 1 {
			t.Fatalf("beside the directory there is %v", beside)
		}
	})
}
