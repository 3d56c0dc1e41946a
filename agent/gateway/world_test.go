package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, nil)
}

// tidy holds the tests to what they start.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	return code
}

// uplink is a scripted server.
type uplink struct {
	mu      sync.Mutex
	offers  []ota.Offer
	image   string
	err     error // of every call but Next
	hold    chan struct{}
	reports []ota.Report
	lists   []ota.Inventory
	info    []string
	notices chan ota.Notice
}

// wantList makes the server ask for a list of what is installed.
func (u *uplink) wantList() { u.notices <- ota.ListWanted{} }

func (u *uplink) answer() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *uplink) set(change func(*uplink)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u)
}

func (u *uplink) Pending(ctx context.Context) ([]ota.Offer, error) {
	u.mu.Lock()
	hold := u.hold
	u.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.offers), u.err
}

func (u *uplink) Fetch(_ context.Context, q ota.FetchRequest) (*ota.Content, error) {
	if err := u.answer(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(u.image))
	return &ota.Content{
		Body: io.NopCloser(strings.NewReader(u.image[q.From:])), From: q.From,
		Size: int64(len(u.image)), Digest: ota.Digest(hex.EncodeToString(sum[:])),
	}, nil
}

func (u *uplink) Report(_ context.Context, r ota.Report) error {
	u.set(func(u *uplink) { u.reports = append(u.reports, r) })
	return u.answer()
}

func (u *uplink) Installed(_ context.Context, inv ota.Inventory) error {
	u.set(func(u *uplink) { u.lists = append(u.lists, inv) })
	return u.answer()
}

func (u *uplink) SystemInfo(_ context.Context, doc json.RawMessage) error {
	u.set(func(u *uplink) { u.info = append(u.info, string(doc)) })
	return u.answer()
}

func (u *uplink) Next(ctx context.Context) (ota.Notice, error) {
	select {
	case n := <-u.notices:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// offer makes the server offer updates, in this order.
func (u *uplink) offer(ids ...ota.UpdateID) {
	u.set(func(u *uplink) {
		u.offers = nil
		for i, id := range ids {
			u.offers = append(u.offers, ota.Offer{
				Update: id, Package: ota.PackageID{Name: "pkg-" + string(id), Version: "1.0"}, Status: ota.Pending, Pos: i,
				CreatedAt: time.Date(2016, 10, 10, 15, 23, 30, 0, time.UTC),
			})
		}
	})
}

// porter is an auth server that is scripted, too. It always knows "good".
type porter struct {
	mu  sync.Mutex
	err error
}

func (p *porter) Authenticate(_ context.Context, id, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == "good" {
		return nil
	}
	return p.err
}

func (p *porter) Forget() {}

func (p *porter) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// fitter is a package manager that has one package, and installs anything.
type fitter struct{ outcome agent.Outcome }

func (fitter) Installed(context.Context) ([]ota.PackageID, error) {
	return []ota.PackageID{{Name: "vim", Version: "1.2.3"}}, nil
}

func (f fitter) Install(context.Context, agent.Image) agent.Outcome { return f.outcome }

// device is a client with a scripted server, in state N and with package
// manager "off" unless it is changed before start.
type device struct {
	testing.TB
	*agent.Agent
	config    agent.Config
	link      *uplink
	auth      *porter // nil: state N
	installer agent.Installer
	dir       string
	state     *agent.State
	stop      func()
	ended     chan struct{}
}

func newDevice(t testing.TB) *device {
	t.Helper()
	d := &device{TB: t, config: agent.NewConfig(), link: &uplink{image: "image", notices: make(chan ota.Notice)}, dir: t.TempDir(), ended: make(chan struct{})}
	d.config.Core.Polling = false
	d.config.Device.PackagesDir = filepath.Join(d.dir, "packages")
	d.config.Device.SystemInfo = "off"
	return d
}

// infoScript gives it a system_info command.
func (d *device) infoScript() {
	path := filepath.Join(d.dir, "info.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '{\"id\":\"host\"}'\n"), 0o700); err != nil {
		d.Fatal(err)
	}
	d.config.Device.SystemInfo = path
}

// start starts the client, and waits until it has greeted the server.
func (d *device) start() *device {
	d.Helper()
	state, err := agent.OpenState(d.config.StatePath(), d.config.Identity(), agent.StateOptions{})
	if err != nil {
		d.Fatal(err)
	}
	options := agent.Options{Config: d.config, Uplink: d.link, Installer: d.installer, State: state, Log: discard}
	if d.auth != nil {
		options.Auth = d.auth
	}
	if d.Agent, err = agent.New(options); err != nil {
		d.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.state, d.stop = state, cancel
	first := d.Subscribe(1)
	defer first.Close()
	go func() {
		defer close(d.ended)
		if err := d.Run(ctx); err != nil {
			d.Error(err)
		}
		state.Close()
	}()
	d.Cleanup(func() { cancel(); <-d.ended })
	if _, _, err := first.Next(ctx); err != nil {
		d.Fatal(err)
	}
	// What follows the first event is queued before its command ends.
	d.do(agent.ListInstalledPackages{})
	d.do(agent.ListInstalledPackages{})
	return d
}

func (d *device) do(c agent.Command) agent.Event {
	d.Helper()
	e, err := d.Do(context.Background(), c)
	if err != nil {
		d.Fatalf("%s: %v", c.Name(), err)
	}
	return e
}

// serve runs a gateway until the test ends, or end is called.
func serve(t testing.TB, g interface{ Serve(context.Context) error }) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := g.Serve(ctx); err != nil {
			t.Error(err)
		}
	}()
	end = func() { cancel(); <-ended }
	t.Cleanup(end)
	return end
}

// local is a door's address on loopback, and no token.
var local = Network{Addr: "127.0.0.1:0", Log: discard}
