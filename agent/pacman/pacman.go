// Package pacman holds the built-in ways to install an image, a file per way.
// Which one a device uses is its device.package_manager (client.md 6):
//
//	off          none: an external installer acts on DownloadComplete
//	deb          dpkg; the answer is what its database says afterwards
//	rpm          rpm; likewise
//	command:PATH the integrator's program PATH: see command.go for its contract
//	file:PATH    a test double that notes each image in the file PATH
//
// Every way keeps the promise of agent.Installer: Install may be called again
// after a crash at any point, and then finishes what was begun. Programs that
// install run beside the client, not below it: run.go starts them, keeper.go
// looks after them.
package pacman

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// Options are what the ways have in common.
type Options struct {
	// Root is the directory that holds the installed system; "" means "/".
	Root string
	// Log hears what takes long or is worth knowing; nil means slog.Default.
	Log *slog.Logger
}

// New returns the way to install that spec, a device.package_manager, names.
// For "off" that is nil, without an error. Only the scheme is read without
// regard to letter case, so the path of "file:" stays as it is. It fails with
// KindInvalid for a spec that is unknown, lacks its path, or names a package
// manager this build does not have, and for a root that is no absolute path.
func New(spec string, o Options) (agent.Installer, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Root = filepath.Clean(cmp.Or(o.Root, "/"))
	if !filepath.IsAbs(o.Root) {
		return nil, ota.Invalid("package root %q: write an absolute path", o.Root)
	}
	scheme, rest, hasRest := strings.Cut(spec, ":")
	switch scheme = strings.ToLower(scheme); {
	case scheme == "off" && !hasRest:
		return nil, nil
	case scheme == "deb" && !hasRest:
		return &deb{root: o.Root, runner: newRunner(o)}, nil
	case scheme == "rpm" && !hasRest:
		return &rpm{root: o.Root, runner: newRunner(o)}, nil
	case scheme == "command" && filepath.IsAbs(rest):
		return &command{program: rest, root: o.Root, runner: newRunner(o)}, nil
	case scheme == "command":
		return nil, ota.Invalid("package manager %q: write the absolute path of a program after %q", spec, scheme+":")
	case scheme == "file" && rest != "":
		return list{path: rest}, nil
	case scheme == "file" || scheme == "otb" && rest == "":
		return nil, ota.Invalid("package manager %q: write a path after %q", spec, scheme+":")
	case scheme == "otb":
		return nil, ota.Invalid("package manager %q is not supported by this build: use %s", spec, ways)
	}
	return nil, ota.Invalid("package manager %q is unknown: use %s", spec, ways)
}

const ways = "deb, rpm, command:PATH, file:PATH or off"

// sleep waits for d or until ctx ends, and then returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
