package pacman

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rpmWorld is a system with rpm. A package "shell", which others need for
// their scriptlets, is installed.
type rpmWorld struct {
	ground
	*rpm
}

func newRPMWorld(t *testing.T) rpmWorld {
	t.Helper()
	return newRPMWorldIn(t, t.TempDir())
}

func newRPMWorldIn(t *testing.T, root string) rpmWorld {
	t.Helper()
	g := newGround(t, "rpm", root)
	w := rpmWorld{g, g.Installer.(*rpm)}
	w.do("rpm", append(w.flags(), "-U", w.build("shell", "1-1", "", "", files{"bin/sh": w.shell()}))...)
	return w
}

// build makes a real package. The full version may begin with an epoch;
// preamble holds further tags and sections the scriptlets, a line each.
func (w rpmWorld) build(name, evr, preamble, sections string, content files) string {
	w.Helper()
	return w.buildFor("noarch", name, evr, preamble, sections, content)
}

func (w rpmWorld) buildFor(arch, name, evr, preamble, sections string, content files) string {
	w.Helper()
	dir := w.TempDir()
	version, release, _ := strings.Cut(evr, "-")
	if epoch, v, ok := strings.Cut(version, ":"); ok {
		preamble, version = "Epoch: "+epoch+"\n"+preamble, v
	}
	var list []string
	for path, text := range content {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(path, "bin/") {
			mode = 0o755
		}
		w.write(filepath.Join(dir, "tree", path), text, mode)
		list = append(list, "/"+path)
	}
	slices.Sort(list)
	spec := fmt.Sprintf("Name: %s\nVersion: %s\nRelease: %s\nSummary: test\nLicense: none\nAutoReqProv: no\n%s%%description\ntest\n%%install\nmkdir -p %%{buildroot}\nif test -d %s/tree; then cp -a %s/tree/. %%{buildroot}; fi\n%s\n%%files\n%s\n",
		name, version, release, preamble, dir, dir, sections, strings.Join(list, "\n"))
	w.write(filepath.Join(dir, "spec"), spec, 0o644)
	w.do("rpmbuild", "-bb", "--quiet", "--target", arch, "--define", "_binaries_in_noarch_packages_terminate_build 0", "--define", "_topdir "+dir, "--define", "_rpmdir "+dir, "--define", "_build_name_fmt out.rpm",
		"--define", "__os_install_post %{nil}", "--define", "_build_id_links none", "--define", "_binary_payload w1.gzdio", filepath.Join(dir, "spec"))
	image := filepath.Join(w.dir, name+"_"+evr+".image")
	if err := os.Rename(filepath.Join(dir, "out.rpm"), image); err != nil {
		w.Fatal(err)
	}
	return image
}

// wantPackages compares rpm's own list, without the shell, sorted.
func (w rpmWorld) wantPackages(want ...string) {
	w.Helper()
	out := w.do("rpm", append(w.flags(), "-qa", "--queryformat", `%{NAME}=%{EVR}\n`)...)
	var got []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.Contains(line, "=") && !strings.HasPrefix(line, "shell=") {
			got = append(got, line)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.Errorf("rpm has %v, want %v", got, want)
	}
}
