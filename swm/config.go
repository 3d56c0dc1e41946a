package swm

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// configure puts a file of the image into its place below the root, whole or
// not at all. A file that is there keeps its mode; a new one gets 0644.
func (j *job) configure() (outcome, error) {
	root, err := os.OpenRoot(j.Root)
	if err != nil {
		return outcome{}, err
	}
	defer root.Close()
	from, err := os.Open(j.file)
	if err != nil {
		return outcome{}, err
	}
	defer from.Close()
	name := strings.TrimPrefix(j.Path, "/")
	mode := fs.FileMode(0o644)
	switch st, err := root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return outcome{}, err
	case !st.Mode().IsRegular():
		return result(j.Kind.Failure(), "%s is there, and is not a file", j.Path)
	default:
		mode = st.Mode().Perm()
		if same, err := equal(root, name, from); err != nil || same {
			if err != nil {
				return outcome{}, err
			}
			return j.done(j.Path + " is as it should be")
		}
	}
	if err := place(root, name, from, mode); err != nil {
		return outcome{}, err
	}
	return result(ota.OK, "%s is written", j.Path)
}

// equal reports whether a file has the content that is read from its beginning.
func equal(root *os.Root, name string, want io.ReadSeeker) (bool, error) {
	have, err := root.Open(name)
	if err != nil {
		return false, err
	}
	defer have.Close()
	if _, err := want.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	a, b := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, aerr := io.ReadFull(have, a)
		m, berr := io.ReadFull(want, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		switch {
		case aerr == nil && berr == nil:
		case atEnd(aerr) && atEnd(berr):
			return true, nil
		default:
			return false, errors.Join(aerr, berr)
		}
	}
}

func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// place writes a file durably.
func place(root *os.Root, name string, from io.ReadSeeker, mode fs.FileMode) error {
	dir := path.Dir(name)
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	temp := name + ".swm-new"
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		root.Remove(temp)
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		return err
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
