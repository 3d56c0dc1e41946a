package pacman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"
)

// errBusy says that another process held a lock when it was wanted.
var errBusy = errors.New("locked by another process")

// patience is how long to wait between looks: short at first, because most
// installations are, and at most some seconds.
func patience() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 5*time.Second
	return b
}

// wait looks again and again until no process, named by what look returns,
// is in the way. It ends with ctx's error when ctx does.
func (r runner) wait(ctx context.Context, what string, look func() (pid string, err error)) error {
	delays := patience()
	told := false
	for {
		pid, err := look()
		if err != nil || pid == "" {
			return err
		}
		if !told {
			r.log.Info("waiting for "+what, "pid", pid)
			told = true
		}
		if err := r.pause(ctx, delays.NextBackOff()); err != nil {
			return err
		}
	}
}

// awaitDatabase waits until nobody, in particular no package manager that an
// earlier run of the client left behind, works on the database, whose locks
// are the files.
func (r runner) awaitDatabase(ctx context.Context, locks ...string) error {
	return r.wait(ctx, "the package database", func() (string, error) {
		pid, err := holder(locks...)
		if err != nil || pid == 0 {
			return "", err
		}
		return strconv.Itoa(pid), nil
	})
}

// locks are the files by which dpkg and its front ends lock its database.
func (d *deb) locks() []string {
	return []string{filepath.Join(d.admindir(), "lock-frontend"), filepath.Join(d.admindir(), "lock")}
}

// holder is the process that holds an fcntl lock on one of the files, 0 if
// none does.
func holder(locks ...string) (int, error) {
	for _, path := range locks {
		pid, err := lockedBy(path)
		if err != nil || pid != 0 {
			return pid, err
		}
	}
	return 0, nil
}

// lockedBy is the process that holds an fcntl lock on a file, 0 if none does
// or the file is not there.
func lockedBy(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for a running package manager: %w", err)
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l); err != nil {
		return 0, fmt.Errorf("look for a running package manager: %s: %w", path, err)
	}
	if l.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(l.Pid), nil
}
