package coap

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// bodies puts requests together that come in blocks (RFC 7959 2.5). A peer
// may have two unfinished ones; what lies for long, or is too much, goes.
type bodies struct {
	body, max int

	mu    sync.Mutex
	all   map[bodyKey]*body
	byAge list.List // of *body, oldest first
	used  int
	peers map[bodyPeer]int
}

// perPeerBodies is how many unfinished bodies a peer may have: one, and
// another because devices restart and begin anew.
const perPeerBodies = 2

type bodyPeer struct {
	addr      netip.AddrPort
	transport Transport
}

type bodyKey struct {
	peer   bodyPeer
	method Code
	target string
}

type body struct {
	key   bodyKey
	data  []byte
	until time.Time
	age   *list.Element
}

// size is about what a body costs, in bytes.
func (b *body) size() int { return overhead + len(b.key.target) + len(b.data) }

func newBodies(l Limits) *bodies {
	return &bodies{body: l.Body, max: l.Bodies, all: make(map[bodyKey]*body), peers: make(map[bodyPeer]int)}
}

// add takes a block. With the last one r gets the whole payload and the code
// returned is Empty; otherwise the message is the answer.
func (a *bodies) add(r *Request, b Block, now time.Time) Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire(now)
	k := keyOf(r)
	have := a.all[k]
	if b.Num == 0 {
		a.drop(have)
		have = nil
	}
	at := 0
	if have != nil {
		at = len(have.data)
	}
	size, _ := r.Options.Uint(Size1)
	switch {
	case b.Offset() != int64(at):
		return Message{Code: RequestEntityIncomplete}
	case b.SZX < 7 && len(r.Payload) > b.Size(), b.More && (len(r.Payload) == 0 || len(r.Payload)%b.Size() != 0 || b.SZX < 7 && len(r.Payload) != b.Size()):
		a.drop(have)
		return Message{Code: BadRequest, Payload: []byte("a block of another size than it says")}
	case at+len(r.Payload) > a.body || int64(size) > int64(a.body):
		a.drop(have)
		m := Message{Code: RequestEntityTooLarge}
		m.Options.AddUint(Size1, uint32(a.body))
		return m
	}
	if !b.More {
		if have != nil {
			r.Payload = append(have.data, r.Payload...)
			a.drop(have)
		}
		return Message{}
	}
	a.keep(k, have, r.Payload, now)
	m := Message{Code: Continue}
	m.Options.AddUint(Block1, b.value())
	return m
}

// keep adds data to a body, which is new if nil.
func (a *bodies) keep(k bodyKey, b *body, data []byte, now time.Time) {
	if b == nil {
		for a.peers[k.peer] >= perPeerBodies {
			a.drop(a.oldestOf(k.peer))
		}
		b = &body{key: k}
		b.age = a.byAge.PushBack(b)
		a.all[k] = b
		a.peers[k.peer]++
		a.used += b.size()
	}
	b.data = append(b.data, data...)
	b.until = now.Add(exchangeLifetime)
	a.byAge.MoveToBack(b.age)
	a.used += len(data)
	for a.used > a.max && a.byAge.Front().Value != b {
		a.drop(a.byAge.Front().Value.(*body))
	}
}

func (a *bodies) oldestOf(p bodyPeer) *body {
	for e := a.byAge.Front(); e != nil; e = e.Next() {
		if b := e.Value.(*body); b.key.peer == p {
			return b
		}
	}
	return nil
}

func (a *bodies) expire(now time.Time) {
	for e := a.byAge.Front(); e != nil && now.After(e.Value.(*body).until); e = a.byAge.Front() {
		a.drop(e.Value.(*body))
	}
}

func (a *bodies) drop(b *body) {
	if b == nil {
		return
	}
	delete(a.all, b.key)
	a.byAge.Remove(b.age)
	a.used -= b.size()
	if a.peers[b.key.peer]--; a.peers[b.key.peer] == 0 {
		delete(a.peers, b.key.peer)
	}
}

// keyOf tells which requests carry parts of the same body: same peer, method,
// path, queries and Request-Tag (RFC 9175 3).
func keyOf(r *Request) bodyKey {
	var target []byte
	for _, o := range r.Options {
		if o.ID == URIPath || o.ID == URIQuery || o.ID == RequestTag {
			target = appendOption(target, 0, o.ID, o.Value)
		}
	}
	return bodyKey{bodyPeer{r.Peer.Addr, r.Peer.Transport}, r.Code, string(target)}
}
