package pacman

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// program is a system with an installer of the integrator's.
type program struct {
	ground
	*command
}

func newProgram(t *testing.T, script string) program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "installer")
	ground{T: t}.write(path, "#!/bin/sh\n"+script+"\n", 0o755)
	return programAt(t, path)
}

func programAt(t *testing.T, path string) program {
	t.Helper()
	g := newGround(t, "command:"+path, t.TempDir())
	return program{g, g.Installer.(*command)}
}

func TestExitStatusBecomesAResultCode(t *testing.T) {
	t.Parallel()
	want := map[int]ota.ResultCode{0: ota.OK, 1: ota.InstallFailed, 20: ota.AlreadyProcessed, 21: ota.GeneralError, 126: ota.GeneralError, 255: ota.GeneralError}
	for code := 2; code <= 19; code++ {
		want[code] = ota.ResultCode(code)
	}
	w := newProgram(t, `echo said; echo complained >&2; exit "$(cat "$1")"`)
	for status, code := range want {
		out := w.install(w.file(fmt.Sprint(status)))
		if out.Code != code {
			t.Errorf("exit status %d: %s, want %s; text:\n%s", status, out.Code, code, out.Text)
		}
		if text := "said\n"; code.Success() && out.Text != text {
			t.Errorf("exit status %d: the text is %q, want %q", status, out.Text, text)
		}
		if text := fmt.Sprintf("installer: exit status %d\nstdout: said\n\nstderr: complained\n", status); !code.Success() && out.Text != text {
			t.Errorf("exit status %d: the text is %q, want %q", status, out.Text, text)
		}
	}
}

func TestOtherEndsOfAProgram(t *testing.T) {
	t.Parallel()
	w := newProgram(t, `kill -TERM $$`)
	w.want(w.install(w.file("image")), ota.InstallFailed, "signal: terminated")
	w.want(programAt(t, "/does/not/exist").install(w.file("image")), ota.GeneralError, "no such file")
	w.want(programAt(t, w.file("#!/bin/sh\n")).install(w.file("image")), ota.GeneralError, "permission denied")
}

func TestWhatAProgramGets(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	w := newProgram(t, `echo "$# $1"; pwd; env | grep -v '^PATH=\|^HOME=\|^PWD=\|^_=\|^SHLVL=' | sort; ls -d "$UPDRAFT_WORK_DIR"; test -e /proc/$$/fd/3 && echo "it holds the lock"; read word || echo "no input"`)
	odd := filepath.Join(w.dir, "$(id); *")
	w.write(odd, "image", 0o644)
	image := w.image(odd)
	image.Package = ota.PackageID{Name: "the $(name)", Version: "1.0"}
	own := filepath.Join(image.WorkDir, "own")
	out := w.Install(t.Context(), image)
	want := strings.Join([]string{
		"1 " + image.Path, "/",
		"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "UPDRAFT_ATTEMPT=1", "UPDRAFT_IMAGE=" + image.Path, "UPDRAFT_PACKAGE=the $(name)",
		"UPDRAFT_ROOT=" + w.top, "UPDRAFT_UPDATE_ID=u1", "UPDRAFT_VERSION=1.0", "UPDRAFT_WORK_DIR=" + own, own, "no input", "",
	}, "\n")
	if diff := cmp.Diff(want, out.Text); diff != "" {
		t.Errorf("%s\n%s", out.Code, diff)
	}
}

func TestPathsBecomeAbsolute(t *testing.T) {
	w := newProgram(t, `echo "$1"; ls -d "$UPDRAFT_WORK_DIR"`)
	t.Chdir(w.dir)
	w.write("an-image", "", 0o644)
	w.want(w.install("an-image"), ota.OK, w.dir+"/an-image\n", w.dir+"/an-image.work/own\n")
}

func TestAProgramLists(t *testing.T) {
	t.Parallel()
	w := newProgram(t, `test "$1" = list; echo "one 1"; echo "  two   2 beta "; echo word; echo; printf "last 3"`)
	got, err := w.Installed(t.Context())
	if diff := cmp.Diff([]ota.PackageID{{Name: "one", Version: "1"}, {Name: "two", Version: "2 beta"}, {Name: "last", Version: "3"}}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if got, err := newProgram(t, "echo a 1; exit 4").Installed(t.Context()); err == nil {
		t.Errorf("a program that fails listed %v", got)
	}
}

// standing is a program that waits at the gate and counts how often it got
// through.
func standing(t *testing.T) (program, gate) {
	t.Helper()
	top := t.TempDir()
	w := newProgram(t, fmt.Sprintf(`cd %s; echo hello > hello; read word < answer; echo done >> count; echo "attempt $UPDRAFT_ATTEMPT"; exit 15`, top))
	w.top = top
	return w, w.gate()
}

func TestAProgramOutlivesTheClient(t *testing.T) {
	t.Parallel()
	w, g := standing(t)
	image := w.file("image")
	die := g.begin(image)
	die()
	waited := 0
	w.pause = func(ctx context.Context, _ time.Duration) error {
		if waited++; waited == 1 {
			g.open()
		}
		return sleep(ctx, time.Millisecond)
	}
	w.want(w.install(image), ota.DiskFull, "attempt 1")
	w.want(w.install(image), ota.DiskFull, "attempt 1") // nor is it run again afterwards
	if n := w.lines("count"); n != 1 || waited == 0 {
		t.Errorf("it completed %d times, waited %d times", n, waited)
	}
}

func TestAProgramIsRunAgainAfterAPowerCut(t *testing.T) {
	t.Parallel()
	w, g := standing(t)
	image := w.file("image")
	for range 2 {
		die := g.begin(image)
		die()
		g.powerCut(image)
	}
	go func() { g.reached(); g.open() }()
	w.want(w.install(image), ota.DiskFull, "attempt 3")
	if n := w.lines("count"); n != 1 {
		t.Errorf("it completed %d times", n)
	}
}

func TestAProgramDiesUnderARunningClient(t *testing.T) {
	t.Parallel()
	w, g := standing(t)
	image := w.file("image")
	out := make(chan agent.Outcome)
	go func() { out <- w.Install(t.Context(), w.image(image)) }()
	g.reached()
	g.powerCut(image)
	w.want(<-out, ota.InstallFailed, "killed")
}

func TestTheFirstLookAtARunDoesNotRaceItsStart(t *testing.T) {
	t.Parallel()
	w, g := standing(t)
	image := w.image(w.file("image"))
	// The lock is the client's before there is a keeper, and passes to it.
	die := g.begin(image.Path)
	if lock, err := lockRun(image.WorkDir); err == nil {
		lock.Close()
		t.Error("the lock is free while the program runs")
	}
	die()
	if lock, err := lockRun(image.WorkDir); err == nil {
		lock.Close()
		t.Error("the lock is free after the client's death")
	}
	g.open()
	w.want(w.install(image.Path), ota.DiskFull)
	if lock, err := lockRun(image.WorkDir); err != nil {
		t.Error(err)
	} else {
		lock.Close()
	}
}
