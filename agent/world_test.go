package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// world is a device and its server, both in memory but for the device's disk.
// Time is synctest's.
type world struct {
	*testing.T
	cfg       Config
	server    *server
	auth      Authenticator
	installer Installer
	fault     func(string)
	wall      func() time.Time      // the device's clock; nil: the right time
	built     time.Time             // when the client was built
	free      func() (int64, error) // of the disk; nil: what it really is
	log       *slog.Logger

	state  *State
	agent  *Agent
	cancel context.CancelFunc
	ended  chan struct{}
	sub    *Subscription
	seen   []Event
}

// story runs a test in a world whose device is "off", polls every 10 s, and
// has no system_info command.
func story(t *testing.T, tell func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, cfg: NewConfig(), server: newServer()}
		w.cfg.Device.PackagesDir = filepath.Join(dir, "packages")
		w.cfg.Device.SystemInfo = "off"
		tell(w)
		if w.agent != nil {
			w.stop()
		}
	})
}

// start starts the agent, over what an earlier one left.
func (w *world) start() {
	w.Helper()
	state, err := OpenState(w.cfg.StatePath(), w.cfg.Identity(), StateOptions{Fault: w.fault})
	if err != nil {
		w.Fatal(err)
	}
	clock := NewClock(w.built, state, w.log)
	clock.wall = w.wall
	a, err := New(Options{Config: w.cfg, Uplink: w.server, Auth: w.auth, Installer: w.installer, State: state, Clock: clock, Log: w.log})
	if err != nil {
		w.Fatal(err)
	}
	if w.free != nil {
		a.free = w.free
	}
	ctx, cancel := context.WithCancel(w.Context())
	w.state, w.agent, w.cancel, w.ended, w.seen = state, a, cancel, make(chan struct{}), nil
	w.sub = a.Subscribe(10_000)
	go func(ended chan struct{}) {
		defer close(ended)
		if err := a.Run(ctx); err != nil {
			w.Error(err)
		}
	}(w.ended)
	synctest.Wait()
}

// stop ends the agent as SIGTERM does, or buries one that has crashed.
func (w *world) stop() {
	w.cancel()
	<-w.ended
	w.state.Close()
	w.agent = nil
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.order()
	time.Sleep(d)
	synctest.Wait()
}

// order puts what the test has looked at and changed so far before what the
// agent does from now on. A timer alone does not: not to the race detector.
func (w *world) order() {
	w.server.set(func(*server) {})
	w.agent.queue.mu.Lock()
	defer w.agent.queue.mu.Unlock()
}

// do runs a command and returns its final event.
func (w *world) do(c Command) Event {
	w.Helper()
	e, err := w.agent.Do(w.Context(), c)
	if err != nil {
		w.Fatalf("%s: %v", c.Name(), err)
	}
	synctest.Wait()
	return e
}

// events returns what happened since the last call, one line each.
func (w *world) events() []string {
	w.Helper()
	synctest.Wait()
	var lines []string
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
		e, missed, err := w.sub.Next(ctx)
		cancel()
		if err != nil {
			return lines
		}
		if missed > 0 {
			w.Errorf("missed %d events", missed)
		}
		w.seen = append(w.seen, e)
		lines = append(lines, line(e))
	}
}

// expect compares what happened since the last call.
func (w *world) expect(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.events()); diff != "" {
		w.Errorf("events (-want +got):\n%s", diff)
	}
}

func line(e Event) string {
	switch e := e.(type) {
	case Error:
		return "Error " + e.Text
	case UpdatesReceived:
		s := e.Name()
		for _, o := range e.Updates {
			s += " " + string(o.Update)
		}
		return s
	case UpdateAvailable:
		return e.Name() + " " + string(e.Update.Update)
	case DownloadingUpdate:
		return e.Name() + " " + string(e.Update)
	case DownloadComplete:
		return e.Name() + " " + string(e.Image.Update)
	case DownloadFailed:
		return fmt.Sprintf("%s %s %s", e.Name(), e.Update, e.Code)
	case InstallingUpdate:
		return e.Name() + " " + string(e.Update)
	case InstallComplete:
		return fmt.Sprintf("%s %s %s", e.Name(), e.Report.Update, e.Report.Results[0].Code)
	case InstallFailed:
		return fmt.Sprintf("%s %s %s", e.Name(), e.Report.Update, e.Report.Results[0].Code)
	}
	return e.Name()
}

// image returns a downloaded image's bytes, or nil.
func (w *world) image(id ota.UpdateID) []byte {
	data, err := os.ReadFile(filepath.Join(w.cfg.Device.PackagesDir, string(id)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Fatal(err)
	}
	return data
}

// step returns how far the journal says an update has come.
func (w *world) step(id ota.UpdateID) Step {
	e, _ := w.state.entry(id)
	return e.Step
}

// files lists packages_dir, without the state directory.
func (w *world) files() []string {
	entries, err := os.ReadDir(w.cfg.Device.PackagesDir)
	if err != nil {
		w.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ".updraft-agent" {
			names = append(names, e.Name())
		}
	}
	return names
}

// gate is an auth server with one good pair of credentials.
type gate struct {
	id, secret string
	err        error // instead of an answer
	asked      []string
	held       bool
	life       time.Duration // of a token
	until      time.Time     // the token holds
}

func (g *gate) Authenticate(_ context.Context, id, secret string) error {
	g.asked = append(g.asked, id)
	switch {
	case g.err != nil:
		return g.err
	case id != g.id || secret != g.secret:
		return ota.Fail(ota.KindUnauthenticated, "invalid_client", "unknown client")
	}
	g.held, g.until = true, time.Now().Add(g.life)
	return nil
}

func (g *gate) Forget() { g.held = false }

// workshop is an installer that keeps the contract of Installer: a package
// that is installed is not installed again.
type workshop struct {
	installed []ota.PackageID
	outcome   Outcome
	runs      int // installations that did something
	before    func(Image)
	after     func(Image)
	listErr   error
}

func (w *workshop) Installed(context.Context) ([]ota.PackageID, error) {
	return slices.Clone(w.installed), w.listErr
}

func (w *workshop) Install(_ context.Context, img Image) Outcome {
	if w.before != nil {
		w.before(img)
	}
	if slices.Contains(w.installed, img.Package) {
		return Outcome{Code: ota.OK}
	}
	if _, err := os.ReadFile(img.Path); err != nil {
		return Outcome{Code: ota.GeneralError, Text: err.Error()}
	}
	w.runs++
	if w.outcome.Code.Success() {
		w.installed = append(w.installed, img.Package)
	}
	if w.after != nil {
		w.after(img)
	}
	return w.outcome
}

// someBytes are different at every place.
func someBytes(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.Bytes()[:n]
}
