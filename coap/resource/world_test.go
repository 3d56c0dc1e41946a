package resource_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/coap/resource"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

const ns = ota.DefaultNamespace

// world is a door on a real fleet, served on loopback over UDP, TCP and DTLS.
type world struct {
	*fleet.Fleet
	t    *testing.T
	ctx  context.Context
	door *resource.Door
	addr string // of plain CoAP
	tcp  string // and over TCP
	safe string // of coaps
	log  *syncBuffer
	end  func()

	reads atomic.Int64                     // of the store
	slow  atomic.Pointer[func(ota.Digest)] // is called before a file is opened, unless it is nil

	mu      sync.Mutex
	now     time.Time
	trigger atomic.Pointer[ota.Trigger] // by which devices are told
}

func (w *world) Post(ctx context.Context, target, text string) error {
	return (*w.trigger.Load()).Post(ctx, target, text)
}

func (w *world) Slot(ctx context.Context, target string) (int, error) {
	return (*w.trigger.Load()).Slot(ctx, target)
}

// countedStore counts how often it is read.
type countedStore struct {
	ota.Store
	*world
}

func (s countedStore) Read(ctx context.Context, look func(ota.ReadTx) error) error {
	s.reads.Add(1)
	return s.Store.Read(ctx, look)
}

// slowBlobs let a test have the opening of a file take its time.
type slowBlobs struct {
	ota.Blobs
	*world
}

func (s slowBlobs) Open(ctx context.Context, d ota.Digest) (ota.Blob, error) {
	if wait := s.slow.Load(); wait != nil {
		(*wait)(d)
	}
	return s.Blobs.Open(ctx, d)
}

// syncBuffer lets a test read a log while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t *testing.T, change ...func(*resource.Options)) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), log: new(syncBuffer)}
	w.with(new(resource.Trigger))
	db, err := store.Open(w.ctx, store.Options{Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	w.Fleet = fleet.New(fleet.Options{Store: countedStore{db, w}, Blobs: slowBlobs{blobs, w}, Now: w.clock, Log: log,
		CoAPRoot: func() string { return "coap://" + w.addr }, Trigger: w,
		DeviceGone: func(id ota.DeviceID) { w.door.Gone(id) }})
	o := resource.Options{Fleet: w.Fleet, Log: log}
	for _, c := range change {
		c(&o)
	}
	w.door = resource.New(o)
	w.serve()
	return w
}

func (w *world) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	s := &coap.Server{Handler: w.door, Trusted: w.door.Trusted, Log: slog.New(slog.NewTextHandler(w.log, nil))}
	var running sync.WaitGroup
	udp, safe := w.packets(), w.packets()
	w.addr, w.safe = udp.LocalAddr().String(), safe.LocalAddr().String()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.tcp = tcp.Addr().String()
	running.Go(func() { w.door.Run(ctx, s.Changed) })
	running.Go(func() { w.served(s.Serve(ctx, udp)) })
	running.Go(func() { w.served(s.ServeTCP(ctx, tcp)) })
	running.Go(func() { w.served(s.ServeDTLS(ctx, safe, coap.DTLSConfig{PSK: w.door.PSK})) })
	w.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		w.door.Close()
	})
	w.t.Cleanup(w.end)
}

func (w *world) packets() net.PacketConn {
	w.t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) served(err error) {
	if err != nil {
		w.t.Errorf("serve: %v", err)
	}
}

// publish publishes files, given as name and content in turn.
func (w *world) publish(id string, files ...string) ota.Package {
	w.t.Helper()
	n := fleet.Publication{ID: id}
	for i := 0; i < len(files); i += 2 {
		a, err := w.PutFile(w.ctx, files[i], strings.NewReader(files[i+1]), 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		n.Files = append(n.Files, a)
	}
	out, err := w.Publish(w.ctx, ns, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Package
}

// dial makes a client over UDP.
func (w *world) dial() *coap.Client {
	w.t.Helper()
	c, err := coap.Dial(w.ctx, w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// get asks for a path, and tells the answer as code and payload.
func (w *world) get(c *coap.Client, target string) string {
	w.t.Helper()
	m, err := c.Get(w.ctx, target)
	if err != nil {
		w.t.Fatalf("%s: %v", target, err)
	}
	return m.Code.String() + " " + string(m.Payload)
}

func wantString(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %.200q, want %.200q", what, got, want)
	}
}

// libcoap runs one of libcoap's clients, and returns what it fetched and what
// it said.
func libcoap(t *testing.T, program string, args ...string) (got, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.CommandContext(ctx, program, append([]string{"-o", out}, args...)...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q (Debian package libcoap3-bin): %v\n%s", program, args, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b), string(text)
}
