package swm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

// entry is a package as dpkg's database has it; state is "" if it does not.
type entry struct {
	name, arch, version string
	state               string // such as "installed" (dpkg(1), "Package states")
	sound               bool   // it need not be installed again
}

func (e entry) installed() bool { return e.state == "installed" && e.sound }

// versioned reports whether any part of that version is on the system.
func (e entry) versioned() bool {
	return e.version != "" && e.state != "" && e.state != "not-installed" && e.state != "config-files"
}

func (m *Manager) admindir() string { return filepath.Join(m.Root, "var/lib/dpkg") }

// ask runs a program that only answers. Its error tells what it complained of.
func ask(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, complaint bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// environment is that of every program that is run.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
}

const entryFormat = `${Package}\t${Architecture}\t${Version}\t${Status}\n`

// look finds a package in the database, by NAME or NAME:ARCHITECTURE. Of those
// of several architectures it is the one of arch.
func (m *Manager) look(ctx context.Context, name, arch string) (entry, error) {
	out, err := ask(ctx, "dpkg-query", "--admindir", m.admindir(), "-W", "-f", entryFormat, name)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 && strings.Contains(err.Error(), "no packages found") {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, err
	}
	list := entries(out)
	for _, e := range list {
		if e.arch == arch {
			return e, nil
		}
	}
	if len(list) == 0 {
		return entry{}, nil
	}
	return list[0], nil
}

func entries(out string) (list []entry) {
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 {
			continue
		}
		if status := strings.Fields(f[3]); len(status) == 3 {
			list = append(list, entry{name: f[0], arch: f[1], version: f[2], state: status[2], sound: status[1] == "ok"})
		}
	}
	return list
}

