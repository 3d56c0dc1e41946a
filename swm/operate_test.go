package swm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

func op(id int, kind, more string) string {
	return fmt.Sprintf(`{"id":"%d","operation":%q,"onFailure":"continue"%s}`, id, kind, more)
}

func install(id int, file string) string {
	return op(id, "install_package", fmt.Sprintf(`,"image":%q`, file))
}

func upgrade(id int, file string) string {
	return op(id, "upgrade_package", fmt.Sprintf(`,"image":%q`, file))
}

func remove(id int, name string) string {
	return op(id, "remove_package", fmt.Sprintf(`,"package":%q`, name))
}

func TestPackages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	files := content{
		"a1": w.deb("a", "1.0"), "a2": w.deb("a", "2.0"), "b": w.deb("b", "1.0", "Depends: a"),
		"lonely": w.deb("lonely", "1.0", "Depends: nowhere"), "foreign": w.deb("foreign", "1.0", "Architecture: pdp11"),
		"text": "hello",
	}
	files["cut"] = files["a2"][:len(files["a2"])-20]
	r := w.installs(w.image("u1", files,
		install(1, "a1"), install(2, "a1"), install(3, "b"), install(4, "lonely"), install(5, "foreign"), install(6, "text"), install(7, "cut"),
		upgrade(8, "lonely"), upgrade(9, "a2"), upgrade(10, "a2"), install(11, "a1"),
		remove(12, "a"), remove(13, "nowhere"), remove(14, "b"), remove(15, "a"), remove(16, "a")))
	codes(t, r, ota.OK, ota.AlreadyProcessed, ota.OK, ota.DependencyFailure, ota.InstallFailed, ota.ValidationFailed, ota.ValidationFailed,
		ota.PackageNotFound, ota.OK, ota.AlreadyProcessed, ota.OldVersion,
		ota.DependencyFailure, ota.PackageNotFound, ota.OK, ota.OK, ota.PackageNotFound)
	if got := w.says("lonely"); got != "" {
		t.Errorf("of a package that was unpacked in vain dpkg says %q", got)
	}
	if r.Update != "u1" {
		t.Errorf("the report is about %q, want the name of the image's file", r.Update)
	}
}

