package rvi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is a client's directory. What is in it is opened through it, never by
// path, and never through a link.
type folder struct{ dir *os.File }

// openFolder makes a directory, for us alone (0700), and locks it. It fails if
// it is a link or another's, or if another client holds the lock.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open directory (links are not followed)", Path: path, Err: err}
	}
	d := &folder{os.NewFile(uintptr(fd), path)}
	if err := d.own(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *folder) own() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return &os.PathError{Op: "stat", Path: d.dir.Name(), Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to us (%d): remove it or choose another", d.dir.Name(), st.Uid, os.Geteuid())
	}
	if err := d.dir.Chmod(0o700); err != nil {
		return err
	}
	err := unix.Flock(d.fd(), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s is in use by another updraft-agent", d.dir.Name())
	}
	return err
}

func (d *folder) fd() int      { return int(d.dir.Fd()) }
func (d *folder) close() error { return d.dir.Close() }

// open opens a file of ours: no link, regular, with one name. A new one gets
// mode 0600.
func (d *folder) open(name string, flags int) (*os.File, error) {
	path := filepath.Join(d.dir.Name(), name)
	fd, err := unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || int(st.Uid) != os.Geteuid()) {
		err = errors.New("not a regular file of ours with one name")
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, f.Close())
	}
	return f, nil
}

// read returns a file; nil if there is none.
func (d *folder) read(name string, limit int64) ([]byte, error) {
	f, err := d.open(name, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", f.Name(), limit)
	}
	return data, err
}

// unfinished begins the names of files that are being written. No unit's name
// has it.
const unfinished = "%tmp-"

// write puts a file into place, durably and in one step.
func (d *folder) write(name string, data []byte) error {
	tmp := unfinished + name
	if err := d.remove(tmp); err != nil {
		return err
	}
	f, err := d.open(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.rename(tmp, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), d.remove(tmp))
	}
	return nil
}

// rename gives a file another name.
func (d *folder) rename(name, as string) error {
	if err := unix.Renameat(d.fd(), name, d.fd(), as); err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(d.dir.Name(), name), New: as, Err: err}
	}
	return d.dir.Sync()
}

// remove unlinks a file; one that is not there is no error.
func (d *folder) remove(name string) error {
	if err := unix.Unlinkat(d.fd(), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: filepath.Join(d.dir.Name(), name), Err: err}
	}
	return nil
}

// names lists what is there.
func (d *folder) names() ([]string, error) {
	fd, err := unix.Openat(d.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.dir.Name())
	defer f.Close()
	return f.Readdirnames(-1)
}

// room is how many bytes the disk has left for us; a large number if it does
// not tell.
func (d *folder) room() int64 {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd(), &st); err != nil {
		return 1 << 62
	}
	return int64(st.Bavail) * int64(st.Frsize)
}
