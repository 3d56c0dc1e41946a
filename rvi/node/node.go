package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/updraft-ota/updraft/ota"
)

// Options are a node's. Only Prefix and one of Rights and Identity are needed.
type Options struct {
	Prefix   string    // of the services that live here, such as genivi.org/vin/V
	Rights   Rights    // our own; those of Identity's credentials are added
	Identity *Identity // for TLS links; nil if there are none

	// Plain tells the rights of a peer whose link proves nothing, given the
	// first service it announces, or "" before it has announced any; false
	// lets it wait for the next name. Nil refuses plain links. It must not call
	// the node. See Vehicles.
	Plain func(service string) (Rights, bool)

	// EdgeAllow are the networks, besides loopback, that services at the edge
	// may be called at.
	EdgeAllow []netip.Prefix

	// Addresses are what Keep was told last, by an earlier node: the network
	// address of each service registered at the edge, by its full name. Keep is
	// called before a change is answered; if it fails there is none. Nil keeps none.
	Addresses map[string]string
	Keep      func(addresses map[string]string) error

	// Audit is told of whatever is discarded or refused (the log if nil), and
	// Announced of peers' services that come and go (nobody if nil): one after
	// the other, in the order it happened. They may call the node, but not wait.
	Audit     func(Event)
	Announced func(Announcement)

	MessageBytes  int           // one message; 1 MiB if zero
	QueueMessages int           // waiting for one peer or local service; 256 if zero
	QueueBytes    int           // the same in bytes of their parameters; 1 MiB if zero
	QueuedBytes   int           // the same in all queues together; 512 MiB if zero
	BufferBytes   int64         // that all links may hold in messages coming in; 256 MiB if zero
	Services      int           // that may be registered at the edge; 256 if zero
	Links         int           // at a time; 16 384 if zero
	PingInterval  time.Duration // 5 minutes if zero

	Msgpack bool   // speak msgpack from the start, not only to peers that do
	Module  string // mod of messages to peers that have sent none; proto_json_rpc if ""

	// ClockUnsure is for a vehicle whose clock may be wrong: it tells its peers
	// how long its messages last instead of until when, and does not judge by
	// its clock whether theirs are over (rvi.md 2.5), nor its own credentials.
	// Those of peers, and certificates, still need a clock that is about right.
	ClockUnsure bool

	Now     func() time.Time
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Peer is the node at the other end of a link, as it has proved itself. The
// zero Peer is this node: the message comes from one of its own services.
type Peer struct {
	Prefix      string // of the services it may host, with a trailing slash; "" if not one
	Addr        string
	Fingerprint string // SHA-256 of its certificate in hex; "" on a plain link
	Rights      Rights
}

func (p Peer) String() string {
	if p.Prefix != "" {
		return p.Prefix
	}
	if p.Addr != "" {
		return p.Addr
	}
	return "local"
}

// Message is what a handler gets.
type Message struct {
	Service string          // full name
	Params  json.RawMessage // valid until the handler returns
	Expires time.Time
	Peer    Peer // who sent it
}

// Handler takes messages for one service: in order for each peer, at the same
// time for different ones. While it runs the peer's link is not read. An error
// is told to Options.Audit and to nobody else, as the protocol has no answers.
type Handler func(ctx context.Context, m Message) error

// Announcement tells that services of a peer have come or gone.
type Announcement struct {
	Peer      Peer
	Services  []string
	Available bool
}

// Node is a node. Its methods may be called at the same time.
type Node struct {
	opt    Options
	prefix string
	rights Rights
	client *http.Client

	identity atomic.Pointer[Identity]
	tls      *tls.Config // nil without an Identity

	budget budget
	bodies budget // of calls at the edge

	// pieceBudget is a part of BufferBytes that messages in pieces have to
	// themselves, as whoever begins one says how large it is.
	pieceBudget budget

	ctx  context.Context // done when the node closes
	stop context.CancelFunc
	wg   sync.WaitGroup // every goroutine

	keeping sync.Mutex // taken before mu, while Keep runs

	mu        sync.Mutex
	local     map[string]*service // by full name
	couriers  map[string]*courier // by network address
	links     map[*link]struct{}
	strangers int
	routes    map[string]*link // the link that announced a name last
	waiting   waiting
	queued    int        // bytes of parcels in all queues
	freed     *sync.Cond // a courier's queue or deferred has become shorter, or a link died
	sequence  uint64
	sent      int64 // messages of local services to others
	sockets   int
	doors     brevity       // about those who come to our doors
	arrivals  *rate.Limiter // of services at the edge, as all peers hear of each
	closers   map[io.Closer]struct{}
	closed    bool
	deferred  []func()        // what is called when mu is free
	calling   bool            // somebody is at it
	hosted    map[string]bool // our services, and those that may come back
}

// New makes a node. The error (KindInvalid) tells what is wrong with the
// prefix, the rights or the identity.
func New(o Options) (*Node, error) {
	prefix, err := checkPrefix(o.Prefix)
	if err != nil {
		return nil, err
	}
	defaults(&o)
	n := &Node{opt: o, prefix: prefix, rights: o.Rights, local: map[string]*service{}, couriers: map[string]*courier{},
		links: map[*link]struct{}{}, routes: map[string]*link{}, closers: map[io.Closer]struct{}{}, hosted: map[string]bool{}}
	n.freed = sync.NewCond(&n.mu)
	n.bodies.left.Store(edgeBytes)
	n.arrivals = rate.NewLimiter(servicesPerSecond, o.Services)
	n.doors.limit = rate.NewLimiter(doorComplaints/10, doorComplaints)
	n.budget.left.Store(o.BufferBytes - o.BufferBytes/4)
	n.pieceBudget.left.Store(o.BufferBytes / 4)
	if o.Identity != nil {
		rights, err := n.rightsOf(o.Identity)
		if err != nil {
			return nil, err
		}
		n.rights = slices.Concat(n.rights, rights)
		n.identity.Store(o.Identity)
		n.tls = n.tlsConfig()
	}
	if len(n.rights) == 0 {
		return nil, ota.Invalid("an RVI node needs rights of its own: give it a credential")
	}
	n.client = n.edgeClient()
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.restore(o.Addresses)
	return n, nil
}

func defaults(o *Options) {
	set(&o.MessageBytes, 1<<20)
	set(&o.QueueMessages, 256)
	set(&o.QueueBytes, 1<<20)
	set(&o.QueuedBytes, 512<<20)
	set(&o.BufferBytes, 256<<20)
	set(&o.Services, 256)
	set(&o.Links, 16<<10)
	set(&o.PingInterval, 5*time.Minute)
	set(&o.Module, moduleJSON)
	if o.Audit == nil {
		o.Audit = toLog
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
}

func set[T comparable](v *T, value T) {
	if *v == *new(T) {
		*v = value
	}
}

func (n *Node) now() time.Time { return n.opt.Now() }

// room reports whether so many bytes more may be queued, of all that is.
func (n *Node) room(bytes int) bool { return n.queued+bytes <= n.opt.QueuedBytes }

// later calls f when mu, which the caller holds, is free.
func (n *Node) later(f func()) { n.deferred = append(n.deferred, f) }

// unlock frees mu and calls whoever is to hear of what was decided. If another
// goroutine is at it already it leaves that to it, so that all hear of things in
// the order they happened.
func (n *Node) unlock() {
	if n.calling {
		n.mu.Unlock()
		return
	}
	n.calling = true
	for len(n.deferred) > 0 {
		calls := n.deferred
		n.deferred = nil
		n.mu.Unlock()
		for _, f := range calls {
			f()
		}
		n.mu.Lock()
		n.freed.Broadcast()
	}
	n.calling = false
	n.mu.Unlock()
}

// open remembers what Close has to close; ok is false when it was called already.
func (n *Node) open(c io.Closer) (ok bool) {
	n.mu.Lock()
	defer n.unlock()
	if n.closed {
		return false
	}
	n.closers[c] = struct{}{}
	n.wg.Add(1)
	return true
}

// enter counts a caller's goroutine in, for Close to wait for; false when it
// was called already.
func (n *Node) enter() bool {
	n.mu.Lock()
	defer n.unlock()
	if !n.closed {
		n.wg.Add(1)
	}
	return !n.closed
}

func (n *Node) done(c io.Closer) {
	n.mu.Lock()
	delete(n.closers, c)
	n.unlock()
	_ = c.Close() // a second time does no harm
	n.wg.Done()
}

// Close ends all links and doors, tells what was still waiting, and waits until
// all is quiet. It returns nil.
func (n *Node) Close() error {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	n.stop()
	for l := range n.links {
		l.kill()
	}
	for c := range n.closers {
		n.later(func() { _ = c.Close() })
	}
	n.unlock()
	n.wg.Wait()
	if first {
		n.mu.Lock()
		n.abandon()
		n.unlock()
		n.client.CloseIdleConnections()
	}
	return nil
}

// errClosed is what doors of a closed node return.
var errClosed = fmt.Errorf("RVI node: %w", net.ErrClosed)

// closedNow turns the error of a listener that Close closed into nil.
func (n *Node) closedNow(err error) error {
	if n.ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
