package pacman

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// example is the path of a program in examples/.
func example(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExamplesAreSoundScripts(t *testing.T) {
	out, err := exec.Command("shellcheck", "--shell=sh", example(t, "swupdate/install"), example(t, "rauc/install")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// signer makes images for SWUpdate, signed by a key of its own.
type signer struct {
	ground
	key, cert string
}

func newSigner(g ground, name string) signer {
	g.Helper()
	s := signer{g, filepath.Join(g.dir, name+".key"), filepath.Join(g.dir, name+".cert")}
	g.do("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", s.key, "-out", s.cert, "-days", "36500",
		"-subj", "/CN="+name, "-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=emailProtection")
	return s
}

// swu makes a signed image that writes text into a file; tweak may spoil its
// parts before they are put together.
func (s signer) swu(text, target, hardware string, tweak func(dir string)) string {
	s.Helper()
	dir := s.TempDir()
	s.write(filepath.Join(dir, "firmware"), text, 0o644)
	s.write(filepath.Join(dir, "sw-description"), fmt.Sprintf(`software = {
	version = "1.0";
	hardware-compatibility: [ %q ];
	images: ( { filename = "firmware"; type = "rawfile"; path = %q; sha256 = "%x"; } );
}`, hardware, target, sha256.Sum256([]byte(text))), 0o644)
	s.do("openssl", "cms", "-sign", "-in", filepath.Join(dir, "sw-description"), "-out", filepath.Join(dir, "sw-description.sig"),
		"-signer", s.cert, "-inkey", s.key, "-outform", "DER", "-nosmimecap", "-binary")
	if tweak != nil {
		tweak(dir)
	}
	cpio := exec.Command("cpio", "--create", "--format=crc", "--quiet")
	cpio.Dir = dir
	cpio.Stdin = strings.NewReader("sw-description\nsw-description.sig\nfirmware\n")
	image, err := cpio.Output()
	if err != nil {
		s.Fatal(err)
	}
	return s.file(string(image))
}

// The real swupdate installs a real image, by the example and the command
// installer.
func TestSWUpdate(t *testing.T) {
	t.Parallel()
	w := programAt(t, example(t, "swupdate/install"))
	maker, stranger := newSigner(w.ground, "maker"), newSigner(w.ground, "stranger")
	w.write(filepath.Join(w.top, "etc/updraft-swupdate.conf"), "OPTIONS='-k "+maker.cert+" -H board:1.0'\nexport TMPDIR="+t.TempDir()+" # its sockets, apart from others'\n", 0o644)
	target := filepath.Join(w.top, "firmware")
	install := func(image string) agent.Outcome {
		return w.Install(t.Context(), agent.Image{Update: "u", Path: image, WorkDir: t.TempDir()})
	}
	firmware := func() string {
		b, _ := os.ReadFile(target)
		return string(b)
	}

	w.want(install(maker.swu("first", target, "1.0", nil)), ota.OK, "SWUPDATE successful")
	if got := firmware(); got != "first" {
		t.Fatalf("the firmware is %q", got)
	}
	full := "/dev/full" // says "no space" to whoever writes
	for what, c := range map[string]struct {
		image string
		code  ota.ResultCode
	}{
		"signed by a stranger": {stranger.swu("second", target, "1.0", nil), ota.ValidationFailed},
		"changed after it was signed": {maker.swu("second", target, "1.0", func(dir string) {
			w.write(filepath.Join(dir, "firmware"), "secont", 0o644)
		}), ota.ValidationFailed},
		"no image":       {w.file("no image"), ota.ValidationFailed},
		"other hardware": {maker.swu("second", target, "2.0", nil), ota.InstallFailed},
		"a full disk":    {maker.swu("second", full, "1.0", nil), ota.DiskFull},
	} {
		if out := install(c.image); out.Code != c.code {
			t.Errorf("%s: %s, want %s; text:\n%s", what, out.Code, c.code, out.Text)
		}
		if got := firmware(); got != "first" {
			t.Errorf("%s: the firmware is %q", what, got)
		}
	}

	w.write(filepath.Join(w.top, "etc/sw-versions"), "firmware 1.0\n", 0o644)
	got, err := w.Installed(t.Context())
	if diff := cmp.Diff([]ota.PackageID{{Name: "firmware", Version: "1.0"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// RAUC wants a device of its own to install to, so a stand-in says what it
// says; the list is real.
func TestRAUC(t *testing.T) {
	w := programAt(t, example(t, "rauc/install"))
	bin := t.TempDir()
	w.write(filepath.Join(bin, "rauc"), "#!/bin/sh\ntest \"$1\" = install || exit 9\ncat \"$2\"\ngrep -q succeeded \"$2\"\n", 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for said, code := range map[string]ota.ResultCode{
		"Installing `bundle` succeeded":                                     ota.OK,
		"LastError: signature verification failed: Verify error: untrusted": ota.ValidationFailed,
		"LastError: Failed to write slot: No space left on device":          ota.DiskFull,
		"LastError: Compatible mismatch":                                    ota.InstallFailed,
	} {
		w.want(w.install(w.file(said)), code, said)
	}
	w.write(filepath.Join(w.top, "etc/os-release"), "ID=device\nVERSION_ID=\"7\"\n", 0o644)
	got, err := w.Installed(t.Context())
	if diff := cmp.Diff([]ota.PackageID{{Name: "device", Version: "7"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}
