package pacman

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// machine is what the same story needs of dpkg's and of rpm's world.
type machine struct {
	ground
	build func(name, version string, needs string, content files) string
	has   func() []string // what the database has of "tool" and "big", as NAME=VERSION
}

var machines = map[string]func(t *testing.T, root string) machine{
	"deb": func(t *testing.T, root string) machine {
		w := newWorldIn(t, root)
		return machine{w.ground, func(name, version, needs string, content files) string {
			control := ""
			if needs != "" {
				control = "Depends: " + needs + "\n"
			}
			return w.aside(w.build(name, version, control, content))
		}, func() (has []string) {
			for _, name := range []string{"big", "tool"} {
				if version, ok := strings.CutSuffix(w.state(name), " install ok installed"); ok {
					has = append(has, name+"="+version)
				}
			}
			return has
		}}
	},
	"rpm": func(t *testing.T, root string) machine {
		w := newRPMWorldIn(t, root)
		return machine{w.ground, func(name, version, needs string, content files) string {
			preamble := ""
			if needs != "" {
				preamble = "Requires: " + needs + "\n"
			}
			return w.aside(w.build(name, version, preamble, "", content))
		}, func() (has []string) {
			out := w.do("rpm", append(w.flags(), "-qa", "--queryformat", `%{NAME}=%{EVR}\n`)...)
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "big=") || strings.HasPrefix(line, "tool=") {
					has = append(has, strings.TrimSpace(line))
				}
			}
			slices.Sort(has)
			return has
		}}
	},
}

// One image after the other comes to a device with a small disk; each row says
// what came of it and what the database has then.
func TestResults(t *testing.T) {
	for manager, make := range machines {
		t.Run(manager, func(t *testing.T) {
			t.Parallel()
			m := make(t, smallDisk(t))
			for _, row := range []struct {
				what  string
				image string
				code  ota.ResultCode
				has   []string
			}{
				{"unmet dependency", m.build("tool", "1.0-1", "missing", files{"usr/share/tool": "x"}), ota.DependencyFailure, nil},
				{"first", m.build("tool", "1.0-1", "", nil), ota.OK, []string{"tool=1.0-1"}},
				{"the same again", m.build("tool", "1.0-1", "", nil), ota.AlreadyProcessed, []string{"tool=1.0-1"}},
				{"upgrade", m.build("tool", "1.0-2", "", nil), ota.OK, []string{"tool=1.0-2"}},
				{"downgrade", m.build("tool", "1.0-1", "", nil), ota.OldVersion, []string{"tool=1.0-2"}},
				{"older sorts behind", m.build("tool", "1.0~rc9-9", "", nil), ota.OldVersion, []string{"tool=1.0-2"}},
				{"does not fit", m.build("big", "1-1", "", files{"usr/share/big": noise(12 << 20)}), ota.DiskFull, []string{"tool=1.0-2"}},
				{"corrupted", m.corrupt(m.build("tool", "1.0-3", "", files{"usr/share/tool": noise(100 << 10)})), ota.ValidationFailed, []string{"tool=1.0-2"}},
				{"no package", m.file("no package, but long enough to be read as something"), ota.ValidationFailed, []string{"tool=1.0-2"}},
				{"still works", m.build("tool", "1.0-10", "", nil), ota.OK, []string{"tool=1.0-10"}},
			} {
				out := m.Install(t.Context(), agent.Image{Update: "u", Path: row.image, WorkDir: t.TempDir()})
				if out.Code != row.code {
					t.Errorf("%s: %s, want %s; text:\n%s", row.what, out.Code, row.code, out.Text)
				}
				if !slices.Equal(m.has(), row.has) {
					t.Errorf("%s: the database has %v, want %v", row.what, m.has(), row.has)
				}
				if _, err := os.Lstat(filepath.Join(m.top, "usr/share/tool")); !os.IsNotExist(err) {
					t.Errorf("%s: something was unpacked: %v", row.what, err)
				}
			}
		})
	}
}

// smallDisk is a directory on a file system of 10 MB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=10m"); err != nil {
		t.Fatalf("mount a small disk, which takes root or a user namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// noise is text that does not compress to nothing.
func noise(size int) string {
	b := make([]byte, size)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return string(b)
}

func (w ground) corrupt(image string) string {
	w.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		w.Fatal(err)
	}
	b[len(b)-1000] ^= 0xff
	return w.file(string(b))
}

// aside keeps an image where the next one of its name does not replace it.
func (w ground) aside(image string) string {
	w.Helper()
	to := filepath.Join(w.TempDir(), "image")
	if err := os.Rename(image, to); err != nil {
		w.Fatal(err)
	}
	return to
}

func (w ground) file(text string) string {
	path := filepath.Join(w.TempDir(), "image")
	w.write(path, text, 0o644)
	return path
}
