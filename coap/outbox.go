package coap

import (
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// outbox sends confirmable messages and repeats them until they are
// acknowledged (RFC 7252 4.2), one at a time to each peer (NSTART, 4.7). Its
// queues are bounded for each peer and in total.
type outbox struct {
	send    func(b []byte, to route) error
	perPeer int
	max     int
	jitter  func() float64 // between 0 and 1

	mu      sync.Mutex
	lanes   map[netip.AddrPort]*lane
	nextID  uint16 // one count for all peers
	seed    maphash.Seed
	waiting int
	closed  bool
}

// lane is what waits for one peer; the first of it is on its way.
type lane struct{ queue []*transmission }

// transmission is one confirmable message.
type transmission struct {
	to      route
	id      uint16
	token   string
	data    []byte
	tries   int
	timeout time.Duration
	timer   *time.Timer
	done    func(m *Message, err error)
}

// Ends of a transmission that was not acknowledged.
var (
	// ErrReset means that the peer does not know what a message is about.
	ErrReset = errors.New("coap: the peer answered with a reset")
	// ErrTimeout means that a message was sent five times, over 62 to 93
	// seconds, and never acknowledged.
	ErrTimeout = errors.New("coap: the peer does not answer")
	// ErrQueueFull means that too many messages wait for this peer, or for all.
	ErrQueueFull = errors.New("coap: too many messages wait to be sent")
	// ErrClosed means that this end has ended the conversation.
	ErrClosed = errors.New("coap: closed")
)

func newOutbox(l Limits, send func([]byte, route) error) *outbox {
	return &outbox{
		send: send, perPeer: l.Queue, max: l.Queues, jitter: rand.Float64,
		lanes: make(map[netip.AddrPort]*lane), nextID: uint16(rand.Uint32()), seed: maphash.MakeSeed(),
	}
}

// post queues m as a confirmable message with an ID of its own. done is
// called once, with the acknowledgement, which lies in the datagram it came
// in, or with one of the errors above; it must not block. The transmission
// returned, nil if done was called already, is to be cancelled with.
func (o *outbox) post(to route, m Message, done func(*Message, error)) *transmission {
	o.mu.Lock()
	l := o.lanes[to.peer]
	if l == nil {
		l = &lane{}
	}
	err := ErrQueueFull
	switch {
	case o.closed:
		err = ErrClosed
	case len(l.queue) < o.perPeer && o.waiting < o.max:
		err = nil
	}
	if err != nil {
		o.mu.Unlock()
		done(nil, err)
		return nil
	}
	o.nextID++
	// To each peer IDs are counted up, but none can tell those of another.
	m.Type, m.ID = Confirmable, o.nextID^uint16(maphash.Comparable(o.seed, to.peer))
	t := &transmission{to: to, id: m.ID, token: string(m.Token), data: m.appendTo(nil), done: done}
	o.lanes[to.peer] = l
	l.queue = append(l.queue, t)
	o.waiting++
	if len(l.queue) == 1 {
		o.start(t)
	}
	o.mu.Unlock()
	return t
}

// cancel gives a transmission up, unless it has ended. Its done is not called.
func (o *outbox) cancel(t *transmission) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lanes[t.to.peer]
	if l == nil {
		return
	}
	switch i := slices.Index(l.queue, t); {
	case i == 0:
		o.next(l, t.to.peer)
	case i > 0:
		l.queue = slices.Delete(l.queue, i, i+1)
		o.waiting--
	}
}

// start sends a message for the first time.
func (o *outbox) start(t *transmission) {
	t.timeout = time.Duration(float64(ackTimeout) * (1 + (ackRandomFactor-1)*o.jitter()))
	t.timer = time.AfterFunc(t.timeout, func() { o.again(t) })
	// A datagram that cannot be sent now is as good as lost: it is repeated.
	_ = o.send(t.data, t.to)
}

// again repeats a message, or gives it up.
func (o *outbox) again(t *transmission) {
	o.mu.Lock()
	l := o.lanes[t.to.peer]
	if l == nil || len(l.queue) == 0 || l.queue[0] != t {
		o.mu.Unlock()
		return // acknowledged just now
	}
	if t.tries == maxRetransmit {
		o.next(l, t.to.peer)
		o.mu.Unlock()
		t.done(nil, ErrTimeout)
		return
	}
	t.tries++
	t.timeout *= 2
	t.timer.Reset(t.timeout)
	_ = o.send(t.data, t.to)
	o.mu.Unlock()
}

// settle ends the transmission that m acknowledges or resets; false if there
// is none.
func (o *outbox) settle(peer netip.AddrPort, m *Message) bool {
	o.mu.Lock()
	l := o.lanes[peer]
	if l == nil || !l.queue[0].settledBy(m) {
		o.mu.Unlock()
		return false
	}
	t := l.queue[0]
	o.next(l, peer)
	o.mu.Unlock()
	if m.Type == Reset {
		t.done(nil, ErrReset)
	} else {
		t.done(m, nil)
	}
	return true
}

// settledBy reports whether m is about a message. One with the response to
// another request is about none (RFC 7252 5.3.2).
func (t *transmission) settledBy(m *Message) bool {
	return m.ID == t.id && (m.Code == Empty || string(m.Token) == t.token)
}

// next takes the first message off a lane and sends the one behind it.
func (o *outbox) next(l *lane, peer netip.AddrPort) {
	l.queue[0].timer.Stop()
	l.queue = l.queue[1:]
	o.waiting--
	if len(l.queue) == 0 {
		delete(o.lanes, peer)
		return
	}
	o.start(l.queue[0])
}

// close gives everything up.
func (o *outbox) close() {
	o.mu.Lock()
	lanes := o.lanes
	o.lanes, o.waiting, o.closed = make(map[netip.AddrPort]*lane), 0, true
	o.mu.Unlock()
	for _, l := range lanes {
		l.queue[0].timer.Stop()
		for _, t := range l.queue {
			t.done(nil, ErrClosed)
		}
	}
}
