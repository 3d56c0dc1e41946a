package ab

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// Step is how far an update has come.
type Step string

const (
	fresh   Step = ""        // nothing is known; the other slot may be half written
	written Step = "written" // the new slot is whole; the boot loader may know
	tried   Step = "tried"   // the boot loader was told to try the new slot
	leaving Step = "leaving" // the update has failed, back to the old slot
	ended   Step = "ended"   // the outcome is known
)

// journal is what an update must not forget over restarts: ab.json in its work
// directory.
type journal struct {
	Step     Step
	Old, New Slot
	Boot     string // boot id when the step was reached
	Checks   int    // health checks begun
	Text     string `json:",omitempty"` // why the update failed, from leaving on
	Outcome  agent.Outcome
}

// held is what a slot was found to hold when it was written.
type held struct {
	Package ota.PackageID
	Digest  ota.Digest
}

// contents says what the slots hold: ab-slots.json in the state directory. A
// slot that was never written by us, or not to its end, is not in it.
type contents map[Slot]held

const (
	journalFile  = "ab.json"
	contentsFile = "ab-slots.json"
	maxFile      = 1 << 20 // bytes
)

func (in *Installer) contents() (contents, error) {
	c := contents{}
	err := in.load(filepath.Join(in.stateDir, contentsFile), &c)
	return c, err
}

// remember notes what a slot holds; nil for nothing that is known.
func (in *Installer) remember(s Slot, h *held) error {
	c, err := in.contents()
	if err != nil {
		return err
	}
	delete(c, s)
	if h != nil {
		c[s] = *h
	}
	return in.save("slots", in.stateDir, contentsFile, c)
}

// load reads a JSON file. One that is not there, or is damaged, changes
// nothing: what it would have said is found out again.
func (in *Installer) load(path string, into any) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		in.log.Error("a file is damaged and counts as missing", "file", path, "err", err)
	}
	return nil
}

// save puts a JSON file into place, durably and in one step. The directories
// are the client's own (0700), so nobody else puts links there.
func (in *Installer) save(what, dir, name string, value any) error {
	in.fault("before saving " + what)
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, ".tmp-"+name)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	in.fault("in the middle of saving " + what)
	if err = errors.Join(err, f.Close()); err == nil {
		err = replace(tmp, filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	in.fault("after saving " + what)
	return nil
}
