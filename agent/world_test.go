package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
		w.cfg.Device.SystemInfo = ""
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
	a, err := New(Options{Config: w.cfg, Uplink: w.server, Auth: w.auth, Installer: w.installer, State: state})
	if err != nil {
		w.Fatal(err)
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
	time.Sleep(d)
	synctest.Wait()
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

// server is the other end of the uplink: one device's updates.
type server struct {
	mu      sync.Mutex
	updates []*update
	notices chan ota.Notice
	poll    time.Duration
	quiet   bool  // the transport tells nothing of the content
	cut     int64 // every connection breaks after so many bytes; 0: none

	// errs are given to the next calls of a method, one each; nil lets one pass.
	errs map[string][]error
	// always is given to every call of a method.
	always map[string]error
	// hook is called with a method's name when its work is done.
	hook func(method string)

	fetched   map[ota.UpdateID][]int // how often each byte was sent
	calls     []string
	reports   []ota.Report // as taken, repetitions of the same left out
	refuse    error        // what Report answers, for good
	installed []ota.Inventory
	info      []string
}

type update struct {
	offer   ota.Offer
	content []byte
	ended   bool
}

func newServer() *server {
	return &server{
		notices: make(chan ota.Notice), poll: 10 * time.Second,
		errs: map[string][]error{}, always: map[string]error{}, hook: func(string) {}, fetched: map[ota.UpdateID][]int{},
	}
}

// add queues an update and returns its offer, to be changed before it is asked for.
func (s *server) add(id string, content []byte) *ota.Offer {
	sum := sha256.Sum256(content)
	u := &update{content: content, offer: ota.Offer{
		Update: ota.UpdateID(id), Package: ota.PackageID{Name: "pkg-" + id, Version: "1.0"}, Status: ota.Pending, Pos: len(s.updates),
		Artifacts: []ota.Artifact{{Name: ota.DefaultArtifact, Signature: "sig", Sums: ota.Sums{
			Size: int64(len(content)), SHA256: ota.Digest(hex.EncodeToString(sum[:]))}}},
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = append(s.updates, u)
	s.fetched[u.offer.Update] = make([]int, len(content))
	return &u.offer
}

// remove takes an update back.
func (s *server) remove(id ota.UpdateID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = slices.DeleteFunc(s.updates, func(u *update) bool { return u.offer.Update == id })
}

func (s *server) find(id ota.UpdateID) *update {
	for _, u := range s.updates {
		if u.offer.Update == id {
			return u
		}
	}
	return nil
}

// called notes a call and returns the error prepared for it.
func (s *server) called(method, detail string) error {
	s.calls = append(s.calls, strings.TrimSpace(method+" "+detail))
	if list := s.errs[method]; len(list) > 0 {
		s.errs[method] = list[1:]
		return list[0]
	}
	return s.always[method]
}

// count tells how often a method was called.
func (s *server) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if c == method || strings.HasPrefix(c, method+" ") {
			n++
		}
	}
	return n
}

// lock holds the server's lock; unlocking calls the hook. A goroutine may end
// in the hook, as in a crash.
func (s *server) lock(method string) (unlock func()) {
	s.mu.Lock()
	return func() {
		s.mu.Unlock()
		s.hook(method)
	}
}

func (s *server) Pending(context.Context) ([]ota.Offer, error) {
	defer s.lock("pending")()
	if err := s.called("pending", ""); err != nil {
		return nil, err
	}
	var list []ota.Offer
	for _, u := range s.updates {
		if !u.ended {
			list = append(list, u.offer)
		}
	}
	return list, nil
}

func (s *server) Fetch(ctx context.Context, q ota.FetchRequest) (*ota.Content, error) {
	defer s.lock("fetch")()
	if err := s.called("fetch", string(q.Update)); err != nil {
		return nil, err
	}
	u := s.find(q.Update)
	if u == nil {
		return nil, ota.MissingUpdate(q.Update)
	}
	u.offer.Status = ota.InFlight
	sum := sha256.Sum256(u.content)
	c := &ota.Content{Body: &body{ctx: ctx, s: s, u: u, at: q.From, left: s.cut}, From: q.From,
		Size: int64(len(u.content)), Digest: ota.Digest(hex.EncodeToString(sum[:]))}
	if s.quiet {
		c.Size, c.Digest = -1, ""
	}
	return c, nil
}

// body is a connection's bytes, counted.
type body struct {
	ctx      context.Context
	s        *server
	u        *update
	at, left int64
}

var errCut = errors.New("connection reset by peer")

func (b *body) Read(p []byte) (int, error) {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.ctx.Err() != nil {
		return 0, b.ctx.Err()
	}
	if b.at >= int64(len(b.u.content)) {
		return 0, io.EOF
	}
	if err := b.s.called("read", ""); err != nil {
		return 0, err
	}
	if b.s.cut > 0 {
		if b.left == 0 {
			return 0, errCut
		}
		p = p[:min(int64(len(p)), b.left)]
	}
	n := copy(p, b.u.content[b.at:])
	for i := range n {
		b.s.fetched[b.u.offer.Update][b.at+int64(i)]++
	}
	b.at += int64(n)
	b.left -= int64(n)
	return n, nil
}

func (b *body) Close() error { return nil }

func (s *server) Report(_ context.Context, r ota.Report) error {
	defer s.lock("report")()
	if err := s.called("report", string(r.Update)); err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return err
	}
	if s.refuse != nil {
		return s.refuse
	}
	if u := s.find(r.Update); u != nil {
		u.ended = true
	}
	if !slices.ContainsFunc(s.reports, func(old ota.Report) bool { return cmp.Equal(old, r) }) {
		s.reports = append(s.reports, r)
	}
	return nil
}

func (s *server) Installed(_ context.Context, inv ota.Inventory) error {
	defer s.lock("installed")()
	if err := s.called("installed", ""); err != nil {
		return err
	}
	s.installed = append(s.installed, inv)
	return nil
}

func (s *server) SystemInfo(_ context.Context, doc json.RawMessage) error {
	defer s.lock("info")()
	if err := s.called("info", ""); err != nil {
		return err
	}
	s.info = append(s.info, string(doc))
	return nil
}

func (s *server) Next(ctx context.Context) (ota.Notice, error) {
	var due <-chan time.Time
	if s.poll > 0 {
		due = time.After(s.poll)
	}
	select {
	case n := <-s.notices:
		return n, nil
	case <-due:
		return ota.Offered{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// codes returns the stored reports as "update code".
func (s *server) codes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.reports {
		list = append(list, fmt.Sprintf("%s %s", r.Update, r.Results[0].Code))
	}
	return list
}

// once fails unless every byte of an update was sent exactly once.
func (s *server) once(t *testing.T, id ota.UpdateID) {
	t.Helper()
	for i, n := range s.fetched[id] {
		if n != 1 {
			t.Fatalf("byte %d of %s was sent %d times", i, id, n)
		}
	}
}

// gate is an auth server with one good pair of credentials.
type gate struct {
	id, secret string
	err        error // instead of an answer
	asked      []string
	held       bool
}

func (g *gate) Authenticate(_ context.Context, id, secret string) error {
	g.asked = append(g.asked, id)
	switch {
	case g.err != nil:
		return g.err
	case id != g.id || secret != g.secret:
		return ota.Fail(ota.KindUnauthenticated, "invalid_client", "unknown client")
	}
	g.held = true
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
