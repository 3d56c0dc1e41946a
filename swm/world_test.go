package swm

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// world is a system with the real dpkg, and a manager that installs there.
// Packages here have no maintainer scripts, so that anyone can run the tests.
type world struct {
	*testing.T
	opts   Options
	images string // directory
	client *client
	*Manager
	end func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, images: filepath.Join(dir, "images"), client: newClient(), opts: Options{
		StateDir: filepath.Join(dir, "state"), Root: filepath.Join(dir, "root"), Plugins: filepath.Join(dir, "plugins"), Log: slog.New(slog.DiscardHandler)}}
	for _, d := range []string{w.images, w.opts.Root, w.opts.Plugins} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// start starts the manager.
func (w *world) start() {
	w.Helper()
	m, err := New(w.opts)
	if err != nil {
		w.Fatal(err)
	}
	m.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := m.Run(ctx, w.client); err != nil {
			w.Error(err)
		}
	})
	w.Manager = m
	w.end = sync.OnceFunc(func() {
		cancel()
		run.Wait()
		m.Close()
	})
	w.Cleanup(w.end)
}

// write puts a file into its place.
func (w *world) write(path, text string, mode os.FileMode) {
	w.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		w.Fatal(err)
	}
}

// plugin makes a plug-in of a shell script.
func (w *world) plugin(name, script string) {
	w.Helper()
	w.write(filepath.Join(w.opts.Plugins, name), "#!/bin/sh\n"+script+"\n", 0o755)
}

// content is what an image holds beside its manifest.
type content map[string]string

// image makes one with these operations, whose file has the name.
func (w *world) image(name string, files content, operations ...string) string {
	w.Helper()
	return w.imageWith(name, files, fmt.Sprintf(`{"name":"test","operations":[%s]}`, strings.Join(operations, ",")))
}

func (w *world) imageWith(name string, files content, manifest string) string {
	w.Helper()
	path := filepath.Join(w.images, name)
	f, err := os.Create(path)
	if err != nil {
		w.Fatal(err)
	}
	defer f.Close()
	t := tar.NewWriter(f)
	add := func(name, text string) {
		if err := t.WriteHeader(&tar.Header{Name: name, Size: int64(len(text))}); err != nil {
			w.Fatal(err)
		}
		if _, err := t.Write([]byte(text)); err != nil {
			w.Fatal(err)
		}
	}
	add("update_manifest.json", manifest)
	for name, text := range files {
		add(name, text)
	}
	if err := t.Close(); err != nil {
		w.Fatal(err)
	}
	return path
}

// installs gives the manager an image and waits for its report.
func (w *world) installs(path string) ota.Report {
	w.Helper()
	if err := w.DownloadComplete(path, ""); err != nil {
		w.Fatal(err)
	}
	return w.hears()
}

// hears waits for a report, and the list of packages after it.
func (w *world) hears() ota.Report {
	w.Helper()
	r := receive(w.T, w.client.reports)
	receive(w.T, w.client.lists)
	return r
}

// codes checks the results of operations with the ids 1, 2, and so on.
func codes(t *testing.T, r ota.Report, want ...ota.ResultCode) {
	t.Helper()
	var got []ota.ResultCode
	for i, o := range r.Results {
		got = append(got, o.Code)
		if o.ID != fmt.Sprint(i+1) {
			t.Errorf("result %d has the id %q", i, o.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s\n%+v", diff, r)
	}
}

// deb builds a real package; more are further lines of its control file.
func (w *world) deb(name, version string, more ...string) string {
	w.Helper()
	dir, path := w.TempDir(), filepath.Join(w.TempDir(), "deb")
	control := append([]string{"Package: " + name, "Version: " + version, "Maintainer: Test <test@example.org>", "Description: a test"}, more...)
	if !strings.Contains(strings.Join(more, "\n"), "Architecture:") {
		control = append(control, "Architecture: all")
	}
	w.write(filepath.Join(dir, "DEBIAN/control"), strings.Join(control, "\n")+"\n", 0o644)
	w.write(filepath.Join(dir, "usr/share", name), version, 0o644)
	if out, err := exec.Command("dpkg-deb", "--build", "--nocheck", "--root-owner-group", "-Zgzip", dir, path).CombinedOutput(); err != nil {
		w.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

// says is what dpkg's database has of a package.
func (w *world) says(name string) string {
	w.Helper()
	out, _ := exec.Command("dpkg-query", "--admindir", filepath.Join(w.opts.Root, "var/lib/dpkg"), "-W", "-f", "${Version} ${Status}", name).Output()
	return string(out)
}

// client takes note of what it is told.
type client struct {
	away    func() error // asked before each call; nil: it is there
	reports chan ota.Report
	lists   chan []ota.PackageID
	wanted  chan ota.UpdateID
}

func newClient() *client {
	return &client{reports: make(chan ota.Report, 100), lists: make(chan []ota.PackageID, 100), wanted: make(chan ota.UpdateID, 100)}
}

func (c *client) there() error {
	if c.away == nil {
		return nil
	}
	return c.away()
}

func (c *client) StartDownload(_ context.Context, id ota.UpdateID) error {
	return pass(c, c.wanted, id)
}
func (c *client) SendUpdateReport(_ context.Context, r ota.Report) error {
	return pass(c, c.reports, r)
}
func (c *client) SendInstalledPackages(_ context.Context, list []ota.PackageID) error {
	return pass(c, c.lists, list)
}

func pass[T any](c *client, to chan T, v T) error {
	if err := c.there(); err != nil {
		return err
	}
	to <- v
	return nil
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing comes")
	}
	panic("unreachable")
}
