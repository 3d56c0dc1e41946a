package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

// file is an entry of an archive; kind is 0 for a file.
type file struct {
	name, text string
	kind       byte
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: 0o4755, Size: int64(len(f.text))}
		if f.kind == tar.TypeSymlink || f.kind == tar.TypeLink {
			h.Linkname, h.Size = f.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// squashOf makes an image of a directory that build fills.
func squashOf(t testing.TB, build func(dir string) error) []byte {
	t.Helper()
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "image")
	if err := build(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mksquashfs", dir, path, "-quiet", "-no-progress").CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t testing.TB, img []byte, l image.Limits) (dir string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "unpacked")
	return dir, image.Unpack(context.Background(), path, dir, l)
}

// tree lists what is in a directory, with its mode and content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		text, _ := os.ReadFile(p)
		found[name] = info.Mode().String() + " " + string(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// All forms of an image give the same files, which only we can read.
func TestUnpack(t *testing.T) {
	plain := tarOf(t, file{name: "./", kind: tar.TypeDir}, file{name: "./a/b", text: "deep\n"}, file{name: "c", text: "top\n"},
		file{name: "a/", kind: tar.TypeDir}, file{name: "empty/", kind: tar.TypeDir})
	squash := squashOf(t, func(dir string) error {
		return cmpErr(os.MkdirAll(filepath.Join(dir, "a"), 0o755), os.Mkdir(filepath.Join(dir, "empty"), 0o700),
			os.WriteFile(filepath.Join(dir, "a/b"), []byte("deep\n"), 0o777), os.WriteFile(filepath.Join(dir, "c"), []byte("top\n"), 0o644),
			os.Chmod(filepath.Join(dir, "c"), 0o755|fs.ModeSetuid))
	})
	want := map[string]string{"a": "drwx------ ", "a/b": "-rw------- deep\n", "c": "-rw------- top\n", "empty": "drwx------ "}
	for name, img := range map[string][]byte{"tar": plain, "gzip": gzipOf(t, plain), "squashfs": squash} {
		dir, err := unpack(t, img, image.DefaultLimits)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		// As many and as large as it is, and no more.
		if _, err := unpack(t, img, image.Limits{Bytes: 9, Files: 5}); err != nil {
			t.Errorf("%s within its limits: %v", name, err)
		}
		for _, l := range []image.Limits{{Bytes: 8, Files: 5}, {Bytes: 9, Files: 3}} {
			if _, err := unpack(t, img, l); ota.KindOf(err) != ota.KindTooLarge {
				t.Errorf("%s with %v: %v", name, l, err)
			}
		}
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// What is no image, or holds what none may, is refused, and nothing is outside
// the directory.
func TestUnpackRefuses(t *testing.T) {
	long := strings.Repeat("d/", 40) + "f"
	for name, img := range map[string][]byte{
		"nothing":           nil,
		"text":              []byte("hello"),
		"a short squashfs":  []byte("hsqs"),
		"a hollow squashfs": append([]byte("hsqs"), make([]byte, 600)...),
		"a short gzip":      []byte("\x1f\x8b"),
		"gzip of nothing":   gzipOf(t, []byte("hello")),
		"cut in the middle": tarOf(t, file{name: "f", text: strings.Repeat("x", 5000)})[:2000],
		"a link":            tarOf(t, file{name: "l", text: "/etc/passwd", kind: tar.TypeSymlink}),
		"a link within":     tarOf(t, file{name: "f"}, file{name: "l", text: "f", kind: tar.TypeSymlink}),
		"a hard link":       tarOf(t, file{name: "f"}, file{name: "l", text: "f", kind: tar.TypeLink}),
		"a device":          tarOf(t, file{name: "d", kind: tar.TypeChar}),
		"a pipe":            tarOf(t, file{name: "p", kind: tar.TypeFifo}),
		"up":                tarOf(t, file{name: "../f", text: "x"}),
		"up from below":     tarOf(t, file{name: "a/../../f", text: "x"}),
		"absolute":          tarOf(t, file{name: "/f", text: "x"}),
		"twice":             tarOf(t, file{name: "f"}, file{name: "f"}),
		"below a file":      tarOf(t, file{name: "f"}, file{name: "f/g"}),
		"over a directory":  tarOf(t, file{name: "f/g"}, file{name: "f"}),
		"a new line":        tarOf(t, file{name: "a\nb"}),
		"too deep":          tarOf(t, file{name: long}),
		"squashed link":     squashOf(t, func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "l")) }),
		"squashed hard link": squashOf(t, func(dir string) error {
			return cmpErr(os.WriteFile(filepath.Join(dir, "f"), nil, 0o600), os.Link(filepath.Join(dir, "f"), filepath.Join(dir, "l")))
		}),
		"squashed pipe":     squashOf(t, func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "p"), 0o600) }),
		"squashed new line": squashOf(t, func(dir string) error { return os.WriteFile(filepath.Join(dir, "a\nb"), nil, 0o600) }),
	} {
		dir, err := unpack(t, img, image.DefaultLimits)
		if ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if beside, _ := os.ReadDir(filepath.Dir(dir)); len(beside) > 1 {
			t.Errorf("%s: beside the directory there is %v", name, beside)
		}
	}
}

// A small file could hold gigabytes of headers that stand for no file.
func TestUnpackCountsHeadersWithoutAFile(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for range 20 {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int]ota.Kind{20: ota.KindOf(nil), 19: ota.KindTooLarge} {
		if _, err := unpack(t, gzipOf(t, b.Bytes()), image.Limits{Bytes: 10, Files: most}); ota.KindOf(err) != want {
			t.Errorf("at most %d: %v", most, err)
		}
	}
}

// Only files are images.
func TestUnpackOpensFilesOnly(t *testing.T) {
	dir := t.TempDir()
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := cmpErr(os.Symlink("/etc/passwd", link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, link, pipe, filepath.Join(dir, "nothing")} {
		if err := image.Unpack(t.Context(), path, filepath.Join(dir, "unpacked"), image.DefaultLimits); ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestUnpackEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "image")
	for _, img := range [][]byte{tarOf(t, file{name: "f"}), squashOf(t, func(string) error { return nil })} {
		if err := os.WriteFile(path, img, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := image.Unpack(ctx, path, filepath.Join(t.TempDir(), "unpacked"), image.DefaultLimits); ctx.Err() == nil || err == nil || ota.KindOf(err) == ota.KindInvalid {
			t.Errorf("%v", err)
		}
	}
}
