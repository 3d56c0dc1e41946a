package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// flash is what a device keeps while it has no power: images, manifests and a
// few facts. Facts are changed by one rename, which is what makes an
// installation happen or not.
type flash struct {
	dir     string
	size    int64   // of a place
	factory *uint64 // sequence number, nil for none

	mu        sync.Mutex
	delivered chan struct{} // an outcome was reported
	facts
}

// facts are what a device knows of itself.
type facts struct {
	Active   int       `json:"active"`             // the slot that runs
	Sequence *uint64   `json:"sequence,omitempty"` // of what runs
	Digest   string    `json:"digest,omitempty"`   // of the manifest it was installed by
	Trial    *trial    `json:"trial,omitempty"`
	Outcome  *outcome  `json:"outcome,omitempty"`
	Identity *identity `json:"identity,omitempty"`
}

// trial is what was installed and did not run yet.
type trial struct {
	Slot     int    `json:"slot"`
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"` // of its manifest's file
}

// outcome is how the last manifest ended.
type outcome struct {
	Code     ota.ResultCode `json:"code"`
	Sequence uint64         `json:"sequence"`
	Text     string         `json:"text,omitempty"`
	Report   []byte         `json:"report,omitempty"` // SUIT_Report, if one is to be sent
	Reported bool           `json:"reported,omitempty"`
}

// identity is what enrolment gave.
type identity struct {
	Path     string `json:"path"`
	Identity string `json:"psk_identity"`
	Key      []byte `json:"psk_key"`
}

const factsFile = "state.json"

// openFlash makes the folder if need be. Factory is the sequence number of a
// device that was never updated, nil for none.
func openFlash(dir string, size int64, factory *uint64) (*flash, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := &flash{dir: dir, size: size, factory: factory, delivered: make(chan struct{}, 1)}
	return f, f.load()
}

// load reads the facts as they were left.
func (f *flash) load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.facts = facts{Sequence: f.factory}
	path := filepath.Join(f.dir, factsFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := json.Unmarshal(text, &f.facts); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// claim keeps others from playing the same device, until what it returns is
// closed; the kernel gives the folder back however the process ends. The facts
// are those that the last one left.
func (f *flash) claim() (io.Closer, error) {
	lock, err := os.OpenFile(filepath.Join(f.dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		defer lock.Close()
		return nil, fmt.Errorf("%s is in use by %s: end it, or give another --data", f.dir, owner(lock))
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.dir, err), lock.Close())
	}
	err = lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err = errors.Join(err, f.load()); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// owner names who holds the lock, as far as the file tells.
func owner(lock *os.File) string {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return "another updraft sim"
	}
	return fmt.Sprintf("another updraft sim (pid %d)", pid)
}

// change changes the facts, on disk before it returns.
func (f *flash) change(how func(*facts)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.facts
	how(&next)
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := f.put(factsFile, append(text, '\n')); err != nil {
		return err
	}
	f.facts = next
	return nil
}

// now returns the facts as they are.
func (f *flash) now() facts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.facts
}

// put writes a small file, whole or not at all.
func (f *flash) put(name string, content []byte) error {
	path := filepath.Join(f.dir, name)
	t, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = t.Write(content)
	if err = errors.Join(err, t.Sync(), t.Close()); err != nil {
		return err
	}
	if err := os.Rename(t.Name(), path); err != nil {
		return err
	}
	return f.sync()
}

// sync makes what was created and renamed in the folder durable.
func (f *flash) sync() error {
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func manifestFile(digest string) string { return "manifest-" + digest + ".suit" }

func (f *flash) manifest(digest string) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.dir, manifestFile(digest)))
}

// tidy removes manifests of which nothing is installed any more.
func (f *flash) tidy() error {
	found, err := filepath.Glob(filepath.Join(f.dir, manifestFile("*")))
	if err != nil {
		return err
	}
	now := f.now()
	for _, path := range found {
		if filepath.Base(path) != manifestFile(now.Digest) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}
