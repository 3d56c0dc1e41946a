package pacman

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func TestLongStreamsAreBounded(t *testing.T) {
	dir := t.TempDir()
	s, err := newStream(dir, "stream")
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.Close()
	writer, err := os.OpenFile(filepath.Join(dir, "stream"), os.O_WRONLY|os.O_APPEND, 0) // as the run has it
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	say := func(text string) {
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}

	say("short")
	s.bound()
	if s.kept != nil || s.tail() != "short" {
		t.Errorf("a short stream was touched: %.50q", s.tail())
	}
	say(strings.Repeat("x", longestStream) + "before the cut, ")
	s.bound()
	say("after it")
	if st, err := os.Stat(filepath.Join(dir, "stream")); err != nil || st.Size() != int64(len("after it")) {
		t.Errorf("the file has %v bytes, %v", st.Size(), err)
	}
	if got := s.tail(); !strings.HasSuffix(got, "xbefore the cut, after it") || len(got) != maxStream {
		t.Errorf("%d bytes, ending %q", len(got), got[max(0, len(got)-30):])
	}
}

// fakeHost is a machine whose init and control group the test chooses.
func fakeHost(t *testing.T, booted bool, cgroup string) host {
	t.Helper()
	h := host{root: t.TempDir()}
	g := ground{T: t}
	if booted {
		g.write(filepath.Join(h.root, "run/systemd/system/x"), "", 0o644)
	}
	g.write(filepath.Join(h.root, "proc/self/cgroup"), cgroup, 0o644)
	return h
}

const inService = "0::/system.slice/updraft-agent.service\n"

func TestWhenToLeaveTheControlGroup(t *testing.T) {
	bin := t.TempDir()
	ground{T: t}.write(filepath.Join(bin, "systemd-run"), "#!/bin/sh\n", 0o755)
	t.Setenv("PATH", bin)
	want := []string{filepath.Join(bin, "systemd-run"), "--scope", "--collect", "--quiet", "--unit=updraft-install-a_b_-2", "--"}
	for _, c := range []struct {
		what   string
		booted bool
		cgroup string
		euid   int
		leaves bool
	}{
		{"a service", true, inService, 0, true},
		{"a service, mixed hierarchy", true, "12:pids:/x.service\n1:name=systemd:/system.slice/a.service\n0::/\n", 0, true},
		{"an ordinary user's", true, inService, 1000, false},
		{"from a shell", true, "0::/user.slice/user-0.slice/session-1.scope\n", 0, false},
		{"only a controller says so", true, "3:pids:/x.service\n0::/\n", 0, false},
		{"another init", false, inService, 0, false},
		{"nothing known", true, "", 0, false},
	} {
		h := fakeHost(t, c.booted, c.cgroup)
		h.euid = c.euid
		got := h.scope("a/b ", 2)
		if c.leaves && !slices.Equal(got, want) || !c.leaves && got != nil {
			t.Errorf("%s: %q", c.what, got)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if got := fakeHost(t, true, inService).scope("u", 1); got != nil {
		t.Errorf("without systemd-run: %q", got)
	}
}

func TestSystemdRunDoesNotWork(t *testing.T) {
	w := newProgram(t, "echo installed anyway")
	bin := t.TempDir()
	w.write(filepath.Join(bin, "systemd-run"), "#!/bin/sh\necho Failed to connect to bus >&2; exit 1\n", 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	w.host = fakeHost(t, true, inService)
	var log strings.Builder
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	w.want(w.install(w.file("image")), ota.OK, "installed anyway")
	if !strings.Contains(log.String(), "Failed to connect to bus") {
		t.Errorf("the log does not tell:\n%s", log.String())
	}
}

func TestAKeeperThatCannotWork(t *testing.T) {
	w := newProgram(t, "exit 0")
	image := w.image(w.file("image"))
	if err := os.Mkdir(filepath.Join(image.WorkDir, stdoutName), 0o700); err != nil {
		t.Fatal(err)
	}
	w.want(w.Install(t.Context(), image), ota.InstallFailed, "its keeper ended first", stdoutName)
}

func TestTheWorkDirectoryIsGone(t *testing.T) {
	w := newProgram(t, "exit 0")
	w.want(w.Install(t.Context(), agent.Image{Path: w.file("image"), WorkDir: filepath.Join(w.dir, "none")}), ota.GeneralError, "no such file")
}
