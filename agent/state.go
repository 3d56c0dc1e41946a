package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// State is what the client has learned and must not forget, in a directory of
// its own (0700):
//
//	lock            held while a client runs; contains its pid
//	identity.json   whose journal this is
//	starts          how often a client has started here; see Told
//	journal/        one small file for each update; see Entry
//	work/           scratch directories of the installer, one for each update
//	clock.json      what a server last said of the time
//	old-TIME/       the same of an earlier identity; the latest few
//
// Only the interpreter writes it.
type State struct {
	dir     *folder
	journal *folder
	lock    *os.File
	log     *slog.Logger
	fault   func(point string)

	orphans []ota.UpdateID // had files in packages_dir under an earlier identity
	entries map[ota.UpdateID]*Entry
	last    int64 // highest Seq given
	starts  uint64
}

// Identity is which device talks to which server. A journal is true for one
// identity only.
type Identity struct {
	UUID   string
	Server string
}

// StateOptions are the parts OpenState may do without.
type StateOptions struct {
	Log *slog.Logger
	// Fault is called before and after each step that is made durable, with
	// one of FaultPoints; crash tests end the process there.
	Fault func(point string)
}

// OpenState opens a state directory, makes it if needed, and locks it. State
// of another identity is set aside in old-TIME. It fails if another client
// holds the lock (the text names its pid), if the directory is a link or not
// ours, if something in it cannot be read or written, or if anyone could tamper
// with it (a directory above is writable for everyone and not sticky).
func OpenState(dir string, id Identity, o StateOptions) (*State, error) {
	s := &State{log: o.Log, fault: o.Fault, entries: make(map[ota.UpdateID]*Entry)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.fault == nil {
		s.fault = func(string) {}
	}
	if err := s.open(dir, id); err != nil {
		s.Close()
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return s, nil
}

func (s *State) open(dir string, id Identity) (err error) {
	if s.dir, err = openPrivate(dir); err != nil {
		return err
	}
	if err := s.acquire(); err != nil {
		return err
	}
	if err := s.identify(id); err != nil {
		return err
	}
	if err := s.dropOld(); err != nil {
		return err
	}
	if err := s.countStart(); err != nil {
		return err
	}
	if s.journal, err = s.dir.private(journalDir); err != nil {
		return err
	}
	return s.load()
}

// Close releases the lock.
func (s *State) Close() error {
	var errs []error
	for _, d := range []*folder{s.journal, s.dir} {
		if d != nil {
			errs = append(errs, d.close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

const (
	lockFile     = "lock"
	identityFile = "identity.json"
	journalDir   = "journal"
	workDir      = "work"
)

// acquire takes the lock and writes our pid into it. The kernel drops the
// lock with the process, however that ends.
func (s *State) acquire() error {
	f, err := s.dir.open(lockFile, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		pid := "unknown"
		if data, err := s.dir.read(lockFile, 64); err == nil && len(data) > 0 {
			pid = strings.TrimSpace(string(data))
		}
		return fmt.Errorf("%s is in use by another updraft-agent, pid %s", s.dir.path, pid)
	}
	s.lock = f
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// identify makes sure that what is in the directory belongs to id.
func (s *State) identify(id Identity) error {
	want, err := json.Marshal(id)
	if err != nil {
		return err
	}
	got, err := s.dir.read(identityFile, 64<<10)
	switch {
	case err == nil && string(got) == string(want):
		return nil
	case err == nil:
		if err := s.setAside(got); err != nil {
			return err
		}
		s.log.Warn("this device or its server is another than before: the journal starts anew", "uuid", id.UUID, "server", id.Server)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return s.dir.write(identityFile, want)
}

// setAside moves everything of the old identity into a directory. Crashing
// half-way leaves the old identity in charge of the rest, which moves at the
// next start.
func (s *State) setAside(identity []byte) error {
	old, err := s.dir.private(oldPrefix + time.Now().UTC().Format("20060102T150405.000000000Z"))
	if err != nil {
		return err
	}
	defer old.close()
	if err := old.write(identityFile, identity); err != nil {
		return err
	}
	for _, name := range []string{journalDir, workDir} {
		if err := s.dir.rename(name, old, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s.orphans = filesOf(old)
	if err := old.sync(); err != nil {
		return err
	}
	return s.dir.sync()
}

// filesOf lists the updates of a journal set aside that may have files in
// packages_dir. What cannot be read is nobody's loss but the disk's.
func filesOf(old *folder) []ota.UpdateID {
	journal, err := old.private(journalDir)
	if err != nil {
		return nil
	}
	defer journal.close()
	names, _ := journal.names()
	var ids []ota.UpdateID
	for _, name := range names {
		var e Entry
		if data, err := journal.read(name, maxEntry); err == nil && json.Unmarshal(data, &e) == nil && e.Step != Known && e.Step != Dropped {
			ids = append(ids, e.Update)
		}
	}
	return ids
}

const (
	oldPrefix = "old-"
	keepOld   = 3 // earlier identities that are remembered
)

// dropOld forgets the earliest identities.
func (s *State) dropOld() error {
	names, err := s.dir.names()
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, oldPrefix) })
	slices.Sort(names)
	for _, name := range names[:max(len(names)-keepOld, 0)] {
		if err := os.RemoveAll(filepath.Join(s.dir.path, name)); err != nil {
			s.log.Warn("cannot remove what is left of an earlier identity", "err", err)
		}
	}
	return nil
}

// workDir makes the installer's scratch directory for an update.
func (s *State) workDir(id ota.UpdateID) (string, error) {
	work, err := s.dir.private(workDir)
	if err != nil {
		return "", err
	}
	defer work.close()
	d, err := work.private(fileName(id))
	if err != nil {
		return "", err
	}
	defer d.close()
	return d.path, nil
}

// dropWorkDir removes it again.
func (s *State) dropWorkDir(id ota.UpdateID) error {
	return os.RemoveAll(filepath.Join(s.dir.path, workDir, fileName(id)))
}
