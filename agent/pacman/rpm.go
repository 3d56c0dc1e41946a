package pacman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// rpm installs RPM packages into root, with "rpm -U" and without --force.
//
// As with dpkg, what happened is read from the database. But rpm enters a
// package there before its last scriptlets run and before the version that it
// replaces is gone, and has no word for that state; so a run that was cut
// short is repeated as a whole, with --replacepkgs.
type rpm struct {
	root string // absolute
	runner
}

// Installed lists name and version, without release, as the original does
// (client.md 6). The keys that rpm keeps among the packages are left out. It
// fails if rpm cannot be started or fails.
func (r *rpm) Installed(ctx context.Context) ([]ota.PackageID, error) {
	all, err := r.database(ctx)
	if err != nil {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	var ids []ota.PackageID
	for _, p := range all {
		if p.Name != "gpg-pubkey" {
			ids = append(ids, ota.PackageID{Name: p.Name, Version: p.Version})
		}
	}
	return ids, nil
}

// Install installs the package of an image unless it is there already. The
// codes, beside OK:
//   - ALREADY_PROCESSED: that version and release was installed before
//   - OLD_VERSION: a newer one is
//   - VALIDATION_FAILED: the image is no intact RPM package, or rpm demands a
//     signature that it lacks
//   - DEPENDENCY_FAILURE: its dependencies are not met or it conflicts
//   - DISK_FULL: it does not fit
//   - INSTALL_FAILED: the architecture is foreign, it has files of another
//     package, or rpm did not install it
//   - GENERAL_ERROR: rpm could not be started, or its answer is unclear
//
// All but some of DISK_FULL and INSTALL_FAILED is found before anything is
// unpacked, by "rpm -U --test". The text holds what rpm wrote.
func (r *rpm) Install(ctx context.Context, img agent.Image) agent.Outcome {
	out, err := r.ensure(ctx, img)
	if err != nil {
		return failure(err)
	}
	return out
}

func (r *rpm) ensure(ctx context.Context, img agent.Image) (agent.Outcome, error) {
	img, err := absolute(img)
	if err != nil {
		return agent.Outcome{}, err
	}
	before, err := r.await(ctx, img.WorkDir)
	if err != nil {
		return agent.Outcome{}, err
	}
	if err := r.awaitOthers(ctx); err != nil {
		return agent.Outcome{}, err
	}
	image, err := namedPlainly(img)
	if err != nil {
		return agent.Outcome{}, err
	}
	pkg, err := readPackage(ctx, image)
	if err != nil {
		return agent.Outcome{}, err
	}
	have, err := r.instances(ctx, pkg)
	if err != nil {
		return agent.Outcome{}, err
	}
	if have.newer != "" {
		return agent.Outcome{}, refuse(ota.OldVersion, "%s %s is installed, which is newer than %s", pkg.Name, have.newer, pkg.evr())
	}
	if have.same && !before.cut() {
		return before.installed(), nil
	}
	return r.upgrade(ctx, img, image, pkg, have.same)
}

// upgrade has rpm install an image, over a half-done installation of the same
// version if there is one.
func (r *rpm) upgrade(ctx context.Context, img agent.Image, image string, pkg header, again bool) (agent.Outcome, error) {
	args := append(r.flags(), "-U")
	if again {
		args = append(args, "--replacepkgs")
	}
	if err := r.try(ctx, slices.Concat(args, []string{"--test", image})); err != nil {
		return agent.Outcome{}, err
	}
	said, err := r.run(ctx, img, environment(), slices.Concat([]string{"rpm"}, args, []string{image})...)
	if err != nil {
		return agent.Outcome{}, err
	}
	return r.judge(ctx, pkg, said)
}

// awaitOthers waits for whoever works on the database. What comes later rpm
// itself waits for.
func (r *rpm) awaitOthers(ctx context.Context) error {
	path, err := ask(ctx, "rpm", append(r.dbpath(), "--eval", "%{_rpmlock_path}")...)
	if err != nil {
		return err
	}
	return r.awaitDatabase(ctx, filepath.Join(r.root, strings.TrimSpace(string(path))))
}

// try has rpm check everything that it can without changing anything, and
// refuses what it would not install.
func (r *rpm) try(ctx context.Context, args []string) error {
	_, err := ask(ctx, "rpm", args...)
	exit, ran := errors.AsType[*exec.ExitError](err)
	if !ran || !exit.Exited() {
		return err // nil, not started, or killed
	}
	return refuse(trouble(err.Error()), "nothing was unpacked: %v", err)
}

// judge asks the database how a run of rpm ended. One that was killed is no
// success even with the package in there: see rpm.
func (r *rpm) judge(ctx context.Context, pkg header, said output) (agent.Outcome, error) {
	have, err := r.instances(ctx, pkg)
	if err != nil {
		return agent.Outcome{}, err
	}
	if have.same && !have.older && !said.Killed {
		syscall.Sync() // rpm leaves that to others (client.md 6)
		return agent.Outcome{Code: ota.OK, Text: clean(said.Stdout + said.Stderr)}, nil
	}
	code := trouble(said.Stdout + said.Stderr)
	r.log.Warn("rpm did not install the package", "package", pkg.Name, "version", pkg.evr(), "code", code, "exit", said.How)
	return agent.Outcome{Code: code, Text: said.both()}, nil
}

// trouble finds the code for what rpm says of a failure. It speaks English,
// because environment says so.
func trouble(text string) ota.ResultCode {
	for _, t := range []struct {
		code  ota.ResultCode
		words []string
	}{
		{ota.ValidationFailed, []string{"does not verify", "cannot be installed", "not an rpm package", "cpio: Bad magic", "Digest mismatch"}},
		{ota.DiskFull, []string{"more space on the", "more inodes on the", "No space left on device", "Disk quota exceeded"}},
		{ota.DependencyFailure, []string{"Failed dependencies"}},
		{ota.OldVersion, []string{"(which is newer than"}},
	} {
		for _, w := range t.words {
			if strings.Contains(text, w) {
				return t.code
			}
		}
	}
	return ota.InstallFailed
}

// namedPlainly gives an image a path that rpm takes as it is: it would expand
// "*" and its like in the name, which is the update's id. The directory's name
// has none, being the client's own.
func namedPlainly(img agent.Image) (string, error) {
	link := filepath.Join(img.WorkDir, "image.rpm")
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return link, os.Symlink(img.Path, link)
}
