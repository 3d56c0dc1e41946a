package rvikeys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// file is one to be made.
type file struct {
	name string
	data []byte
	mode os.FileMode
}

// How files get into a folder, all or none: they are written into a folder
// below it, which is then renamed to madeName. From then on they are there, and
// whoever comes next moves those that have not been moved yet.
const (
	makingName = ".making"
	madeName   = ".made"
)

// lay puts the files that make makes, if any, into folder, one process at a
// time. make sees what was laid before, also by one that was interrupted.
func lay(folder string, make func() ([]file, error)) error {
	lock, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer lock.Close() // and unlock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", folder, err)
	}
	making, made := filepath.Join(folder, makingName), filepath.Join(folder, madeName)
	if err := errors.Join(os.RemoveAll(making), settle(lock, made)); err != nil {
		return err
	}
	files, err := make()
	if err != nil || len(files) == 0 {
		return err
	}
	if err := write(making, files, lock); err != nil {
		return errors.Join(err, os.RemoveAll(making))
	}
	if err := errors.Join(os.Rename(making, made), lock.Sync()); err != nil {
		return err
	}
	return settle(lock, made)
}

// write makes a folder of files, durable when it returns nil. What root makes
// is the owner's whose folder it is for, or a server that is not root could not
// read it.
func write(dir string, files []file, parent *os.File) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return err
		}
		_, err = w.Write(f.data)
		if err = errors.Join(err, giveTo(w, parent), w.Sync(), w.Close()); err != nil {
			return err
		}
	}
	return syncFolder(dir)
}

// settle moves files up from where they were made.
func settle(folder *os.File, made string) error {
	entries, err := os.ReadDir(made)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(made, e.Name()), filepath.Join(folder.Name(), e.Name())); err != nil {
			return err
		}
	}
	return errors.Join(folder.Sync(), os.Remove(made), folder.Sync())
}

// makeFolder makes a folder for its owner alone, or makes it that.
func makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = os.Chmod(path, 0o700)
		}
		return err
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return errors.Join(giveTo(dir, parent), parent.Sync())
}

// giveTo gives what root made to the owner of another folder.
func giveTo(f, like *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(like.Fd()), &st); err != nil {
		return err
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

// absent are those paths at which there is nothing.
func absent(paths []string) (missing []string) {
	for _, p := range paths {
		if _, err := os.Lstat(p); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, p)
		}
	}
	return missing
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
