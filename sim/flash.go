package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// flash is what a device keeps while it has no power: images, manifests and a
// few facts. Facts are changed by one rename, which is what makes an
// installation happen or not.
type flash struct {
	dir  string
	size int64 // of a place

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

func openFlash(dir string, size int64) (*flash, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := &flash{dir: dir, size: size, delivered: make(chan struct{}, 1)}
	text, err := os.ReadFile(filepath.Join(dir, factsFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, &f.facts); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, factsFile), err)
	}
	return f, nil
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
