package dbus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	godbus "github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

const managerName = "org.genivi.SoftwareLoadingManager"

// world is a real client with its D-Bus door on a real bus; only the server
// it talks to is a double. The package manager is "off".
type world struct {
	*testing.T
	cfg    agent.Config
	bus    *daemon
	server *server
	agent  *agent.Agent
	door   *Gateway
	log    *logbook
	up     chan struct{} // gets a token each time the door opens
	end    func()
	hidden atomic.Bool // the door does not know where the bus is
}

// newWorld makes a world that has not begun to turn.
func newWorld(t *testing.T) *world {
	w := &world{T: t, cfg: agent.NewConfig(), bus: newDaemon(t), log: newLogbook(), up: make(chan struct{}, 100),
		server: &server{notices: make(chan ota.Notice), reports: make(chan ota.Report, 100), lists: make(chan ota.Inventory, 100), held: make(chan struct{}, 10)}}
	w.cfg.Device.PackagesDir = filepath.Join(t.TempDir(), "packages")
	w.cfg.Device.SystemInfo = ""
	if err := w.cfg.Apply(map[string]string{"dbus-bus": "session"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts bus, client and door, and waits until the door is open.
func start(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.bus.start()
	w.startClient()
	w.opened()
	return w
}

// startClient starts the client and its door, over what an earlier one left.
func (w *world) startClient() {
	w.Helper()
	state, err := agent.OpenState(w.cfg.StatePath(), w.cfg.Identity(), agent.StateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.agent, err = agent.New(agent.Options{Config: w.cfg, Uplink: w.server, State: state, Log: log})
	if err != nil {
		w.Fatal(err)
	}
	w.door = New(w.agent, Options{Config: *w.cfg.DBus, Getenv: w.getenv, Log: log})
	w.door.up = func() { w.up <- struct{}{} }
	w.door.waits = backoff.NewExponentialBackOff()
	w.door.waits.InitialInterval, w.door.waits.MaxInterval = time.Millisecond, 10*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.agent.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	all.Go(func() {
		if err := w.door.Serve(ctx); err != nil {
			w.Error(err)
		}
	})
	w.end = sync.OnceFunc(func() {
		cancel()
		all.Wait()
		state.Close()
	})
	w.Cleanup(w.end)
}

func (w *world) getenv(name string) string {
	if name == "DBUS_SESSION_BUS_ADDRESS" && !w.hidden.Load() {
		return w.bus.address
	}
	return ""
}

// opened waits until the door is open once more.
func (w *world) opened() {
	w.Helper()
	receive(w.T, w.up)
}

// call calls a method of ours as a program with its own library would.
func (w *world) call(method string, args ...any) error {
	w.Helper()
	c := w.bus.connect()
	defer c.Close()
	return c.Object("org.genivi.SotaClient", "/org/genivi/SotaClient").Call("org.genivi.SotaClient."+method, 0, args...).Err
}

// do runs a command as another gateway would.
func (w *world) do(c agent.Command) agent.Event {
	w.Helper()
	e, err := w.agent.Do(w.Context(), c)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

// listen begins to hear signals as gdbus does.
func (w *world) listen() *ear {
	w.Helper()
	return w.bus.listen(func() { w.do(agent.ListInstalledPackages{}) })
}

// manager starts a software loading manager.
func (w *world) manager(answer func(string, []any) ([]any, error)) (*peer, *godbus.Conn) {
	w.Helper()
	p := newPeer(answer)
	return p, w.bus.connectWith(p, managerName)
}

// receive waits for the next value of a channel.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing comes")
	}
	panic("unreachable")
}

func equal[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// nothing fails if something has come. What causes it must have been passed.
func nothing[T any](t *testing.T, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("unexpected: %v", v)
	default:
	}
}

// logbook is the client's log.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
	wake chan struct{}
}

func newLogbook() *logbook { return &logbook{wake: make(chan struct{}, 1)} }

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// says waits until the log has a text.
func (l *logbook) says(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(time.Minute)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.wake:
		case <-timeout:
			t.Fatalf("the log lacks %q:\n%s", text, l)
		}
	}
}

// server is the other end of the uplink.
type server struct {
	mu      sync.Mutex
	offers  []ota.Offer
	content map[ota.UpdateID]string
	notices chan ota.Notice
	reports chan ota.Report
	lists   chan ota.Inventory
	hold    chan struct{} // if not nil, Pending waits until it is closed
	held    chan struct{} // gets a token when it waits
}

// set makes Pending wait.
func (s *server) set(hold chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
}

// offer queues an update.
func (s *server) offer(id, content string, confirm bool) {
	sum := sha256.Sum256([]byte(content))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.content == nil {
		s.content = map[ota.UpdateID]string{}
	}
	s.content[ota.UpdateID(id)] = content
	s.offers = append(s.offers, ota.Offer{
		Update: ota.UpdateID(id), Package: ota.PackageID{Name: "tree", Version: "2.0"}, Status: ota.Pending, Pos: len(s.offers),
		Description: "A tree", Confirm: confirm, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Artifacts: []ota.Artifact{{Name: ota.DefaultArtifact, Signature: "sig", Sums: ota.Sums{
			Size: int64(len(content)), SHA256: ota.Digest(hex.EncodeToString(sum[:]))}}},
	})
}

func (s *server) Pending(context.Context) ([]ota.Offer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hold := s.hold; hold != nil {
		s.held <- struct{}{}
		s.mu.Unlock()
		<-hold
		s.mu.Lock()
	}
	return append([]ota.Offer(nil), s.offers...), nil
}

func (s *server) Fetch(_ context.Context, q ota.FetchRequest) (*ota.Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.content[q.Update]
	if !ok {
		return nil, ota.MissingUpdate(q.Update)
	}
	for i := range s.offers {
		if s.offers[i].Update == q.Update {
			s.offers[i].Status = ota.InFlight
		}
	}
	return &ota.Content{Body: io.NopCloser(strings.NewReader(content[q.From:])), From: q.From, Size: int64(len(content))}, nil
}

func (s *server) Report(_ context.Context, r ota.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []ota.Offer
	for _, o := range s.offers {
		if o.Update != r.Update {
			rest = append(rest, o)
		}
	}
	s.offers = rest
	s.reports <- r
	return nil
}

func (s *server) Installed(_ context.Context, inv ota.Inventory) error {
	s.lists <- inv
	return nil
}

func (s *server) SystemInfo(context.Context, json.RawMessage) error { return nil }

func (s *server) Next(ctx context.Context) (ota.Notice, error) {
	select {
	case n := <-s.notices:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
