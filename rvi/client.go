package rvi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// ClientOptions are a Client's. Dir is needed, and one of VIN and Device.
type ClientOptions struct {
	VIN     string       // of the vehicle, as 2015 and 2016a name it
	Device  ota.DeviceID // of the vehicle, as 2016 names it
	Dialect Dialect      // Dialect2015 or Dialect2016: which of the two its services have
	Dir     string       // for offers, chunks and reports; made for us alone (0700)

	Idle   time.Duration // how long chunks are kept without a word of the backend, MinIdle at least; 0: for ever
	Window int           // chunks wished for without an ack in between; DefaultWindow if 0

	Log   *slog.Logger       // nothing is logged if nil
	Now   func() time.Time   // time.Now if nil
	Fault func(point string) // called at each of ClientFaults, for crash tests; may be nil

	chunkSize int                 // of the backend; ChunkSize if 0
	room      func(*folder) int64 // on the disk; what it says if nil
}

const (
	// MinIdle is the least time that chunks are kept: longer than a backend
	// needs to send something five times (rvi.md 4.7).
	MinIdle = 10 * time.Minute
	// DefaultWindow is the window a client wishes for.
	DefaultWindow = 4

	forEver = 100 * 365 * 24 * time.Hour
)

// ClientFaults are the moments at which Fault is called.
var ClientFaults = []string{"notify taken", "part made", "start taken", "chunk written", "chunk flushed", "chunk acknowledged",
	"finish checked", "finish taken", "image released", "report kept", "report sent"}

// Identity is who the vehicle is; its prefix is that of the vehicle's node.
func (o ClientOptions) Identity() Identity {
	if o.Dialect == Dialect2015 {
		return Identity{VIN: o.VIN}
	}
	return Identity{Device: o.Device}
}

// Client is a vehicle's half of the conversation: an ota.Uplink over RVI. What
// the backend sends is on the disk before it is acknowledged, whoever asked for
// it and whether or not anybody waits for it; Fetch reads it there.
//
// A message is checked where it comes in (take), and then dealt with by one
// goroutine, Run, which alone writes to the disk and answers. mu guards what
// both, and the calls of Uplink, look at.
type Client struct {
	opt    ClientOptions
	dir    *folder
	own    func() Identity // as far as the node tells, else as configured
	sender Carrier
	born   time.Time
	edge   bool          // the node is another process, and its links not known
	slots  chan struct{} // of messages that wait for Run
	wake   chan struct{} // Run has something to do

	mu      sync.Mutex
	device  Device
	memory  memory
	files   map[Unit]*incoming
	failed  map[Unit]error        // why a file did not come, if nobody has been told
	aborted map[ota.UpdateID]bool // taken back, and not yet offered again
	there   map[string]bool       // services that are announced
	back    bool                  // the backend has come back, and Run has not seen to that
	tasks   []task
	notices []ota.Notice
	changed chan struct{} // closed, and replaced, when anything above is
	closed  bool

	checks sync.WaitGroup // of whole files
}

// task is what Run has to do. One that has a chunk is written together with
// those that wait next to it.
type task struct {
	run   func(context.Context)
	chunk *arrival
}

// waitingMessages is how many messages may wait for Run, the largest of them
// with a chunk.
const waitingMessages = 32

// NewClient makes a client, over what an earlier one left in Dir. It is to be
// attached to a node, and then to Run. It fails if Dir is not ours alone, or in
// use, or cannot be read.
func NewClient(o ClientOptions) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fault == nil {
		o.Fault = func(string) {}
	}
	if o.room == nil {
		o.room = (*folder).room
	}
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if err := o.Identity().Check(); err != nil {
		return nil, err
	}
	d, err := openFolder(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("RVI storage: %w", err)
	}
	c := &Client{
		opt: o, dir: d, own: o.Identity, born: o.Now(), slots: make(chan struct{}, waitingMessages), wake: make(chan struct{}, 1),
		files: map[Unit]*incoming{}, failed: map[Unit]error{}, aborted: map[ota.UpdateID]bool{}, there: map[string]bool{}, changed: make(chan struct{}),
	}
	c.device.Idle, c.device.ChunkSize = forEver, o.chunkSize
	if o.Idle > 0 {
		c.device.Idle = max(o.Idle, MinIdle)
	}
	if err := c.restore(); err != nil {
		return nil, errors.Join(fmt.Errorf("RVI storage: %w", err), c.Close())
	}
	return c, nil
}

// Identity is who the vehicle is; see ClientOptions.
func (c *Client) Identity() Identity { return c.opt.Identity() }