// packages lists what is installed. A system that dpkg never touched has
// nothing.
func (m *Manager) packages(ctx context.Context) ([]ota.PackageID, error) {
	if _, err := os.Stat(m.admindir()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	out, err := ask(ctx, "dpkg-query", "--admindir", m.admindir(), "-W", "-f", entryFormat)
	if err != nil {
		return nil, err
	}
	var ids []ota.PackageID
	for _, e := range entries(out) {
		id := ota.PackageID{Name: e.name, Version: e.version}
		if e.installed() && (len(ids) == 0 || ids[len(ids)-1] != id) { // one may be there for two architectures
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// install makes a package of an image installed, starting from whatever state
// it is in.
func (j *job) install(ctx context.Context) (outcome, error) {
	pkg, bad := readDeb(ctx, j.file)
	if bad != nil {
		return result(ota.ValidationFailed, "%v", bad)
	}
	have, err := j.look(ctx, pkg.name, pkg.arch)
	if err != nil {
		return outcome{}, err
	}
	action := []string{"-i", j.file}
	switch {
	case j.Kind == image.UpgradePackage && !have.versioned():
		return result(ota.PackageNotFound, "%s is not installed, so there is nothing to upgrade", pkg.name)
	case have.versioned() && have.version == pkg.version && have.installed():
		return j.done(pkg.name + " " + pkg.version + " is installed")
	case have.version == pkg.version && have.sound && unconfigured(have.state):
		action = []string{"--configure", pkg.ref()}
	case have.versioned():
		older, err := j.olderThan(ctx, pkg.version, have.version)
		if err != nil {
			return outcome{}, err
		}
		if older {
			return result(ota.OldVersion, "%s %s is installed, which is newer than %s", pkg.name, have.version, pkg.version)
		}
	}
	fresh, err := j.fresh(have)
	if err != nil {
		return outcome{}, err
	}
	said, err := j.dpkg(ctx, action...)
	if err != nil {
		return outcome{}, err
	}
	now, err := j.look(ctx, pkg.name, pkg.arch)
	if err != nil {
		return outcome{}, err
	}
	if now.installed() && now.version == pkg.version {
		return result(ota.OK, "%s", said.text)
	}
	out := outcome{j.blame(said), said.text}
	if out.code == ota.DependencyFailure && fresh && now.state != "" {
		if _, err := j.dpkg(ctx, "--purge", pkg.ref()); err != nil { // it was unpacked in vain
			return outcome{}, err
		}
	}
	return out, nil
}

// fresh reports whether the system did not know the package before the first
// attempt.
func (j *job) fresh(have entry) (bool, error) {
	note := filepath.Join(j.dir, "fresh")
	if have.state == "" {
		return true, os.WriteFile(note, nil, 0o600)
	}
	_, err := os.Lstat(note)
	return err == nil, nil
}

func unconfigured(state string) bool {
	return state == "unpacked" || state == "half-configured" || state == "triggers-awaited" || state == "triggers-pending"
}

func (e entry) ref() string {
	if e.arch == "all" {
		return e.name
	}
	return e.name + ":" + e.arch
}

// remove makes a package removed; its configuration stays.
func (j *job) remove(ctx context.Context) (outcome, error) {
	have, err := j.look(ctx, j.Package, "")
	if err != nil {
		return outcome{}, err
	}
	switch {
	case have.versioned():
	case have.state == "" && !j.again():
		return result(ota.PackageNotFound, "there is no package %s", j.Package)
	default:
		return j.done(j.Package + " is removed")
	}
	said, err := j.dpkg(ctx, "--remove", j.Package)
	if err != nil {
		return outcome{}, err
	}
	now, err := j.look(ctx, j.Package, "")
	if err != nil {
		return outcome{}, err
	}
	if now.versioned() {
		return result(j.blame(said), "%s", said.text)
	}
	return result(ota.OK, "%s", said.text)
}

// readDeb reads a package to its end. It fails if that is no intact one.
func readDeb(ctx context.Context, file string) (entry, error) {
	out, err := ask(ctx, "dpkg-deb", "-W", "--showformat", `${Package}\t${Architecture}\t${Version}\n`, file)
	if err != nil {
		return entry{}, err
	}
	f := strings.Split(strings.TrimSpace(out), "\t")
	if len(f) != 3 {
		return entry{}, fmt.Errorf("dpkg-deb: the package has no name, architecture or version")
	}
	contents := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	contents.Env = environment()
	if err := contents.Run(); err != nil {
		return entry{}, fmt.Errorf("dpkg-deb: the package's contents are damaged: %w", err)
	}
	return entry{name: f[0], arch: f[1], version: f[2]}, nil
}

// olderThan lets dpkg compare two versions: its order is the one that counts.
func (j *job) olderThan(ctx context.Context, a, b string) (bool, error) {
	_, err := ask(ctx, "dpkg", "--compare-versions", a, "lt", b)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// dpkg runs dpkg, waiting for another program that works on the database. It
// never asks: it keeps configuration files as they are.
func (j *job) dpkg(ctx context.Context, action ...string) (ended, error) {
	args := []string{"dpkg", "--refuse-downgrade", "--force-confdef", "--force-confold"}
	if j.Root != "/" {
		if err := os.MkdirAll(j.admindir(), 0o755); err != nil {
			return ended{}, err
		}
		args = append(args, "--root="+j.Root)
		if os.Geteuid() != 0 {
			args = append(args, "--force-not-root")
		}
	}
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		said, err := j.start(ctx, 0, environment(), append(args, action...)...)
		if err != nil || said.status == 0 || !said.says("locked by another process") {
			return said, err
		}
		j.Log.Info("another program works on dpkg's database, will try again", "in", wait)
		if err := j.pause(ctx, wait); err != nil {
			return said, err
		}
	}
}

// blame makes a code of what dpkg said when it failed.
func (j *job) blame(said ended) ota.ResultCode {
	switch {
	case said.says("No space left on device"):
		return ota.DiskFull
	case said.says("dependency problems"), said.says("pre-dependency problem"), said.says("conflicting packages"), said.says("would break"):
		return ota.DependencyFailure
	}
	return j.Kind.Failure()
}
