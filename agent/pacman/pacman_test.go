package pacman

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func TestNew(t *testing.T) {
	for _, spec := range []string{"off", "OFF"} {
		if in, err := New(spec, Options{}); in != nil || err != nil {
			t.Errorf("%s: %v, %v", spec, in, err)
		}
	}
	if in, err := New("Deb", Options{Root: "/srv/root/"}); err != nil || in.(*deb).root != "/srv/root" {
		t.Errorf("Deb: %+v, %v", in, err)
	}
	if in, err := New("RPM", Options{}); err != nil || in.(*rpm).root != "/" {
		t.Errorf("RPM: %+v, %v", in, err)
	}
	if in, err := New("Command:/opt/My/Installer", Options{}); err != nil || in.(*command).program != "/opt/My/Installer" {
		t.Errorf("Command: %+v, %v", in, err)
	}
	if in, err := New("File:/tmp/Installed.List", Options{}); err != nil || in.(list).path != "/tmp/Installed.List" {
		t.Errorf("the path changed: %+v, %v", in, err)
	}
	for spec, word := range map[string]string{
		"rpm:": "unknown", "command": "absolute path", "command:": "absolute path", "Command:bin/x": "absolute path", "OTB:/repo": "not supported", "otb:": "path after", "file:": "path after", "file": "path after",
		"": "unknown", "apt": "unknown", "deb:x": "unknown", "off:": "unknown", "debian": "unknown",
	} {
		in, err := New(spec, Options{})
		if in != nil || ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, %v", spec, in, err)
		}
	}
	if in, err := New("deb", Options{Root: "relative"}); in != nil || ota.KindOf(err) != ota.KindInvalid {
		t.Errorf("a relative root: %v, %v", in, err)
	}
}

func TestFileNotesEachImageOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Installed")
	in, err := New("FILE:"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Installed(t.Context()); err == nil {
		t.Error("a missing file was listed")
	}
	install := func(image string) ota.ResultCode {
		return in.Install(t.Context(), agent.Image{Path: image}).Code
	}
	for _, image := range []string{"/tmp/a", "/tmp/b", "/tmp/a", "vim 1.2"} {
		if code := install(image); code != ota.OK {
			t.Errorf("%s: %s", image, code)
		}
	}
	if b, _ := os.ReadFile(path); string(b) != "/tmp/a\n/tmp/b\nvim 1.2\n" {
		t.Errorf("the file is %q", b)
	}
	got, err := in.Installed(t.Context())
	if diff := cmp.Diff([]ota.PackageID{{Name: "vim", Version: "1.2"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if code := install("a\nb"); code != ota.InstallFailed {
		t.Errorf("a line break: %s", code)
	}
}

func TestFileAfterATornWrite(t *testing.T) {
	for before, after := range map[string]string{
		"x y\n/tmp/a": "x y\n/tmp/a\n", "x y\n/tm": "x y\n/tm\n/tmp/a\n", "": "/tmp/a\n", "\n": "\n/tmp/a\n", "/tmp/a\nx": "/tmp/a\nx",
	} {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := (list{path}).Install(t.Context(), agent.Image{Path: "/tmp/a"}); out.Code != ota.OK {
			t.Error(out)
		}
		if b, _ := os.ReadFile(path); string(b) != after {
			t.Errorf("%q became %q, want %q", before, b, after)
		}
	}
}

func TestFileSkipsOtherLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("one 1\nword\nthree words here\ntwo  spaces\n lead\ntrail \n\nlast 9"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := list{path}.Installed(t.Context())
	if diff := cmp.Diff([]ota.PackageID{{Name: "one", Version: "1"}, {Name: "last", Version: "9"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestFileIsNotOpenedThroughALink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("a 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if out := (list{link}).Install(t.Context(), agent.Image{Path: "/tmp/a"}); out.Code != ota.InstallFailed {
		t.Error(out)
	}
	if _, err := (list{link}).Installed(t.Context()); err == nil {
		t.Error("it was listed")
	}
}
