package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	vin     = "genivi.org/vin/VINOOLAM0FAU2DEEP/"
	backend = "genivi.org/backend/"
)

// network connects by net.Pipe, so that a synctest bubble knows when it is quiet.
type network struct {
	mu    sync.Mutex
	doors map[string]*door
}

type door struct {
	addr  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newNetwork() *network { return &network{doors: map[string]*door{}} }

func (w *network) listen(addr string) net.Listener {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := &door{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	w.doors[addr] = d
	return d
}

func (w *network) dial(_ context.Context, _, addr string) (net.Conn, error) {
	w.mu.Lock()
	d := w.doors[addr]
	w.mu.Unlock()
	if d == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case d.conns <- there:
		return here, nil
	case <-d.done:
		return nil, errors.New("connection refused")
	}
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error   { d.once.Do(func() { close(d.done) }); return nil }
func (d *door) Addr() net.Addr { return doorAddr(d.addr) }

type doorAddr string

func (doorAddr) Network() string  { return "pipe" }
func (a doorAddr) String() string { return string(a) }

// log gathers what a node tells.
type log struct {
	mu     sync.Mutex
	events []Event
	news   []string
}

func (l *log) audit(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *log) announced(a Announcement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range a.Services {
		sign := "-"
		if a.Available {
			sign = "+"
		}
		l.news = append(l.news, sign+s)
	}
}

// reasons lists the audited reasons since the last call.
func (l *log) reasons() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, e := range l.events {
		list = append(list, e.Reason)
	}
	l.events = nil
	return list
}

func (l *log) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.news
	l.news = nil
	return list
}

// inbox is a service that remembers.
type inbox struct {
	mu   sync.Mutex
	got  []string
	from []Peer
}

func (b *inbox) handle(_ context.Context, m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, string(m.Params))
	b.from = append(b.from, m.Peer)
	return nil
}

func (b *inbox) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.got
	b.got = nil
	return list
}

func start(t testing.TB, o Options) *Node {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.Close()
		if n.queued != 0 || n.lent() != 0 || n.strangers != 0 || n.sockets != 0 {
			t.Errorf("not given back: %d bytes queued, %d of buffers, %d strangers", n.queued, n.lent(), n.strangers)
		}
	})
	return n
}

// toMsgpack appends a checked JSON value to dst as msgpack.
func toMsgpack(dst, value []byte) []byte {
	var m letter
	m.msgpack(value)
	m.cut()
	return append(dst, slices.Concat(m.pieces...)...)
}

// lent is how many bytes of buffers links have.
func (n *Node) lent() int64 {
	return n.opt.BufferBytes - n.budget.left.Load() - n.pieceBudget.left.Load()
}

// serverOptions are a backend's without authentication.
func serverOptions(l *log) Options {
	return Options{Prefix: backend, Plain: Vehicles(backend), Audit: l.audit, Announced: l.announced,
		Rights:  Rights{{Receive: []string{backend + "sota/"}, Invoke: []string{"genivi.org/vin/", "genivi.org/device/"}}},
		Resolve: resolver{}.lookup}
}

// vehicleOptions are those of its vehicles.
func vehicleOptions(l *log) Options {
	return Options{Prefix: vin, Plain: Backend(backend, vin), Audit: l.audit, Announced: l.announced,
		Rights:  Rights{{Receive: []string{vin}, Invoke: []string{backend + "sota/"}}},
		Resolve: resolver{}.lookup}
}

// resolver knows a few names.
type resolver map[string]string

func (r resolver) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	if a, ok := r[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, errors.New("no such host")
}

func handle(t testing.TB, n *Node, service string) *inbox {
	t.Helper()
	b := &inbox{}
	if _, err := n.Handle(service, b.handle); err != nil {
		t.Fatal(err)
	}
	return b
}

func send(t testing.TB, n *Node, service, params string) {
	t.Helper()
	if err := n.Send(t.Context(), service, json.RawMessage(params), time.Minute); err != nil {
		t.Fatal(err)
	}
}

// peer is a scripted node at the other end of a link.
type peer struct {
	t    testing.TB
	conn net.Conn
	mu   sync.Mutex
	got  bytes.Buffer
	end  error
}

// meet links a scripted peer to n, inside a bubble.
func meet(t *testing.T, n *Node) *peer {
	here, there := net.Pipe()
	p := &peer{t: t, conn: here}
	n.wg.Add(1)
	go func() { defer n.wg.Done(); n.plain(n.ctx, there, false) }()
	go func() {
		buf := make([]byte, 4096)
		for {
			k, err := here.Read(buf)
			p.mu.Lock()
			p.got.Write(buf[:k])
			p.end = err
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = here.Close() })
	synctest.Wait()
	return p
}

func (p *peer) say(s string) {
	p.t.Helper()
	_ = p.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := p.conn.Write([]byte(s)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Fatalf("say %.60q: %v", s, err)
	}
	synctest.Wait()
}

// heard is what the node said since the last call.
func (p *peer) heard() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.got.String()
	p.got.Reset()
	return s
}

func (p *peer) closed() bool {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end != nil
}

const hello = `{"cmd":"au","ver":"1.1","creds":[]}`

// state is what a node knows, to see that nothing changed.
type state struct {
	Routes, Local   []string
	Links, Waiting  int
	Strangers, Held int
}

func (n *Node) state() state {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := state{Routes: slices.Sorted(maps.Keys(n.routes)), Local: slices.Sorted(maps.Keys(n.local)), Links: len(n.links), Strangers: n.strangers}
	for _, q := range n.waiting.queues {
		s.Waiting += len(q.parcels)
	}
	s.Held = n.queued
	return s
}