// The client learns what is installed after every update.
func TestListAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	if err := w.DownloadComplete(w.image("u1", content{"a": w.deb("a", "1.0"), "b": w.deb("b", "2.0")}, install(1, "a"), install(2, "b")), ""); err != nil {
		t.Fatal(err)
	}
	codes(t, receive(t, w.client.reports), ota.OK, ota.OK)
	want := []ota.PackageID{{Name: "a", Version: "1.0"}, {Name: "b", Version: "2.0"}}
	if diff := cmp.Diff(want, receive(t, w.client.lists)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.plugin(firmwarePlugin, `printf 'ecu1\tv7\t1476000000\n'`)
	inv, err := w.Installed(t.Context(), true, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range inv.Packages {
		if p.ID != want[i] || p.Description != "a test" || p.Modified < 1_500_000_000 {
			t.Errorf("%+v", p)
		}
	}
	if diff := cmp.Diff([]ota.Firmware{{Module: "ecu1", ID: "v7", LastModified: 1476000000}}, inv.Firmware); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What follows a failure is not run, but has a result; an operation whose
// failure does not matter is one whose update goes on.
func TestAbort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plugin("delete_partition", `test "$SWM_OPERATION_ID" = 1 || exit 9; exit 16`)
	w.start()
	r := w.installs(w.image("u1", nil, op(1, "delete_partition", ""), `{"id":"2","operation":"delete_partition"}`, op(3, "delete_partition", "")))
	codes(t, r, ota.PackageNotFound, ota.DeletePartitionFailed, ota.GeneralError)
	if got := r.Results[2].Text; got != "not run: operation 2 failed" {
		t.Errorf("the last result says %q", got)
	}
}

// A plug-in is told all there is to know, and its exit status is the code.
func TestPlugins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plugin("flash_module_firmware", `cat "$SWM_IMAGE"; touch "$SWM_WORK_DIR/note"; env | grep ^SWM_ | sort | sed s,=/.*/,=,`)
	w.plugin("write_partition", `echo "$SWM_PARAM_STATUS" >&2; exit "$SWM_PARAM_STATUS"`)
	w.plugin("patch_partition", `kill -9 $$`)
	w.plugin("resize_partition", `exit 0`)
	if err := os.Chmod(filepath.Join(w.opts.Plugins, "resize_partition"), 0o777); err != nil {
		t.Fatal(err)
	}
	var ops []string
	for i := range 21 {
		ops = append(ops, op(i+1, "write_partition", fmt.Sprintf(`,"image":"f","parameters":{"status":"%d"}`, i)))
	}
	ops = append(ops, op(22, "patch_partition", `,"image":"f"`), op(23, "resize_partition", ""), op(24, "create_partition", ""),
		op(25, "flash_module_firmware", `,"image":"f","parameters":{"Bus":"can0"}`))
	w.start()
	r := w.installs(w.image("u1", content{"f": "firmware\n"}, ops...))
	var want []ota.ResultCode
	for c := range ota.GeneralError + 1 {
		want = append(want, c)
	}
	codes(t, r, append(want, ota.WritePartitionFailed, ota.PatchPartitionFailed, ota.ResizePartitionFailed, ota.CreatePartitionFailed, ota.OK)...)
	const told = "firmware\nSWM_ATTEMPT=1\nSWM_IMAGE=f\nSWM_OPERATION=flash_module_firmware\nSWM_OPERATION_ID=25\nSWM_PARAM_BUS=can0\nSWM_ROOT=root\nSWM_UPDATE_ID=u1\nSWM_WORK_DIR=work\n"
	if diff := cmp.Diff(told, r.Results[24].Text); diff != "" {
		t.Errorf("a plug-in is told (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.Results[20].Text, "exit status 20") || !strings.Contains(r.Results[22].Text, "by others") || !strings.Contains(r.Results[23].Text, "no plug-in") {
		t.Errorf("%q", r.Results[20:24])
	}
}

// A plug-in that hangs is ended, with all that it started.
func TestPluginTakesTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opts.PluginTimeout = 50 * time.Millisecond
	never := filepath.Join(w.images, "never")
	if err := syscall.Mkfifo(never, 0o600); err != nil {
		t.Fatal(err)
	}
	w.plugin("delete_partition", "(read word < "+never+") & wait")
	w.start()
	r := w.installs(w.image("u1", nil, op(1, "delete_partition", "")))
	codes(t, r, ota.DeletePartitionFailed)
	if !strings.Contains(r.Results[0].Text, "too long") {
		t.Errorf("%+v", r)
	}
	// Its children are gone: nobody has the pipe open to read from.
	if _, err := os.OpenFile(never, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		t.Error("what the plug-in started goes on")
	}
}

// A file gets its place whole, keeps the mode it had, and cannot leave the root.
func TestConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.opts.Root
	w.write(filepath.Join(root, "etc/old"), "old", 0o600)
	w.write(filepath.Join(root, "etc/dir/f"), "", 0o600)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "etc/out")); err != nil {
		t.Fatal(err)
	}
	at := func(id int, path string) string {
		return op(id, "install_config", fmt.Sprintf(`,"image":"f","path":%q`, path))
	}
	w.start()
	codes(t, w.installs(w.image("u1", content{"f": "new"}, at(1, "/etc/sub/new"), at(2, "/etc/old"), at(3, "/etc/old"), at(4, "/etc/dir"), at(5, "/etc/out/f"), at(6, "/etc/old/f"))),
		ota.OK, ota.OK, ota.AlreadyProcessed, ota.InstallFailed, ota.InstallFailed, ota.InstallFailed)
	for name, mode := range map[string]os.FileMode{"etc/sub/new": 0o644, "etc/old": 0o600} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if st, serr := os.Stat(filepath.Join(root, name)); err != nil || serr != nil || string(b) != "new" || st.Mode() != mode {
			t.Errorf("%s: %q %v %v", name, b, err, serr)
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside the root there is %v", left)
	}
}
