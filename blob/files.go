package blob

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/updraft-ota/updraft/ota"
)

// Options are the settings of a Files. The zero value is ready to use.
type Options struct {
	ScrubRate int              // bytes per second Scrub reads; 0: DefaultScrubRate
	Now       func() time.Time // the clock that dates blobs; nil: time.Now
}

// DefaultScrubRate reads 100 GiB in three and a half hours and leaves even a
// slow disk most of its time.
const DefaultScrubRate = 8 << 20

// Files are blobs in a folder. It is safe for concurrent use, but two
// processes must not share the folder: each would take the other's temporary
// files for leftovers.
type Files struct {
	dir       string
	now       func() time.Time
	scrubRate rate.Limit
	temp      func() (*os.File, error) // makes a file in DIR/tmp
	checks    singleflight.Group       // openers that wait for the same check

	// mu makes "still old, so remove" and "rename over" exclude each other,
	// and guards the maps.
	mu       sync.Mutex
	arriving map[string]bool        // temporary files of running puts, by path
	verdicts map[ota.Digest]verdict // what the last check of a blob found
}

var _ ota.Blobs = (*Files)(nil)

// Open opens the blobs in dir, making the folder if need be, and removes what
// puts left behind that a crash ended. What lies there already is read when it
// is first asked for, so Open is quick. It fails with an error of the file
// system.
func Open(dir string, o Options) (*Files, error) {
	f := &Files{
		dir:       dir,
		now:       o.Now,
		scrubRate: rate.Limit(o.ScrubRate),
		arriving:  map[string]bool{},
		verdicts:  map[ota.Digest]verdict{},
	}
	if f.now == nil {
		f.now = time.Now
	}
	if f.scrubRate <= 0 {
		f.scrubRate = DefaultScrubRate
	}
	f.temp = func() (*os.File, error) { return os.CreateTemp(f.tmpDir(), "put-*") } // 0600
	err := f.makeDirs()
	if err == nil {
		_, err = f.collectLeftovers()
	}
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return f, nil
}

func (f *Files) makeDirs() error {
	for _, d := range []string{f.tmpDir(), f.blobDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(f.dir), syncDir(filepath.Dir(f.dir)))
}

func (f *Files) tmpDir() string  { return filepath.Join(f.dir, "tmp") }
func (f *Files) blobDir() string { return filepath.Join(f.dir, "sha256") }

// path is where d lies. d must have passed ota.ParseDigest.
func (f *Files) path(d ota.Digest) string {
	return filepath.Join(f.blobDir(), string(d[:2]), string(d))
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// diskError gives a failure to write its kind: KindNoSpace if the disk or
// the quota is full. It passes nil through.
func diskError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &ota.Error{Kind: ota.KindNoSpace, Code: "no_space", Text: "no space left to store the artifact, free some and try again", Err: err}
	}
	return fmt.Errorf("store blob: %w", err)
}
