package pacman

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func TestInstallThenAgainThenOlder(t *testing.T) {
	w := newWorld(t)
	one := w.build("tool", "1:1.0-1", "", files{"usr/share/tool": "one"})
	w.want(w.install(one), ota.OK, "Setting up tool")
	w.wantState("tool", "1:1.0-1 install ok installed")

	// A new order for the same version, with a work directory of its own.
	if err := os.RemoveAll(one + ".work"); err != nil {
		t.Fatal(err)
	}
	w.want(w.install(one), ota.AlreadyProcessed)

	w.mustInstall(w.build("tool", "1:1.0-2", "", nil))
	w.want(w.install(one), ota.OldVersion, "1:1.0-2", "newer")
	w.wantState("tool", "1:1.0-2 install ok installed")

	got, err := w.Installed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ota.PackageID{{Name: "tool", Version: "1:1.0-2"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheClientDiedBeforeItCouldSayOK(t *testing.T) {
	w := newWorld(t)
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": "echo done >> /count"})
	w.mustInstall(image)
	w.want(w.install(image), ota.OK, "Setting up tool")
	if n := w.lines("count"); n != 1 {
		t.Errorf("postinst completed %d times", n)
	}
}

func TestRemovedPackagesAreNotListed(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.build("tool", "1.0", "", files{"etc/tool.conf": "x", "DEBIAN/conffiles": "/etc/tool.conf\n"}))
	w.do("dpkg", "--root="+w.root, "--remove", "tool")
	w.wantState("tool", "1.0 deinstall ok config-files")
	if got, err := w.Installed(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("listed %v, %v", got, err)
	}
	w.mustInstall(w.build("tool", "0.9", "", nil)) // what was removed is no newer version
}

func TestUnmetDependencyLeavesNothingUnpacked(t *testing.T) {
	w := newWorld(t)
	image := w.build("tool", "1.0", "Depends: lib (>= 2), other | none\n", files{"usr/share/tool": "x"})
	w.mustInstall(w.build("lib", "1.9", "", nil))
	w.want(w.install(image), ota.DependencyFailure, "lib (>= 2)", "other | none")
	w.wantState("tool", "")
	if _, err := os.Stat(filepath.Join(w.root, "usr/share/tool")); !os.IsNotExist(err) {
		t.Errorf("the file was unpacked: %v", err)
	}

	w.mustInstall(w.build("lib", "2.0", "", nil))
	w.mustInstall(w.build("stand-in", "7", "Provides: other (= 1)\n", nil))
	w.mustInstall(image)
}

func TestConflictIsADependencyFailure(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.build("old", "1.0", "", nil))
	w.want(w.install(w.build("tool", "1.0", "Conflicts: old\n", nil)), ota.DependencyFailure, "conflicting packages")
	w.want(w.install(w.build("tool", "1.0", "Breaks: old\n", nil)), ota.DependencyFailure, "would break")
	w.wantState("tool", " install ok not-installed")
}

func TestDamagedImages(t *testing.T) {
	w := newWorld(t)
	whole, err := os.ReadFile(w.build("tool", "1.0", "", files{"usr/share/tool": strings.Repeat("some bytes to keep ", 1000)}))
	if err != nil {
		t.Fatal(err)
	}
	data := strings.Index(string(whole), "data.tar")
	flipped := []byte(string(whole))
	flipped[data+60+40] ^= 0xff // behind the member's header and gzip's
	for name, image := range map[string][]byte{
		"empty": nil, "text": []byte("no package\n"), "cut in control": whole[:150], "cut in data": whole[:data+80], "flipped bit": flipped,
	} {
		path := filepath.Join(w.dir, name)
		w.write(path, string(image), 0o644)
		out := w.install(path)
		if out.Code != ota.ValidationFailed {
			t.Errorf("%s: %s %s", name, out.Code, out.Text)
		}
		w.wantState("tool", "")
	}
	if out := w.install(filepath.Join(w.dir, "missing")); out.Code != ota.GeneralError {
		t.Errorf("a missing file: %s %s", out.Code, out.Text)
	}
	w.want(w.install(w.build("tool", "1.0", "Depends: a (~ 1)\n", nil)), ota.ValidationFailed, "'Depends' field")
}

func TestForeignArchitecture(t *testing.T) {
	w := newWorld(t)
	w.want(w.install(w.build("tool", "1.0", "Architecture: hurd-m68k\n", nil)), ota.InstallFailed, "hurd-m68k", "architecture")
	w.wantState("tool", "")
}

func TestFailingScript(t *testing.T) {
	w := newWorld(t)
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": "echo to-out; echo to-err >&2; test -e /mended"})
	w.want(w.install(image), ota.InstallFailed, "stdout: ", "to-out", "stderr: ", "to-err", "exit status 1")
	w.wantState("tool", "1.0 install ok half-configured")
	if got, err := w.Installed(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("listed %v, %v", got, err)
	}

	// Half-configured is finished, not installed anew.
	w.write(filepath.Join(w.root, "mended"), "", 0o644)
	out := w.install(image)
	w.want(out, ota.OK, "Setting up tool")
	if strings.Contains(out.Text, "Unpacking") {
		t.Errorf("it was unpacked again:\n%s", out.Text)
	}
}

func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": "echo cannot write: No space left on device >&2; exit 1"})
	w.want(w.install(image), ota.DiskFull, "No space left")
}

