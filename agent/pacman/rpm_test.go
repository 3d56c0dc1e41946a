package pacman

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func TestRPMInstallThenAgainThenOlder(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	one := w.build("tool", "1:1.0-1", "", "%post\necho hello from post", files{"usr/share/tool": "one"})
	w.want(w.install(one), ota.OK, "hello from post")
	w.wantPackages("tool=1:1.0-1")

	// A new order for the same version, with a work directory of its own.
	if err := os.RemoveAll(one + ".work"); err != nil {
		t.Fatal(err)
	}
	w.want(w.install(one), ota.AlreadyProcessed)

	// Without its epoch 2.0 would be newer.
	w.want(w.install(w.build("tool", "2.0-1", "", "", nil)), ota.OldVersion, "1:1.0-1", "newer")
	w.mustInstall(w.build("tool", "1:1.0-2", "", "", nil))
	w.want(w.install(one), ota.OldVersion)
	w.wantPackages("tool=1:1.0-2")

	got, err := w.Installed(t.Context())
	if diff := cmp.Diff([]ota.PackageID{{Name: "shell", Version: "1"}, {Name: "tool", Version: "1.0"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestRPMTheClientDiedBeforeItCouldSayOK(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	image := w.build("tool", "1-1", "", "%post\necho done >> /count; echo words", nil)
	w.mustInstall(image)
	w.want(w.install(image), ota.OK, "words")
	if n := w.lines("count"); n != 1 {
		t.Errorf("%%post completed %d times", n)
	}
}

func TestRPMVersionsAreComparedAsRPMDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want string }{
		{"1.0-1", "1.0-1", "0"}, {"1.0-2", "1.0-1", "1"}, {"1.10-1", "1.9-1", "1"}, {"1:1-1", "2-1", "1"},
		{"1.0~rc1-1", "1.0-1", "-1"}, {"1.0^git-1", "1.0-1", "1"}, {"1.0-10", "1.0-9", "1"}, {`1")os.exit(3)--`, "1.0-1", "-1"},
	} {
		split := func(evr string) header {
			epoch, vr, ok := strings.Cut(evr, ":")
			if !ok {
				epoch, vr = "0", evr
			}
			v, r, _ := strings.Cut(vr, "-")
			return header{Version: v, Release: r, Epoch: epoch}
		}
		if got, err := split(c.a).compare(t.Context(), split(c.b)); got != c.want || err != nil {
			t.Errorf("%s and %s: %q, %v, want %s", c.a, c.b, got, err, c.want)
		}
	}
}

func TestRPMUnmetDependencyLeavesNothingUnpacked(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	image := w.build("tool", "1-1", "Requires: lib >= 2\n", "", files{"usr/share/tool": "x"})
	w.want(w.install(image), ota.DependencyFailure, "lib >= 2 is needed by tool", "nothing was unpacked")
	w.wantPackages()
	if _, err := os.Stat(filepath.Join(w.top, "usr/share/tool")); !os.IsNotExist(err) {
		t.Errorf("the file was unpacked: %v", err)
	}
	w.mustInstall(w.build("lib", "2-1", "", "", nil))
	w.mustInstall(image)
	w.want(w.install(w.build("rival", "1-1", "Conflicts: tool\n", "", nil)), ota.DependencyFailure, "conflicts with")
	w.want(w.install(w.build("thief", "1-1", "", "", files{"usr/share/tool": "y"})), ota.InstallFailed, "conflicts with file from package tool")
	w.wantPackages("lib=2-1", "tool=1-1")
}

func TestRPMDamagedImages(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	whole, err := os.ReadFile(w.build("tool", "1-1", "", "", files{"usr/share/tool": strings.Repeat("some bytes to keep ", 1000)}))
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(string(whole))
	flipped[len(flipped)-30] ^= 0xff
	other := w.build("other", "1-1", "", "", nil)
	for name, image := range map[string][]byte{
		"empty": nil, "text": []byte("no package\n"), "a list of packages": []byte(other + "\n"),
		"cut in header": whole[:3000], "cut in payload": whole[:len(whole)-50], "flipped bit": flipped,
	} {
		path := filepath.Join(w.dir, name)
		w.write(path, string(image), 0o644)
		if out := w.install(path); out.Code != ota.ValidationFailed {
			t.Errorf("%s: %s %s", name, out.Code, out.Text)
		}
	}
	w.wantPackages()
	if out := w.install(filepath.Join(w.dir, "missing")); out.Code != ota.GeneralError {
		t.Errorf("a missing file: %s %s", out.Code, out.Text)
	}
}

func TestRPMDemandsASignature(t *testing.T) {
	w := newRPMWorld(t)
	image := w.build("tool", "1-1", "", "", nil)
	t.Setenv("HOME", t.TempDir())
	w.write(filepath.Join(os.Getenv("HOME"), ".rpmmacros"), "%_pkgverify_level all\n", 0o644)
	w.want(w.install(image), ota.ValidationFailed, "no signature", "nothing was unpacked")
	w.wantPackages()
}

func TestRPMForeignArchitecture(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	w.want(w.install(w.buildFor("s390x", "tool", "1-1", "", "", nil)), ota.InstallFailed, "architecture")
}

func TestRPMNamesAreNotPatterns(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	image := filepath.Join(w.dir, "[a]*?{b,c}")
	if err := os.Rename(w.build("tool", "1-1", "", "", nil), image); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	w.want(w.Install(t.Context(), agent.Image{Update: "u", Path: image, WorkDir: work}), ota.OK)
	w.wantPackages("tool=1-1")
}

func TestRPMFailingScripts(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	w.want(w.install(w.build("tool", "1-1", "", "%pre\necho to-out; echo to-err >&2; exit 1", nil)), ota.InstallFailed, "to-out", "to-err", "exit status 1")
	w.wantPackages()
	// rpm counts a package whose %post fails as installed, and says so.
	w.want(w.install(w.build("late", "1-1", "", "%post\nexit 3", nil)), ota.OK, "scriptlet failed")
	w.wantPackages("late=1-1")
}

func TestRPMKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, scriptlet := range []string{"%pre", "%post"} {
		t.Run(scriptlet, func(t *testing.T) {
			t.Parallel()
			w := newRPMWorld(t)
			w.mustInstall(w.build("tool", "1-1", "", "", files{"usr/share/old": "x"}))
			g := w.gate()
			image := w.build("tool", "2-1", "", scriptlet+"\n"+gateScript, files{"usr/share/tool": "x"})
			die := g.begin(image)
			die()
			g.powerCut(image)

			go func() { g.reached(); g.open() }()
			w.mustInstall(image)
			w.wantPackages("tool=2-1")
			if n := w.lines("count"); n != 1 {
				t.Errorf("the scriptlet completed %d times", n)
			}
			if _, err := os.Stat(filepath.Join(w.top, "usr/share/old")); !os.IsNotExist(err) {
				t.Errorf("a file of the old version is still there: %v", err)
			}
		})
	}
}

func TestRPMDiesUnderARunningClient(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	g := w.gate()
	image := w.build("tool", "1-1", "", "%post\n"+gateScript, nil)
	out := make(chan agent.Outcome)
	go func() { out <- w.Install(t.Context(), w.image(image)) }()
	g.reached()
	g.killHolder(filepath.Join(w.top, "var/lib/rpm/.rpm.lock"))
	g.open() // until then its scriptlet goes on
	w.want(<-out, ota.InstallFailed, "killed")
	if n := w.lines("count"); n != 1 {
		t.Errorf("the scriptlet had completed %d times when the outcome came", n)
	}
}

func TestRPMOutlivesTheClient(t *testing.T) {
	t.Parallel()
	w := newRPMWorld(t)
	g := w.gate()
	image := w.build("tool", "1-1", "", "%post\n"+gateScript+"; echo more words", nil)
	die := g.begin(image)
	die()
	waited := 0
	w.pause = func(ctx context.Context, _ time.Duration) error {
		if waited++; waited == 1 {
			g.open()
		}
		return sleep(ctx, time.Millisecond)
	}
	w.want(w.install(image), ota.OK, "more words")
	if n := w.lines("count"); n != 1 || waited == 0 {
		t.Errorf("the scriptlet completed %d times, waited %d times", n, waited)
	}
}

func TestRPMIsMissing(t *testing.T) {
	w := newRPMWorld(t)
	image := w.build("tool", "1-1", "", "", nil)
	t.Setenv("PATH", t.TempDir())
	w.want(w.install(image), ota.GeneralError, "executable file not found")
	if _, err := w.Installed(t.Context()); err == nil {
		t.Error("a list came from nowhere")
	}
}
