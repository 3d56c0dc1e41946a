package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
)

// socketFile is a socket in the file system, held so that nobody can put a
// link or another file in its place while we use it: by default it lies in
// /tmp.
type socketFile struct{ *os.File }

// openSocket opens path, which must be a socket and no link.
func openSocket(path string) (socketFile, error) {
	if err := agent.CheckFolder(filepath.Dir(path)); err != nil {
		return socketFile{}, err
	}
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return socketFile{}, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Type() != os.ModeSocket {
		err = fmt.Errorf("%s is there, and is not a socket: remove it or choose another path", path)
	}
	if err != nil {
		f.Close()
		return socketFile{}, err
	}
	return socketFile{f}, nil
}

// path names this very file.
func (s socketFile) path() string { return fmt.Sprintf("/proc/self/fd/%d", s.Fd()) }

// connect finds out who listens.
func (s socketFile) connect(ctx context.Context) (*net.UnixConn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "unix", s.path())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// listenSocket listens on path, with mode 0660. A socket there that nobody
// listens on is replaced; any other file, and a socket that is in use, is an
// error. Closing the listener removes the file.
func listenSocket(path string) (*net.UnixListener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// What Linux gives the file is the mode of the socket, less the umask, so
	// that it is at no time open to more than it should be.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := admitGroup(path); err != nil {
		l.Close()
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

const socketMode = 0o660

// admitGroup gives what the umask took away.
func admitGroup(path string) error {
	s, err := openSocket(path)
	if err != nil {
		return err
	}
	defer s.Close()
	return os.Chmod(s.path(), socketMode)
}

// removeStale removes a socket that a crashed client left.
func removeStale(path string) error {
	s, err := openSocket(path)
	if errors.Is(err, os.ErrNotExist) {
		// No file: but the folder may be missing, too, which Listen tells.
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	conn, err := s.connect(context.Background())
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("%s is in use by another program", path)
	case !errors.Is(err, unix.ECONNREFUSED):
		return err
	}
	return os.Remove(path)
}
