package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is an open directory. What is in it is reached through it, never by
// path, so that nobody can put a link or a file of his own in the way:
// packages_dir is /tmp/ by default.
type folder struct {
	dir  *os.File
	path string // absolute, for messages and for those who need a name
}

// openFolder opens a directory, and if create is set makes what is missing with
// mode 0700. Of the directories on the way, those that everyone can write to must be sticky,
// and what is opened in them must be no link and belong to us or to root.
// Links that only root or the integrator can have made are followed.
func openFolder(path string, create bool) (*folder, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	at := "/"
	for name := range strings.SplitSeq(strings.Trim(abs, "/"), "/") {
		if name == "" {
			continue // path is "/"
		}
		next, err := enter(dir, at, name, create)
		dir.Close()
		if err != nil {
			return nil, err
		}
		dir, at = next, filepath.Join(at, name)
	}
	defer dir.Close()
	if _, err := shared(dir, at); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: at, Err: err}
	}
	return &folder{dir: os.NewFile(uintptr(fd), at), path: at}, nil
}

// CheckFolder looks for a way in which others could put something of theirs
// into the place of a file in the directory path, and fails with it: a link on
// the way that anyone can have made, or a directory that everyone can write to
// and that is not sticky. It fails, too, if path is no directory.
func CheckFolder(path string) error {
	d, err := openFolder(path, false)
	if err != nil {
		return err
	}
	return d.close()
}

// enter opens the directory name in dir, which is at path at.
func enter(dir *os.File, at, name string, create bool) (*os.File, error) {
	open, err := shared(dir, at)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(at, name)
	flags := unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	if open {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(int(dir.Fd()), name, flags, 0)
	if create && errors.Is(err, unix.ENOENT) {
		if err := unix.Mkdirat(int(dir.Fd()), name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, &os.PathError{Op: "mkdir", Path: path, Err: err}
		}
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open directory", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if !open {
		return f, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		f.Close()
		return nil, fmt.Errorf("%s belongs to user %d: everyone can write to %s, so only what is ours is used there", path, st.Uid, at)
	}
	return f, nil
}

// shared reports whether everyone can write to dir. It fails if everyone can
// even replace what others put there.
func shared(dir *os.File, path string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return false, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IWOTH == 0 {
		return false, nil
	}
	if st.Mode&unix.S_ISVTX == 0 {
		return false, fmt.Errorf("everyone can replace files in %s: choose another directory or set its sticky bit (chmod +t)", path)
	}
	return true, nil
}

// openPrivate opens a directory that is for us alone: itself no link, ours,
// and 0700 from now on.
func openPrivate(path string) (*folder, error) {
	d, err := openFolder(filepath.Dir(filepath.Clean(path)), true)
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.private(filepath.Base(filepath.Clean(path)))
}

// private opens the directory name in d for us alone, making it if needed.
func (d *folder) private(name string) (*folder, error) {
	path := filepath.Join(d.path, name)
	if err := unix.Mkdirat(d.fd(), name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	fd, err := unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open directory (links are not followed)", Path: path, Err: err}
	}
	sub := &folder{dir: os.NewFile(uintptr(fd), path), path: path}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		sub.close()
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		sub.close()
		return nil, fmt.Errorf("%s belongs to user %d, not to us (%d): remove it or choose another", path, st.Uid, os.Geteuid())
	}
	if st.Mode&0o077 != 0 {
		if err := sub.dir.Chmod(0o700); err != nil {
			sub.close()
			return nil, err
		}
	}
	return sub, nil
}

func (d *folder) fd() int      { return int(d.dir.Fd()) }
func (d *folder) close() error { return d.dir.Close() }

// sync makes renames and removals in the directory durable.
func (d *folder) sync() error { return d.dir.Sync() }

// open opens a file of ours: no link, regular, with one name, owned by us.
// Flags are those of open(2); a new file gets mode 0600.
func (d *folder) open(name string, flags int) (*os.File, error) {
	path := filepath.Join(d.path, name)
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK // a FIFO must not hold us up
	fd, err := unix.Openat(d.fd(), name, flags, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = errors.New("not a regular file")
	case int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("belongs to user %d, not to us (%d)", st.Uid, os.Geteuid())
	case st.Nlink != 1:
		err = fmt.Errorf("has %d names where one is expected", st.Nlink)
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// read returns a file of ours. It fails if it is longer than limit bytes.
func (d *folder) read(name string, limit int64) ([]byte, error) {
	f, err := d.open(name, unix.O_RDONLY)
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

// write puts data into place, durably and in one step.
func (d *folder) write(name string, data []byte) error {
	tmp := tmpPrefix + name
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
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.rename(tmp, d, name)
	}
	if err != nil {
		return errors.Join(err, d.remove(tmp))
	}
	return d.sync()
}

// tmpPrefix marks files that are not finished.
const tmpPrefix = ".tmp-"

// rename moves a name to another folder, or within this one.
func (d *folder) rename(name string, to *folder, as string) error {
	if err := unix.Renameat(d.fd(), name, to.fd(), as); err != nil {
		return &os.LinkError{Op: "rename", Old: filepath.Join(d.path, name), New: filepath.Join(to.path, as), Err: err}
	}
	return nil
}

// remove unlinks a file; one that is not there is no error.
func (d *folder) remove(name string) error {
	if err := unix.Unlinkat(d.fd(), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: filepath.Join(d.path, name), Err: err}
	}
	return nil
}

// names lists what is in the directory, in no order.
func (d *folder) names() ([]string, error) {
	again, err := unix.Openat(d.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	f := os.NewFile(uintptr(again), d.path)
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name()
	}
	return list, nil
}

// has reports whether there is anything of that name.
func (d *folder) has(name string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT):
		return false, nil
	}
	return false, &os.PathError{Op: "stat", Path: filepath.Join(d.path, name), Err: err}
}
