package node

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"
)

// parcel is a message on its way.
type parcel struct {
	seq     uint64 // in the order they were handed in
	service string
	params  []byte // checked JSON, ours
	make    func([]byte) ([]byte, error)
	expires time.Time
	from    Peer
}

// open returns the parameters. If they are still to be made that is done in the
// buffer that room gives, and they are checked.
func (p *parcel) open(room func() []byte) ([]byte, error) {
	if p.make == nil {
		return p.params, nil
	}
	params, err := p.make(room())
	if err != nil {
		return nil, err
	}
	if len(params) == 0 {
		return nil, errWithdrawn
	}
	return params, checkJSON(params)
}

// errWithdrawn says that a message is not needed any more, by who sent it.
var errWithdrawn = errors.New("withdrawn")

// size is what the parcel counts for in queues, where parameters that are still
// to be made are not.
func (p *parcel) size() int { return len(p.params) + len(p.service) + 128 }

// owner is whose queue the parcel waits in: that of the peer it came from, so
// that none can fill another's, or that of the node it is for.
func (p *parcel) owner() string {
	if p.from.Addr != "" {
		return "from " + p.from.String()
	}
	return nodeOf(p.service)
}

// waiting are messages whose service nobody has announced. Guarded by Node.mu.
type waiting struct {
	queues map[string]*queue // by owner
	timer  *time.Timer       // for the first that expires
	first  time.Time
}

type queue struct {
	parcels []*parcel
	bytes   int
}

// hold keeps a parcel until its service appears; false if there is no room.
func (n *Node) hold(p *parcel) bool {
	w := &n.waiting
	q := w.queues[p.owner()]
	if q == nil {
		q = &queue{}
	}
	if len(q.parcels) >= n.opt.QueueMessages || q.bytes+p.size() > n.opt.QueueBytes || !n.room(p.size()) {
		return false
	}
	if p.from.Addr != "" && !n.room(n.opt.QueuedBytes/2) {
		return false // peers shall leave room for what is to be sent
	}
	if w.queues == nil {
		w.queues = map[string]*queue{}
	}
	w.queues[p.owner()] = q
	q.parcels = append(q.parcels, p)
	q.bytes += p.size()
	n.queued += p.size()
	n.expireAt(p.expires)
	return true
}

// expireAt sees to it that the waiting are looked through at t.
func (n *Node) expireAt(t time.Time) {
	w := &n.waiting
	if w.timer != nil && !t.Before(w.first) {
		return
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.first = t
	w.timer = time.AfterFunc(max(t.Sub(n.now()), 0)+time.Millisecond, n.expire)
}

// expire drops what has waited too long.
func (n *Node) expire() {
	n.mu.Lock()
	defer n.unlock()
	if n.closed {
		return
	}
	now := n.now()
	n.waiting.timer = nil
	for _, p := range n.take(nil, func(p *parcel) bool { return !p.expires.After(now) }) {
		n.audit("expired", p.from.String(), p.service, "nobody announced the service in time")
	}
	for _, q := range n.waiting.queues {
		for _, p := range q.parcels {
			n.expireAt(p.expires)
		}
	}
}

// take removes the parcels that match from the queues of the owners, or from
// all if that is nil, and returns them in the order they came.
func (n *Node) take(owners []string, match func(*parcel) bool) (taken []*parcel) {
	w := &n.waiting
	if owners == nil {
		owners = slices.Collect(maps.Keys(w.queues))
	}
	for _, owner := range owners {
		q := w.queues[owner]
		if q == nil {
			continue
		}
		q.parcels = slices.DeleteFunc(q.parcels, func(p *parcel) bool {
			if !match(p) {
				return false
			}
			taken = append(taken, p)
			q.bytes -= p.size()
			n.queued -= p.size()
			return true
		})
		if len(q.parcels) == 0 {
			delete(w.queues, owner)
		}
	}
	slices.SortFunc(taken, func(a, b *parcel) int { return cmp.Compare(a.seq, b.seq) })
	return taken
}

// abandon tells what is still waiting when the node closes.
func (n *Node) abandon() {
	if n.waiting.timer != nil {
		n.waiting.timer.Stop()
	}
	for _, p := range n.take(nil, func(*parcel) bool { return true }) {
		n.audit("closed", p.from.String(), p.service, "the node ended while the message was waiting")
	}
}
