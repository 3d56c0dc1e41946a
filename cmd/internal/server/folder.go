package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is the data folder while this process owns it.
type folder struct {
	dir  string
	lock *os.File
}

// claim makes the data folder if need be (0700) and takes its lock, which the
// kernel gives back however the process ends. Of a folder in use nothing is
// touched.
func claim(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &folder{dir, lock}, nil
	}
	defer lock.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s is in use by %s: stop it or give another --data", dir, owner(lock))
	}
	return nil, fmt.Errorf("lock %s: %w", dir, err)
}

// owner names who holds the lock, as far as the file tells.
func owner(lock *os.File) string {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return "another server"
	}
	return fmt.Sprintf("another server (pid %d)", pid)
}

// sign writes into the lock who holds it.
func (f *folder) sign() error {
	if err := f.lock.Truncate(0); err != nil {
		return err
	}
	_, err := f.lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// release gives the folder back. The lock file stays: were it removed,
// somebody could hold a lock on a file that is no longer there.
func (f *folder) release() { f.lock.Close() }

// writeFile puts a whole file in place, durable when it returns nil.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already if all went well
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