func TestMuchOutputIsCut(t *testing.T) {
	w := newWorld(t)
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": `i=0; while test $i -lt 9000; do echo "naïve €"; echo "naïve €" >&2; i=$((i+1)); done; printf '\377'; echo last-word; exit 1`})
	out := w.install(image)
	w.want(out, ota.InstallFailed, "?last-word")
	if len(out.Text) > ota.MaxResultText || len(out.Text) < ota.MaxResultText/2 || !utf8.ValidString(out.Text) {
		t.Errorf("%d bytes, valid UTF-8: %v", len(out.Text), utf8.ValidString(out.Text))
	}
}

func TestTheLocalConfigurationFileIsKeptUnasked(t *testing.T) {
	w := newWorld(t)
	conf := func(version, text string) string {
		return w.build("tool", version, "", files{"etc/tool.conf": text, "DEBIAN/conffiles": "/etc/tool.conf\n"})
	}
	w.mustInstall(conf("1", "as shipped"))
	w.write(filepath.Join(w.root, "etc/tool.conf"), "as the owner likes it", 0o644)
	w.mustInstall(conf("2", "shipped anew"))
	if b, _ := os.ReadFile(filepath.Join(w.root, "etc/tool.conf")); string(b) != "as the owner likes it" {
		t.Errorf("configuration is now %q", b)
	}
}

func TestScriptsDoNotSeeTheClientsEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	w := newWorld(t)
	w.want(w.install(w.build("tool", "1", "", files{"DEBIAN/postinst": `echo "<$NOTIFY_SOCKET> $LC_ALL $DEBIAN_FRONTEND"`})), ota.OK, "<> C noninteractive")
}

func TestPowerCutWhileUnpacking(t *testing.T) {
	w := newWorld(t)
	g := w.gate()
	image := w.build("tool", "1.0", "", files{"DEBIAN/preinst": gateScript, "usr/share/tool": "x"})
	die := g.begin(image)
	die()
	g.powerCut(image)
	if s := w.state("tool"); !strings.Contains(s, "half-installed") {
		t.Fatalf("after the cut dpkg says %q", s)
	}

	go func() { g.reached(); g.open() }()
	w.mustInstall(image)
	w.wantState("tool", "1.0 install ok installed")
	if n := w.lines("count"); n != 1 {
		t.Errorf("preinst completed %d times", n)
	}
}

func TestPowerCutWhileConfiguring(t *testing.T) {
	w := newWorld(t)
	g := w.gate()
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": gateScript})
	die := g.begin(image)
	die()
	g.powerCut(image)
	w.wantState("tool", "1.0 install ok half-configured")

	go func() { g.reached(); g.open() }()
	w.mustInstall(image)
	w.wantState("tool", "1.0 install ok installed")
	if n := w.lines("count"); n != 1 {
		t.Errorf("postinst completed %d times", n)
	}
}

func TestEverythingDiesUnderARunningClient(t *testing.T) {
	w := newWorld(t)
	g := w.gate()
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": gateScript})
	out := make(chan agent.Outcome)
	go func() { out <- w.Install(t.Context(), w.image(image)) }()
	g.reached()
	g.powerCut(image)
	w.want(<-out, ota.InstallFailed, "killed")
}

// When dpkg alone dies, its script goes on: nobody may begin beside it.
func TestDpkgDiesAndItsScriptGoesOn(t *testing.T) {
	w := newWorld(t)
	g := w.gate()
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": gateScript})
	die := g.begin(image)
	g.killHolder(w.locks()...)
	die()

	waited := 0
	w.pause = func(ctx context.Context, _ time.Duration) error {
		if n := w.lines("count"); waited == 0 && n != 0 {
			t.Errorf("postinst completed %d times before it was let go", n)
		}
		if waited++; waited == 1 {
			g.open()
		}
		return sleep(ctx, time.Millisecond)
	}
	again := make(chan struct{})
	go func() { defer close(again); g.reached(); g.open() }() // dpkg --configure runs it anew
	w.mustInstall(image)
	<-again
	if n := w.lines("count"); n != 2 || waited == 0 {
		t.Errorf("postinst completed %d times, waited %d times", n, waited)
	}
}

