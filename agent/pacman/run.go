package pacman

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/updraft-ota/updraft/agent"
)

// runner starts what installs, apart from the client, and finds it again.
type runner struct {
	log   *slog.Logger
	pause func(context.Context, time.Duration) error
	host  host
}

func newRunner(o Options) runner { return runner{log: o.Log, pause: sleep, host: thisHost()} }

// absolute gives an image paths that mean the same to programs in another
// directory.
func absolute(img agent.Image) (agent.Image, error) {
	path, err := filepath.Abs(img.Path)
	if err != nil {
		return img, err
	}
	work, err := filepath.Abs(img.WorkDir)
	img.Path, img.WorkDir = path, work
	return img, err
}

// run has a keeper run a program and says how that ended. If ctx ends first
// both go on, and the answer is ctx's error. It fails with errBusy if an
// earlier run for the image still goes on.
//
// They live in a session of their own, outside the control group of the
// client's service where there is one, and write to files: the client may be
// killed at any time, and they must neither get that signal nor a broken pipe.
func (r runner) run(ctx context.Context, img agent.Image, env []string, argv ...string) (output, error) {
	lock, err := lockRun(img.WorkDir)
	if err != nil {
		return output{}, err
	}
	defer lock.Close() // the keeper has it, too
	before, err := readPast(img.WorkDir)
	if err != nil {
		return output{}, err
	}
	if err := before.begin(img.WorkDir); err != nil {
		return output{}, fmt.Errorf("note that a run starts: %w", err)
	}
	scope := r.host.scope(string(img.Update), before.starts+1)
	said, err := r.keeper(ctx, lock, img.WorkDir, env, scope, argv)
	if scope != nil && errors.Is(err, errNotBegun) {
		r.log.Warn("the installation cannot leave the client's control group: a stop of the client would end it", "err", err)
		said, err = r.keeper(ctx, lock, img.WorkDir, env, nil, argv)
	}
	return said, err
}

// errNotBegun says that the keeper did not come to life.
var errNotBegun = errors.New("the installation did not begin")

func (r runner) keeper(ctx context.Context, lock *os.File, dir string, env, scope, argv []string) (output, error) {
	if err := lock.Truncate(0); err != nil {
		return output{}, err
	}
	trouble, err := newStream(dir, troubleName)
	if err != nil {
		return output{}, err
	}
	defer trouble.file.Close()
	// Through this process's own entry the program is found even if its file
	// has been replaced since.
	words := slices.Concat(scope, []string{fmt.Sprintf("/proc/%d/exe", os.Getpid()), keeperWord, dir}, argv)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = "/", env
	cmd.Stderr, cmd.ExtraFiles = trouble.file, []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return output{}, fmt.Errorf("%w: %w", errNotBegun, err)
	}
	r.log.Info("installation started", "pid", cmd.Process.Pid, "program", filepath.Base(argv[0]), "args", argv[1:], "scope", scope != nil)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return r.afterwards(dir, argv[0], lock, err, trouble)
	case <-ctx.Done():
		return output{}, ctx.Err()
	}
}

// afterwards reads what a keeper has left. If that is nothing it was killed,
// most likely together with all it ran.
func (r runner) afterwards(dir, program string, lock *os.File, exit error, trouble *stream) (output, error) {
	past, err := readPast(dir)
	if err != nil || past.ended {
		return past.last, err
	}
	if st, err := lock.Stat(); err != nil || st.Size() == 0 {
		return output{}, fmt.Errorf("%w: %w: %s", errNotBegun, errors.Join(exit, err), trouble.tail())
	}
	said := output{Program: filepath.Base(program), Status: -1, Killed: true, How: "its keeper ended first"}
	if exit != nil {
		said.How += ": " + exit.Error()
	}
	said.Stdout, said.Stderr = readEnd(dir, stdoutName), readEnd(dir, stderrName)+trouble.tail()
	return said, nil
}

// await waits until no run in a work directory, left behind by an earlier
// client, goes on, and says what is known of those that were. It ends with
// ctx's error when ctx does.
func (r runner) await(ctx context.Context, dir string) (past, error) {
	err := r.wait(ctx, "an installation that was started earlier", func() (string, error) {
		lock, err := lockRun(dir)
		if errors.Is(err, errBusy) {
			pid, _ := os.ReadFile(filepath.Join(dir, lockName))
			return string(pid), nil
		}
		if err != nil {
			return "", err
		}
		return "", lock.Close()
	})
	if err != nil {
		return past{}, err
	}
	return readPast(dir)
}
