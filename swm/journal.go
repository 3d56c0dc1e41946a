package swm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// step is how far an image has come.
type step string

const (
	announced step = "announced" // heard of
	unpacked  step = "unpacked"  // its manifest is read, operations run
	concluded step = "concluded" // all results are known
	reported  step = "reported"  // the client has them
	closed    step = "closed"    // and the list of installed packages
)

// record is what the journal knows of one image.
type record struct {
	Seq      int64
	Image    string // absolute path
	Size     int64  // of the image when it was announced
	Modified int64  // likewise, nanoseconds since 1970
	Told     ota.UpdateID
	Update   ota.UpdateID // what reports are about; "" before it is unpacked
	Step     step
	Results  []ota.OperationResult // of the operations so far
	Attempts int                   // of the next one: how often it was begun
	Running  *process              // what the last attempt started
	Again    bool                  // the client lost the report it had, and wants it again
}

// key names a record's file and work directory.
func (r record) key() string {
	sum := sha256.Sum256([]byte(r.Image))
	return hex.EncodeToString(sum[:16])
}

// same reports whether two records are about the same bytes.
func (r record) same(o record) bool {
	return r.Image == o.Image && r.Size == o.Size && r.Modified == o.Modified
}

// journal keeps records, a file each. Whatever was put survives any end.
type journal struct {
	dir  string
	lock *os.File

	mu      sync.Mutex
	records map[string]record
	last    int64
}

// maxClosed is how many records are kept for clients that have not noticed.
const maxClosed = 100

// openJournal opens the journal in dir and locks it. Files that cannot be read
// are put aside. It fails if another process has the lock.
func openJournal(dir string, log *slog.Logger) (*journal, error) {
	j := &journal{dir: filepath.Join(dir, "journal"), records: map[string]record{}}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if j.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(j.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		j.lock.Close()
		return nil, fmt.Errorf("%s is in use by another software loading manager: %w", dir, err)
	}
	files, err := filepath.Glob(filepath.Join(j.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := j.load(f); err != nil {
			log.Error("a record of the journal cannot be read and is put aside", "file", f, "err", err)
			if err := os.Rename(f, f+".bad"); err != nil {
				return nil, err
			}
		}
	}
	return j, nil
}

func (j *journal) load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	if filepath.Base(path) != r.key()+".json" {
		return errors.New("it is about another image")
	}
	j.records[r.key()] = r
	j.last = max(j.last, r.Seq)
	return nil
}

func (j *journal) close() error { return j.lock.Close() }

// find returns the record of an image.
func (j *journal) find(image string) (record, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, ok := j.records[record{Image: image}.key()]
	return r, ok
}

// knows reports whether there is a record with that key.
func (j *journal) knows(key string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, ok := j.records[key]
	return ok
}

// next returns the oldest record with something left to do.
func (j *journal) next() (record, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var open []record
	for _, r := range j.records {
		if r.Step != closed {
			open = append(open, r)
		}
	}
	if len(open) == 0 {
		return record{}, false
	}
	return slices.MinFunc(open, bySeq), true
}

func bySeq(a, b record) int { return cmp.Compare(a.Seq, b.Seq) }

// put writes a record, giving it a number if it has none.
func (j *journal) put(r record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Seq == 0 {
		r.Seq = j.last + 1
	}
	// A reminder may have come since the record was read.
	if old := j.records[r.key()]; old.Seq == r.Seq && old.Again {
		if r.Again = r.Step != closed; !r.Again {
			r.Step = concluded
		}
	}
	return j.write(r)
}

// remind has an image that was reported reported once more.
func (j *journal) remind(image string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, ok := j.records[record{Image: image}.key()]
	switch {
	case ok && r.Step == reported:
		r.Again = true
	case ok && r.Step == closed:
		r.Step = concluded
	default:
		return nil // the report is still to come
	}
	return j.write(r)
}

// write writes a record; j.mu is held.
func (j *journal) write(r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(j.dir, r.key()+".json"), text); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.records[r.key()], j.last = r, max(j.last, r.Seq)
	return j.prune()
}

// prune forgets the oldest closed records.
func (j *journal) prune() error {
	var done []record
	for _, r := range j.records {
		if r.Step == closed {
			done = append(done, r)
		}
	}
	slices.SortFunc(done, bySeq)
	for _, r := range done[:max(0, len(done)-maxClosed)] {
		if err := os.Remove(filepath.Join(j.dir, r.key()+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(j.records, r.key())
	}
	return nil
}

// replace writes a file durably: after a crash there is the old or the new one.
func replace(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
