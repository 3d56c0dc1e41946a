package swm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

// Client is the way to the client, as far as a door has it. Each call returns
// nil when the client has understood, or when it never will, which the door
// logs; with an error it is made again later.
type Client interface {
	StartDownload(ctx context.Context, id ota.UpdateID) error
	SendUpdateReport(ctx context.Context, r ota.Report) error
	SendInstalledPackages(ctx context.Context, packages []ota.PackageID) error
}

// Options are the parts a Manager is made of.
type Options struct {
	StateDir      string        // for the journal and unpacked images; made if missing
	Root          string        // of the system that is updated, "/" if empty
	Plugins       string        // directory of plug-ins, named like operations
	PluginTimeout time.Duration // for one plug-in; 0: 30 minutes
	Limits        image.Limits  // zero: image.DefaultLimits
	Consent       Consent       // nil: Yes
	Log           *slog.Logger  // nil: slog.Default
	// Fault is called after each step that was written down. Tests end the
	// process there. May be nil.
	Fault func(point string)
}

func (o *Options) fill() {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.PluginTimeout == 0 {
		o.PluginTimeout = 30 * time.Minute
	}
	if o.Limits == (image.Limits{}) {
		o.Limits = image.DefaultLimits
	}
	if o.Consent == nil {
		o.Consent = Yes
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Fault == nil {
		o.Fault = func(string) {}
	}
}

// Manager installs what it hears of.
type Manager struct {
	Options
	journal *journal
	hearing sync.Mutex // held while an image is heard of
	work    string
	news    chan struct{} // holds a token when the journal has a new record
	offers  offers
	pause   func(context.Context, time.Duration) error
}

// New opens what an earlier Manager left in o.StateDir. It fails if that
// cannot be read or written, or another Manager uses it.
func New(o Options) (*Manager, error) {
	o.fill()
	var err error
	for _, dir := range []*string{&o.StateDir, &o.Root, &o.Plugins} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return nil, err
		}
	}
	m := &Manager{Options: o, work: filepath.Join(o.StateDir, "work"), news: make(chan struct{}, 1), offers: newOffers(), pause: sleep}
	if err := os.MkdirAll(m.work, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(o.StateDir, 0o700); err != nil {
		return nil, err
	}
	if m.journal, err = openJournal(o.StateDir, o.Log); err != nil {
		return nil, err
	}
	if err := m.tidy(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// tidy removes unpacked images that the journal does not know.
func (m *Manager) tidy() error {
	list, err := os.ReadDir(m.work)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !m.journal.knows(e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(m.work, e.Name())))
		}
	}
	return err
}

// Close lets another Manager have the state.
func (m *Manager) Close() error { return m.journal.close() }

// DownloadComplete says that an image is there to be installed. id is the
// update's, "" if the caller does not know. When it returns nil that is written
// down. The same image once more is no news while it is worked on, and is
// reported again afterwards. It fails with KindInvalid if there is no such file.
func (m *Manager) DownloadComplete(path string, id ota.UpdateID) error {
	m.hearing.Lock()
	defer m.hearing.Unlock()
	r, err := m.announce(path, id)
	if err != nil {
		return err
	}
	if old, ok := m.journal.find(path); ok && (old.same(r) || old.Step != closed) {
		err = m.journal.remind(path)
	} else {
		err = m.journal.put(r)
	}
	if err != nil {
		return err
	}
	m.Log.Info("an image is there", "image", path, "update", id)
	m.Fault("announced")
	select {
	case m.news <- struct{}{}:
	default:
	}
	return nil
}

func (m *Manager) announce(path string, id ota.UpdateID) (record, error) {
	if !filepath.IsAbs(path) {
		return record{}, ota.Invalid("the path of the image, %q, is not absolute", path)
	}
	if id != "" {
		if _, err := image.UpdateID(string(id)); err != nil {
			return record{}, err
		}
	}
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return record{}, ota.Invalid("there is no image: %v", err)
	case !st.Mode().IsRegular():
		return record{}, ota.Invalid("the image %s is not a file", path)
	}
	return record{Image: path, Size: st.Size(), Modified: st.ModTime().UnixNano(), Told: id, Step: announced}, nil
}

// Run installs and reports until ctx ends, which is nil. What is not done then
// goes on, or is taken up again, with the next Run.
func (m *Manager) Run(ctx context.Context, c Client) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.consult(ctx, c)
	}()
	defer func() { <-done }()
	wait := firstPause
	for ctx.Err() == nil {
		r, ok := m.journal.next()
		if !ok {
			select {
			case <-m.news:
			case <-ctx.Done():
			}
			continue
		}
		switch err := m.advance(ctx, c, r); {
		case err == nil:
			wait = firstPause
		case ctx.Err() == nil:
			m.Log.Warn("will try again", "image", r.Image, "update", r.Update, "in", wait, "err", err)
			m.pause(ctx, wait)
			wait = min(2*wait, longestPause)
		}
	}
	return nil
}

const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// advance takes an image one step further. It fails if that is to be tried
// again: the disk or the client may not be what they should be.
func (m *Manager) advance(ctx context.Context, c Client, r record) error {
	switch r.Step {
	case announced:
		return m.open(ctx, r)
	case unpacked:
		return m.operate(ctx, r)
	case concluded:
		if err := c.SendUpdateReport(ctx, ota.Report{Update: r.Update, Results: r.Results}); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		r.Step = reported
	case reported:
		if err := m.list(ctx, c); err != nil {
			return fmt.Errorf("list packages: %w", err)
		}
		if err := os.RemoveAll(m.workDir(r)); err != nil {
			return err
		}
		r.Step = closed
	default:
		return fmt.Errorf("the journal names an unknown step %q", r.Step)
	}
	return m.put(r)
}

// put writes a record down.
func (m *Manager) put(r record) error {
	if err := m.journal.put(r); err != nil {
		return err
	}
	m.Log.Debug("written down", "update", r.Update, "step", r.Step, "results", len(r.Results), "attempts", r.Attempts)
	m.Fault(string(r.Step))
	return nil
}

// list tells the client what is installed. That we cannot find out is not the
// client's business.
func (m *Manager) list(ctx context.Context, c Client) error {
	list, err := m.packages(ctx)
	if err != nil {
		m.Log.Warn("cannot list what is installed", "err", err)
		return nil
	}
	return c.SendInstalledPackages(ctx, list)
}

func (m *Manager) workDir(r record) string  { return filepath.Join(m.work, r.key()) }
func (m *Manager) imageDir(r record) string { return filepath.Join(m.workDir(r), "image") }
func (m *Manager) opDir(r record) string    { return filepath.Join(m.workDir(r), "operation") }