func TestDpkgOutlivesTheClient(t *testing.T) {
	w := newWorld(t)
	g := w.gate()
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": gateScript + "; echo more words"})
	die := g.begin(image)
	die()

	// The next client finds dpkg at work, waits for it, and starts none itself.
	waited := 0
	w.pause = func(ctx context.Context, _ time.Duration) error {
		if waited++; waited == 1 {
			g.open()
		}
		return sleep(ctx, time.Millisecond)
	}
	w.want(w.install(image), ota.OK, "more words")
	w.wantState("tool", "1.0 install ok installed")
	if n := w.lines("count"); n != 1 || waited == 0 {
		t.Errorf("postinst completed %d times, waited %d times", n, waited)
	}
}

func TestDpkgGetsNoneOfTheClientsSignals(t *testing.T) {
	w := newWorld(t)
	g := w.gate()
	die := g.begin(w.build("tool", "1.0", "", files{"DEBIAN/postinst": gateScript}))
	pid, err := holder(w.locks()...)
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := unix.Getsid(0)
	if sid, err := unix.Getsid(pid); err != nil || sid == ours {
		t.Errorf("dpkg %d is in session %d, %v; ours is %d", pid, sid, err, ours)
	}
	g.open()
	if err := w.awaitDatabase(t.Context(), w.locks()...); err != nil {
		t.Error(err)
	}
	die()
}

func TestTheEndOfTheContextEndsTheWait(t *testing.T) {
	w := newWorld(t)
	g := w.gate()
	image := w.build("tool", "1.0", "", files{"DEBIAN/postinst": gateScript})
	die := g.begin(image)
	die()
	ctx, cancel := context.WithCancel(t.Context())
	w.pause = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
	w.want(w.Install(ctx, w.image(image)), ota.GeneralError, "context canceled")
	g.powerCut(image)
}

func TestSomeoneElseIsFasterToTheLock(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.build("first", "1", "", nil)) // makes the lock files
	lock, err := os.OpenFile(filepath.Join(w.admindir(), "lock-frontend"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	set := func(kind int16) {
		// A lock of the open file, not of this process, which would lose it
		// as soon as the installer looks at the file.
		if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind}); err != nil {
			t.Error(err)
		}
	}
	paused := 0
	w.pause = func(context.Context, time.Duration) error {
		paused++
		set(unix.F_UNLCK)
		return nil
	}

	// The image is read after the installer found the lock free and before it
	// starts dpkg. That is when the other one comes.
	g := w.gate()
	shim := t.TempDir()
	w.write(filepath.Join(shim, "dpkg-deb"), fmt.Sprintf("#!/bin/sh\nif mkdir %s/once 2>&-; then echo hello > %s; read word < %s; fi\nexec /usr/bin/dpkg-deb \"$@\"\n", shim, g.hello, g.answer), 0o755)
	image := w.build("second", "1", "", nil)
	t.Setenv("PATH", shim+":"+os.Getenv("PATH"))
	go func() { g.reached(); set(unix.F_WRLCK); g.open() }()
	w.mustInstall(image)
	if paused != 1 {
		t.Errorf("paused %d times", paused)
	}
}

func TestTriggersLeftPending(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.build("listener", "1", "", files{"DEBIAN/triggers": "interest bell\n", "DEBIAN/postinst": `if test "$1" = triggered; then echo rang >> /rang; fi`}))
	image := w.build("ringer", "1", "", files{"DEBIAN/triggers": "activate bell\n"})
	w.do("dpkg", "--root="+w.root, "--no-triggers", "-i", image)
	w.wantState("ringer", "1 install ok triggers-awaited")
	w.mustInstall(image)
	w.wantState("ringer", "1 install ok installed")
	if w.lines("rang") != 1 {
		t.Error("the trigger was not processed")
	}
}

func TestDpkgIsMissing(t *testing.T) {
	w := newWorld(t)
	image := w.build("tool", "1", "", nil)
	t.Setenv("PATH", t.TempDir())
	w.want(w.install(image), ota.GeneralError, "executable file not found")
	if _, err := w.Installed(t.Context()); err == nil {
		t.Error("a list came from nowhere")
	}
}

// An ordinary user installs into a root of their own; no script can run there.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		w := newWorld(t)
		image := w.build("tool", "1.0", "", files{"usr/share/tool": "x"})
		w.mustInstall(image)
		w.wantState("tool", "1.0 install ok installed")
		return
	}
	if os.Getenv(namespaceEnv) != "" {
		return // TestMain runs it on its own: from here no way leads back
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out strings.Builder
	err := again(&out, nobody, ordinaryEnv, "-test.run=^TestOrdinaryUser$", "-test.v")
	if err != nil || !strings.Contains(out.String(), "--- PASS: TestOrdinaryUser") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
