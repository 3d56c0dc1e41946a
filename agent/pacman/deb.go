package pacman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// deb installs Debian packages with dpkg into root.
//
// dpkg is started apart from the client and outlives it (see run). What
// happened is therefore always read from dpkg's database, and an Install
// called again begins there: wait until nobody works on the database, look at
// what is installed, and do only what is missing.
type deb struct {
	root string // absolute
	runner
}

// Installed lists the packages that are installed and configured. It fails if
// dpkg-query cannot be started or fails.
func (d *deb) Installed(ctx context.Context) ([]ota.PackageID, error) {
	out, err := ask(ctx, "dpkg-query", "--admindir", d.admindir(), "-W", "-f", `${Package} ${Version} ${Status}\n`)
	if err != nil {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	var ids []ota.PackageID
	for line := range strings.Lines(string(out)) {
		// name, version, and the wanted state, the error flag and the state.
		if w := strings.Fields(line); len(w) == 5 && w[4] == "installed" {
			ids = append(ids, ota.PackageID{Name: w[0], Version: w[1]})
		}
	}
	return slices.Compact(ids), nil // one package may be there for two architectures
}

// Install installs the package of an image unless it is there already. The
// codes, beside OK:
//   - ALREADY_PROCESSED: that version was installed before
//   - OLD_VERSION: a newer one is
//   - VALIDATION_FAILED: the image is no intact Debian package
//   - DEPENDENCY_FAILURE: its dependencies are not met or it conflicts;
//     unmet dependencies are found before anything is unpacked
//   - DISK_FULL: dpkg ran out of space
//   - INSTALL_FAILED: the architecture is foreign, or dpkg did not install it
//   - GENERAL_ERROR: a program could not be started, or its answer is unclear
//
// The text holds what dpkg wrote, or the reason it was not started.
func (d *deb) Install(ctx context.Context, img agent.Image) agent.Outcome {
	out, err := d.ensure(ctx, img)
	if err != nil {
		return failure(err)
	}
	return out
}

func (d *deb) ensure(ctx context.Context, img agent.Image) (agent.Outcome, error) {
	img, err := absolute(img)
	if err != nil {
		return agent.Outcome{}, err
	}
	delays := patience()
	for {
		past, err := d.await(ctx, img.WorkDir)
		if err != nil {
			return agent.Outcome{}, err
		}
		if err := d.awaitDatabase(ctx, d.locks()...); err != nil {
			return agent.Outcome{}, err
		}
		out, err := d.attempt(ctx, img, past)
		if !errors.Is(err, errBusy) {
			return out, err
		}
		// Someone took the database between our look and dpkg's.
		if err := d.pause(ctx, delays.NextBackOff()); err != nil {
			return agent.Outcome{}, err
		}
	}
}

// attempt makes the package of img installed, starting from whatever state it
// is in. It fails with a refusal, with errBusy if the database was locked when
// dpkg started, or with ctx's error, and then dpkg goes on.
func (d *deb) attempt(ctx context.Context, img agent.Image, past past) (agent.Outcome, error) {
	pkg, err := readImage(ctx, img.Path)
	if err != nil {
		return agent.Outcome{}, err
	}
	db, err := d.database(ctx)
	if err != nil {
		return agent.Outcome{}, err
	}
	have := db.find(pkg)
	same, err := have.is(ctx, "=", pkg.Version)
	if err != nil {
		return agent.Outcome{}, err
	}
	if same && have.settled() {
		return past.installed(), nil
	}
	args, err := d.plan(ctx, img, pkg, db, have, same)
	if err != nil {
		return agent.Outcome{}, err
	}
	said, err := d.run(ctx, img, environment(), append(append([]string{"dpkg"}, d.flags()...), args...)...)
	if err != nil {
		return agent.Outcome{}, err
	}
	return d.judge(ctx, pkg, said)
}

// plan says what dpkg has to do to get from the entry have, which may be of
// the same version as pkg, to pkg installed.
func (d *deb) plan(ctx context.Context, img agent.Image, pkg control, db database, have entry, same bool) ([]string, error) {
	if same {
		switch have.State {
		case "unpacked", "half-configured":
			return []string{"--configure", have.ref()}, nil
		case "triggers-awaited", "triggers-pending":
			return []string{"--triggers-only", "-a"}, nil
		}
	}
	newer, err := have.is(ctx, ">>", pkg.Version)
	if err != nil {
		return nil, err
	}
	if newer {
		return nil, refuse(ota.OldVersion, "%s %s is installed, which is newer than %s", pkg.Name, have.Version, pkg.Version)
	}
	if err := d.accepts(ctx, pkg); err != nil {
		return nil, err
	}
	unmet, err := db.unmet(ctx, pkg)
	if err != nil {
		return nil, err
	}
	if len(unmet) > 0 {
		return nil, refuse(ota.DependencyFailure, "%s %s was not unpacked, its dependencies are not met: %s", pkg.Name, pkg.Version, strings.Join(unmet, ", "))
	}
	if err := checkContents(ctx, img.Path); err != nil {
		return nil, err
	}
	return []string{"-i", img.Path}, nil
}

// judge asks the database how a run of dpkg ended.
func (d *deb) judge(ctx context.Context, pkg control, said output) (agent.Outcome, error) {
	if said.Status != 0 && said.mentions("locked by another process") {
		return agent.Outcome{}, errBusy
	}
	db, err := d.database(ctx)
	if err != nil {
		return agent.Outcome{}, err
	}
	have := db.find(pkg)
	same, err := have.is(ctx, "=", pkg.Version)
	if err != nil {
		return agent.Outcome{}, err
	}
	if same && have.settled() {
		return agent.Outcome{Code: ota.OK, Text: said.Stdout}, nil
	}
	code := ota.InstallFailed
	switch {
	case said.mentions("No space left on device"):
		code = ota.DiskFull
	case said.mentions("dependency problems"), said.mentions("pre-dependency problem"),
		said.mentions("conflicting packages"), said.mentions("would break"):
		code = ota.DependencyFailure
	}
	d.log.Warn("dpkg did not install the package", "package", pkg.Name, "version", pkg.Version, "code", code, "exit", said.How)
	return agent.Outcome{Code: code, Text: said.both()}, nil
}

// flags are what every run of dpkg gets. The only forces are those that keep
// it from asking about configuration files, and the one without which it
// refuses an ordinary user's scratch root.
func (d *deb) flags() []string {
	flags := []string{"-E", "-G", "--force-confdef", "--force-confold"}
	if d.root == "/" {
		return flags
	}
	if os.Geteuid() != 0 {
		flags = append(flags, "--force-not-root")
	}
	return append([]string{"--root=" + d.root}, flags...)
}
