package ab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// Installer installs images into slots; see the package's comment.
type Installer struct {
	cfg      agent.ABConfig
	env      environment
	stateDir string
	log      *slog.Logger
	fault    func(point string)
	files    files
	pause    func(context.Context, time.Duration) error
}

// files are the kernel's, or those of a test's world.
type files struct{ cmdline, bootID string }

// Options are what New needs beside the configuration.
type Options struct {
	// StateDir is the client's state directory. It must be the same, and on
	// the same file system, whichever slot runs.
	StateDir string
	Log      *slog.Logger // nil means slog.Default
	// Fault is called before and after everything that lasts; crash tests end
	// the process there.
	Fault func(point string)
}

// New makes an installer of a configuration that is valid (agent.Config's
// Validate). It fails with KindInvalid for a boot loader it does not know.
func New(cfg agent.ABConfig, o Options) (*Installer, error) {
	in := &Installer{
		cfg: cfg, stateDir: o.StateDir, log: o.Log, fault: o.Fault, pause: pause,
		files: files{cmdline: "/proc/cmdline", bootID: "/proc/sys/kernel/random/boot_id"},
	}
	if in.log == nil {
		in.log = slog.Default()
	}
	if in.fault == nil {
		in.fault = func(string) {}
	}
	switch cfg.Bootloader {
	case "uboot":
		in.env = uboot{cfg.FwEnvConfig}
	case "grub":
		in.env = grub{cfg.Grubenv}
	default:
		return nil, ota.Invalid("ab.bootloader: expected uboot or grub, not %q", cfg.Bootloader)
	}
	return in, nil
}

var _ agent.Installer = (*Installer)(nil)

// Installed tells what the running slot holds: one package, or none if that
// slot was not written by an update. It fails with KindUnavailable while the
// slot is on trial, as it may be gone after the next start, and if the running
// slot or the boot environment cannot be told.
func (in *Installer) Installed(ctx context.Context) ([]ota.PackageID, error) {
	here, err := in.running(ctx)
	if err != nil {
		return nil, err
	}
	c, err := in.env.read(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the boot environment: %w", err)
	case c.Keep == here.Other():
		return nil, ota.Fail(ota.KindUnavailable, "slot_on_trial", "slot %s is on trial: it is not known yet what is installed", here)
	}
	known, err := in.contents()
	if err != nil {
		return nil, err
	}
	if h, ok := known[here]; ok {
		return []ota.PackageID{h.Package}, nil
	}
	return nil, nil
}

// Install writes an image into the slot that does not run, has the device
// restart into it and, called again then, says what came of it. It returns
// only when that is known, or ctx ends: while the device restarts, it waits.
// The codes, beside OK:
//   - ALREADY_PROCESSED: the running slot holds this very image
//   - DISK_FULL: the image is larger than the slot, or a disk is full
//   - VALIDATION_FAILED: the image is not the one the client verified
//   - WRITE_PARTITION_FAILED: the slot is in use, cannot be written, or does
//     not read back what was written
//   - INSTALL_FAILED: the boot environment could not be changed, the device
//     did not restart, the new slot did not come up or is not healthy
//   - GENERAL_ERROR: the image or a file of the client's own cannot be read
//     or written
func (in *Installer) Install(ctx context.Context, img agent.Image) agent.Outcome {
	u := &update{Installer: in, img: img}
	out, err := u.run(ctx)
	if err != nil {
		return failure(err)
	}
	return out
}

// refusal is a failure with a code of its own.
type refusal agent.Outcome

func (r *refusal) Error() string { return r.Text }

func refuse(code ota.ResultCode, format string, args ...any) error {
	return &refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// failure turns an error into an outcome.
func failure(err error) agent.Outcome {
	if r, ok := errors.AsType[*refusal](err); ok {
		return agent.Outcome(*r)
	}
	code := ota.GeneralError
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = ota.DiskFull
	}
	return agent.Outcome{Code: code, Text: err.Error()}
}
