package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// openInput opens a file that somebody wrote for the client to read: its
// configuration, keys or certificates. Links are followed but for those in
// directories that everyone can write to, as /tmp is: they may be anyone's.
func openInput(path string) (*os.File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	at, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.Trim(abs, "/"), "/")
	for i, name := range names {
		flags := unix.O_RDONLY | unix.O_CLOEXEC
		if i < len(names)-1 {
			flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
		}
		next, err := openUnlinked(at, name, flags)
		at.Close()
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		at = next
	}
	return at, nil
}

// openUnlinked opens name in dir. If everyone can write to dir it must not be
// a link.
func openUnlinked(dir *os.File, name string, flags int) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return nil, err
	}
	open := st.Mode&unix.S_IWOTH != 0
	if open {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(int(dir.Fd()), name, flags, 0)
	if open && (errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR)) {
		return nil, fmt.Errorf("%w: %s is no link that may be followed, as everyone can write to its directory", err, name)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