// Close gives Dir free, once Run has ended.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var errs []error
	for _, in := range c.files {
		errs = append(errs, in.close())
	}
	c.note()
	return errors.Join(append(errs, c.dir.close())...)
}

// AttachNode makes the client's services ones of a node in this process, whose
// Options.Announced is the client's. It fails with KindForbidden if the node's
// credentials do not allow them. The node may be linked after this.
func (c *Client) AttachNode(n *node.Node) error {
	c.sender = n
	for _, s := range AtDevice {
		if _, err := n.Handle(s.Local(), c.hear); err != nil {
			return err
		}
	}
	return nil
}

// AttachProgram makes them ones of a node in another process, which tells the
// vehicle's identity when they are registered.
func (c *Client) AttachProgram(p *node.Program) {
	c.sender, c.edge = p, true
	c.own = func() Identity {
		if id, err := IdentityOf(p.FullName(ServiceNotify.Local())); err == nil {
			return id
		}
		return c.opt.Identity()
	}
	for _, s := range AtDevice {
		p.Take(s.Local(), c.hear)
	}
}

// Announced is told of services that come and go.
func (c *Client) Announced(a node.Announcement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range a.Services {
		if !a.Available {
			delete(c.there, name)
			continue
		}
		if name == c.services().Ack && !c.there[name] {
			c.back = true
		}
		if strings.Contains(name, "/sota/") && len(c.there) < maxOffers {
			c.there[name] = true
		}
	}
	c.note()
}

// services are the backend's names.
func (c *Client) services() BackendServices {
	if c.memory.Services.Ack == "" {
		return DefaultBackend()
	}
	return c.memory.Services
}

// note says that something has changed, to Run and to all who wait. mu is held.
func (c *Client) note() {
	close(c.changed)
	c.changed = make(chan struct{})
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// await waits, with mu held, until done says so, or for at most so long. It
// fails with ctx's error, with KindUnreachable when the time is over, and with
// KindUnavailable when the client has ended.
func (c *Client) await(ctx context.Context, most time.Duration, done func() bool) error {
	end := time.NewTimer(most)
	defer end.Stop()
	for !done() {
		if c.closed {
			return ota.Fail(ota.KindUnavailable, "closed", "the client has ended")
		}
		changed := c.changed
		c.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-end.C:
			err = unreachable("the update server is silent")
		}
		c.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

func unreachable(text string) error {
	return ota.Fail(ota.KindUnreachable, "unreachable", "%s", text)
}

// Run deals with what the backend says, until ctx is done, and returns nil.
func (c *Client) Run(ctx context.Context) error {
	defer c.checks.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.work(ctx)
		c.mu.Lock()
		due := c.device.Deadline()
		c.mu.Unlock()
		timer.Stop()
		if !due.IsZero() {
			timer.Reset(max(due.Sub(c.opt.Now()), time.Millisecond))
		}
		select {
		case <-c.wake:
		case <-timer.C:
			c.tick(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// work does all that waits.
func (c *Client) work(ctx context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		list, back := c.tasks, c.back
		c.tasks, c.back = nil, false
		c.mu.Unlock()
		if back {
			c.reappeared(ctx)
		}
		if len(list) == 0 {
			return
		}
		for len(list) > 0 {
			n := slices.IndexFunc(list, func(t task) bool { return t.chunk == nil })
			switch {
			case n == 0:
				list[0].run(ctx)
				list = list[1:]
			case n < 0:
				c.store(ctx, list)
				list = nil
			default:
				c.store(ctx, list[:n])
				list = list[n:]
			}
		}
	}
}

// say sends a message to the backend. What is lost is sent again by those who
// keep the time.
func (c *Client) say(ctx context.Context, m BackendMessage) error {
	c.mu.Lock()
	s := c.services()
	c.mu.Unlock()
	name := map[Service]string{ServiceStart: s.Start, ServiceAck: s.Ack, ServiceReport: s.Report, ServicePackages: s.Packages}[m.Service()]
	room := 512
	if a, ok := m.(Ack); ok {
		room += 7 * a.Chunks.Len() // lists grow long, and there are many
	}
	err := c.sender.Send(ctx, name, m.AppendParams(make([]byte, 0, room)), DeviceMessageLife)
	if err != nil {
		c.opt.Log.Warn("a message to the update server is lost", "service", name, "err", err)
	}
	return err
}

// as is who the client is in messages about a unit (rvi.md 5.1, 5.5).
func (c *Client) as(u Unit) Identity {
	own := c.own()
	if u.Update == "" && own.VIN == "" {
		return Identity{VIN: c.opt.VIN}
	}
	return own
}
