package coap

import (
	"container/list"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// observers knows who observes what (RFC 7641). Every notification is
// confirmable: one observer is told one thing at a time, the newest when it
// has acknowledged the one before, and one that does not answer is forgotten.
// Of too many those go that were heard of longest ago: most are devices that
// have restarted since, or have another address.
type observers struct {
	srv     *Server
	changes atomic.Uint64 // calls of Changed, for any path

	mu      sync.Mutex
	byKey   map[observerKey]*observation
	byPath  map[string]map[observerKey]*observation
	byLink  map[link]map[observerKey]*observation
	peers   map[observerPeer][]*observation // oldest first
	byAge   list.List                       // of *observation, oldest first
	seq     uint32
	queue   []*observation
	running int
	telling map[link]int // handlers that run to notify
	told    sync.Cond    // one of them does no more
}

// notifiers is how many handlers may run at once to notify.
const notifiers = 4

// maxObserve is how long the options of an observing request may be, in bytes.
const maxObserve = 512

type observerPeer struct {
	link link
	addr netip.AddrPort
}

type observerKey struct {
	peer  observerPeer
	token string
}

type observation struct {
	key   observerKey
	from  origin
	r     *Request
	path  string
	age   *list.Element
	dirty bool // something changed since it was told last
	busy  bool // queued, or being told
}

func (o origin) key() observerKey {
	return observerKey{observerPeer{o.link, o.to.peer}, o.token}
}

func newObservers(s *Server) *observers {
	o := &observers{
		srv: s, byKey: make(map[observerKey]*observation), byPath: make(map[string]map[observerKey]*observation),
		byLink: make(map[link]map[observerKey]*observation), peers: make(map[observerPeer][]*observation), telling: make(map[link]int),
		// Sequence numbers must go on growing when a server starts again.
		seq: uint32(time.Now().Unix()),
	}
	o.told.L = &o.mu
	return o
}

// Changed notifies who observes the resource at a path, such as "/u/device1":
// the handler is asked again for each of them, soon and elsewhere.
func (s *Server) Changed(path string) {
	s.init()
	o := s.observers
	o.changes.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, one := range o.byPath[path] {
		one.dirty = true
		o.enqueue(one)
	}
}

// add registers an observer, anew if it is one; false if its request is too
// long to be kept. seq is the value of its Observe option. If anything changed since seen, what
// it is answered now may be old, and it is notified.
func (o *observers) add(r *Request, from origin, seen uint64) (seq uint32, ok bool) {
	k := from.key()
	if sizeOf(r.Options) > maxObserve {
		o.remove(k)
		return 0, false
	}
	kept := *r
	kept.Payload = nil
	one := &observation{key: k, from: from, r: kept.clone(), path: r.Path()}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(o.byKey[k])
	if mine := o.peers[k.peer]; len(mine) >= o.srv.limits.PeerObservers {
		o.drop(mine[0])
	}
	if len(o.byKey) >= o.srv.limits.Observers {
		o.drop(o.byAge.Front().Value.(*observation))
	}
	o.byKey[k] = one
	one.age = o.byAge.PushBack(one)
	index(o.byPath, one.path, one)
	index(o.byLink, from.link, one)
	o.peers[k.peer] = append(o.peers[k.peer], one)
	seq = o.next()
	if one.dirty = o.changes.Load() != seen; one.dirty {
		o.enqueue(one)
	}
	return seq, true
}

func index[K comparable](m map[K]map[observerKey]*observation, k K, one *observation) {
	if m[k] == nil {
		m[k] = make(map[observerKey]*observation)
	}
	m[k][one.key] = one
}

func unindex[K comparable](m map[K]map[observerKey]*observation, k K, one *observation) {
	if delete(m[k], one.key); len(m[k]) == 0 {
		delete(m, k)
	}
}

func (o *observers) remove(k observerKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(o.byKey[k])
}

// removeLink forgets all who observe by a link that has ended, and waits for
// handlers that run for them.
func (o *observers) removeLink(l link) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, one := range o.byLink[l] {
		o.drop(one)
	}
	for o.telling[l] > 0 {
		o.told.Wait()
	}
}

func (o *observers) drop(one *observation) {
	if one == nil || o.byKey[one.key] != one {
		return
	}
	delete(o.byKey, one.key)
	unindex(o.byPath, one.path, one)
	unindex(o.byLink, one.from.link, one)
	o.byAge.Remove(one.age)
	p := one.key.peer
	mine := o.peers[p]
	if len(mine) == 1 {
		delete(o.peers, p)
		return
	}
	i := slices.Index(mine, one)
	o.peers[p] = slices.Delete(mine, i, i+1)
}

// next is the next sequence number: 24 bits (RFC 7641 4.4).
func (o *observers) next() uint32 {
	o.seq++
	return o.seq & 0xFFFFFF
}

func (o *observers) enqueue(one *observation) {
	if one.busy {
		return
	}
	one.busy = true
	o.queue = append(o.queue, one)
	if o.running < notifiers {
		o.running++
		go o.run()
	}
}

// run notifies until nobody is left to be.
func (o *observers) run() {
	o.mu.Lock()
	for len(o.queue) > 0 {
		one := o.queue[0]
		o.queue = o.queue[1:]
		if o.byKey[one.key] != one {
			continue
		}
		one.dirty = false
		o.telling[one.from.link]++
		o.mu.Unlock()
		o.tell(one)
		o.mu.Lock()
		if o.telling[one.from.link]--; o.telling[one.from.link] == 0 {
			delete(o.telling, one.from.link)
		}
		o.told.Broadcast()
	}
	o.running--
	o.mu.Unlock()
}

// tell sends what the handler answers now. An answer that is no success is
// the last one (RFC 7641 4.2).
func (o *observers) tell(one *observation) {
	m := o.srv.reply(one.r, o.srv.handle(one.r))
	o.mu.Lock()
	if m.Code.Class() == 2 {
		m.Options.AddUint(Observe, o.next())
	} else {
		o.drop(one)
	}
	o.mu.Unlock()
	m.Token = []byte(one.key.token)
	one.from.link.notify(one.from, m, func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		one.busy = false
		switch {
		case err != nil:
			o.drop(one)
		case o.byKey[one.key] == one:
			o.byAge.MoveToBack(one.age)
			if one.dirty {
				o.enqueue(one)
			}
		}
	})
}

func (u *udpServer) notify(to origin, m Message, done func(error)) {
	u.layer.out.post(to.to, m, func(_ *Message, err error) { done(err) })
}
