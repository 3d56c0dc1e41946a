package pacman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sys/unix"
)

// errBusy says that another process held the database when dpkg wanted it.
var errBusy = errors.New("the package database is locked by another process")

// patience is how long to wait between looks: short at first, because most
// runs of dpkg are, and at most some seconds.
func patience() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 50*time.Millisecond, 5*time.Second
	return b
}

// awaitDatabase waits until nobody, in particular no dpkg that an earlier run
// of the client left behind, works on the database. It ends with ctx's error
// when ctx does.
func (d *deb) awaitDatabase(ctx context.Context) error {
	delays := patience()
	told := false
	for {
		pid, err := d.holder()
		if err != nil || pid == 0 {
			return err
		}
		if !told {
			d.log.Info("waiting for the package database", "held_by_pid", pid)
			told = true
		}
		if err := d.pause(ctx, delays.NextBackOff()); err != nil {
			return err
		}
	}
}

// holder is the process that holds one of dpkg's locks, 0 if none does.
func (d *deb) holder() (int, error) {
	for _, name := range []string{"lock-frontend", "lock"} {
		pid, err := lockedBy(filepath.Join(d.admindir(), name))
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
		return 0, fmt.Errorf("look for a running dpkg: %w", err)
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l); err != nil {
		return 0, fmt.Errorf("look for a running dpkg: %s: %w", path, err)
	}
	if l.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(l.Pid), nil
}
