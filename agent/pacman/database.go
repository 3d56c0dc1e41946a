package pacman

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// admindir is where dpkg keeps its database of root.
func (d *deb) admindir() string { return filepath.Join(d.root, "var/lib/dpkg") }

// database is what dpkg knows about a system.
type database struct {
	native  string // the architecture dpkg was built for
	entries []entry
}

// entry is a package as dpkg's database has it. The zero entry is one that it
// does not have.
type entry struct {
	Name, Version, Arch, MultiArch string
	Provides                       []clause
	Flag                           string // "ok" or "reinstreq"
	State                          string // such as "installed" or "half-configured" (dpkg(1), "Package states")
}

// database reads dpkg's database. It fails if dpkg-query cannot be started,
// fails, or gives an answer that is no database.
func (d *deb) database(ctx context.Context) (database, error) {
	native, err := ask(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return database{}, err
	}
	out, err := ask(ctx, "dpkg-query", "--admindir", d.admindir(), "-W",
		"-f", `${Package}\t${Version}\t${Architecture}\t${Multi-Arch}\t${Provides}\t${Status}\n`)
	if err != nil {
		return database{}, err
	}
	db := database{native: strings.TrimSpace(string(native))}
	for line := range strings.Lines(string(out)) {
		e, err := parseEntry(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return database{}, fmt.Errorf("dpkg-query: %w", err)
		}
		db.entries = append(db.entries, e)
	}
	return db, nil
}

func parseEntry(line string) (entry, error) {
	f := strings.Split(line, "\t")
	if len(f) != 6 {
		return entry{}, fmt.Errorf("line %q has %d fields, not 6", line, len(f))
	}
	status := strings.Fields(f[5])
	if len(status) != 3 {
		return entry{}, fmt.Errorf("status %q is not three words", f[5])
	}
	provides, err := parseClauses(f[4])
	if err != nil {
		return entry{}, fmt.Errorf("provides of %s: %w", f[0], err)
	}
	return entry{Name: f[0], Version: f[1], Arch: f[2], MultiArch: f[3], Provides: provides, Flag: status[1], State: status[2]}, nil
}

// find returns the entry that pkg would replace, or the zero entry. Instances
// of several architectures stand side by side only if all are Multi-Arch: same.
func (db database) find(pkg control) entry {
	i := slices.IndexFunc(db.entries, func(e entry) bool { return e.replacedBy(pkg) })
	if i < 0 {
		return entry{}
	}
	return db.entries[i]
}

func (e entry) replacedBy(pkg control) bool {
	return e.Name == pkg.Name && (e.Arch == pkg.Arch || e.MultiArch != "same" || pkg.MultiArch != "same")
}

// ref is the entry's name on dpkg's command line.
func (e entry) ref() string {
	if e.Arch == "all" {
		return e.Name
	}
	return e.Name + ":" + e.Arch
}

// settled reports whether the package is installed, with nothing left to do.
func (e entry) settled() bool { return e.State == "installed" && e.Flag == "ok" }

// usable reports whether others may depend on the package.
func (e entry) usable() bool {
	return e.State == "installed" || e.State == "triggers-pending" || e.State == "triggers-awaited"
}

// is compares the version that is on the system, if any, with another; op is
// one of the relations of deb-control(5).
func (e entry) is(ctx context.Context, op, version string) (bool, error) {
	if e.State == "" || e.State == "not-installed" || e.State == "config-files" || e.Version == "" {
		return false, nil
	}
	return compare(ctx, e.Version, op, version)
}

// compare lets dpkg compare two versions: its order is the one that counts.
func compare(ctx context.Context, a, op, b string) (bool, error) {
	_, err := ask(ctx, "dpkg", "--compare-versions", a, op, b)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}
