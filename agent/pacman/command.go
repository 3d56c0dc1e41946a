package pacman

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// command lets a program of the integrator's install, whatever that takes.
// This is the contract; examples/ has programs that keep it.
//
// To install an image, the program is run without a shell and with one
// argument, the absolute path of the verified image. Its environment is
//
//	UPDRAFT_IMAGE      the same path
//	UPDRAFT_UPDATE_ID  the update
//	UPDRAFT_PACKAGE    name and
//	UPDRAFT_VERSION    version of the package, as the server calls them
//	UPDRAFT_ROOT       device.package_root
//	UPDRAFT_WORK_DIR   a directory of its own, kept until it has reported
//	UPDRAFT_ATTEMPT    1, or more if earlier runs were cut short
//
// beside PATH, HOME, LC_ALL=C and DEBIAN_FRONTEND; its working directory is /,
// its standard input is empty, and it runs as the client's user.
//
// Its exit status is the result, see codeOf; the end of what it writes is the
// report's text, standard error only after a failure.
//
// It is not run twice at a time, nor again once it has exited. It is run again
// only if it was cut short together with its keeper, by a power cut, say. So
// it must be able to go on from anywhere, and must not reboot the device
// before it has exited.
//
// With the argument "list" it writes what is installed, a line "NAME VERSION"
// for each package, and exits with 0.
type command struct {
	program string // absolute path
	root    string
	runner
}

// Installed asks the program. It fails if that cannot be started or fails.
// Lines without a space are skipped.
func (c *command) Installed(ctx context.Context) ([]ota.PackageID, error) {
	out, err := askWith(ctx, append(environment(), "UPDRAFT_ROOT="+c.root), c.program, "list")
	if err != nil {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	var ids []ota.PackageID
	for line := range strings.Lines(string(out)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		if version = strings.TrimSpace(version); version != "" {
			ids = append(ids, ota.PackageID{Name: name, Version: version})
		}
	}
	return ids, nil
}

// Install runs the program, unless an earlier run goes on, which is waited
// for, or has ended, whose outcome it is then. The codes are those of codeOf,
// and GENERAL_ERROR if the program cannot be started.
func (c *command) Install(ctx context.Context, img agent.Image) agent.Outcome {
	said, err := c.result(ctx, img)
	if err != nil {
		return failure(err)
	}
	code := codeOf(said)
	if code.Success() {
		return agent.Outcome{Code: code, Text: said.Stdout}
	}
	return agent.Outcome{Code: code, Text: said.both()}
}

func (c *command) result(ctx context.Context, img agent.Image) (output, error) {
	img, err := absolute(img)
	if err != nil {
		return output{}, err
	}
	before, err := c.await(ctx, img.WorkDir)
	if err != nil || before.ended {
		return before.last, err
	}
	own := filepath.Join(img.WorkDir, "own")
	if err := os.MkdirAll(own, 0o700); err != nil {
		return output{}, err
	}
	env := append(environment(),
		"UPDRAFT_IMAGE="+img.Path,
		"UPDRAFT_UPDATE_ID="+string(img.Update),
		"UPDRAFT_PACKAGE="+img.Package.Name,
		"UPDRAFT_VERSION="+img.Package.Version,
		"UPDRAFT_ROOT="+c.root,
		"UPDRAFT_WORK_DIR="+own,
		"UPDRAFT_ATTEMPT="+strconv.Itoa(before.starts+1),
	)
	return c.run(ctx, img, env, c.program, img.Path)
}

// statusAlready is the exit status for ALREADY_PROCESSED, whose own number is
// not fit for it.
const statusAlready = 20

// codeOf is what a program's end means:
//
//	0, 2 to 19  the result code of that number (seed 002)
//	1           INSTALL_FAILED: most programs that fail say no more than that,
//	            and ALREADY_PROCESSED, code 1, would make a success of it
//	20          ALREADY_PROCESSED
//	others      GENERAL_ERROR, also if the program could not be started
//	a signal    INSTALL_FAILED
func codeOf(said output) ota.ResultCode {
	switch s := said.Status; {
	case said.Killed, s == 1:
		return ota.InstallFailed
	case s == statusAlready:
		return ota.AlreadyProcessed
	case s >= 0 && ota.ResultCode(s).Valid():
		return ota.ResultCode(s)
	}
	return ota.GeneralError
}
