package coap

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// exchanges remembers requests by their message ID, so that one that comes
// again is not handled again but answered again (RFC 7252 4.2, 4.5). It also
// counts the handlers each peer keeps busy. What it remembers is bounded for
// each peer and in total, and the oldest goes first.
type exchanges struct {
	max, maxBytes, perPeer, running int

	mu    sync.Mutex
	all   map[exchangeKey]*exchange
	peers map[netip.AddrPort]*peerExchanges
	byAge list.List // of *exchange, oldest first
	bytes int
}

type exchangeKey struct {
	peer netip.AddrPort
	id   uint16
}

type exchange struct {
	exchangeKey
	what   uint64 // a hash of the request
	until  time.Time
	ended  bool   // the handler is through
	answer []byte // nil while the handler runs and nothing was sent
	inAll  *list.Element
	inPeer *list.Element
}

type peerExchanges struct {
	byAge   list.List // of *exchange
	running int
}

// overhead is about what an exchange costs besides its answer, in bytes.
const overhead = 320

func newExchanges(l Limits) *exchanges {
	return &exchanges{
		max: l.Exchanges, maxBytes: l.ExchangeBytes, perPeer: l.PeerExchanges, running: l.PeerHandlers,
		all: make(map[exchangeKey]*exchange), peers: make(map[netip.AddrPort]*peerExchanges),
	}
}

// begun says what to do with a request.
type begun uint8

const (
	fresh  begun = iota // handle it
	repeat              // send the answer again, if there is one yet
	busy                // this peer has enough handlers running
)

// again returns what a request was answered, nil if nothing yet, if it has come
// before.
func (x *exchanges) again(k exchangeKey, what uint64, now time.Time) (answer []byte, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.all[k]
	if !ok || e.what != what || !now.Before(e.until) {
		return nil, false
	}
	return e.answer, true
}

// begin looks a request up, and remembers it if it is fresh. Another one under
// the same ID takes the place of the first: a device that has restarted counts
// from the beginning, and must not be told what it was told before.
func (x *exchanges) begin(k exchangeKey, what uint64, now time.Time) (e *exchange, answer []byte, _ begun) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for first := x.byAge.Front(); first != nil; first = x.byAge.Front() {
		e := first.Value.(*exchange)
		if now.Before(e.until) {
			break
		}
		x.forget(e)
	}
	if e, ok := x.all[k]; ok {
		if e.what == what {
			return e, e.answer, repeat
		}
		x.forget(e)
	}
	p := x.peers[k.peer]
	if p == nil {
		p = &peerExchanges{}
	}
	if p.running >= x.running {
		return nil, nil, busy
	}
	e = &exchange{exchangeKey: k, what: what, until: now.Add(exchangeLifetime)}
	x.peers[k.peer] = p
	x.all[k] = e
	e.inAll, e.inPeer = x.byAge.PushBack(e), p.byAge.PushBack(e)
	p.running++
	x.bytes += overhead
	x.shrink(p)
	return e, nil, fresh
}

// sent remembers what was sent in answer, which is not to be changed any more.
func (x *exchanges) sent(e *exchange, answer []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all[e.exchangeKey] != e {
		return
	}
	x.bytes += len(answer) - len(e.answer)
	e.answer = answer
	x.shrink(x.peers[e.peer])
}

// end notes that the handler is through.
func (x *exchanges) end(e *exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.ended = true
	p := x.peers[e.peer]
	p.running--
	x.drop(p, e.peer)
}

// shrink forgets what is too much, but nothing that is under way: it would be
// handled twice.
func (x *exchanges) shrink(p *peerExchanges) {
	if p.byAge.Len() > x.perPeer {
		x.forget(oldest(&p.byAge))
	}
	for len(x.all) > x.max || x.bytes > x.maxBytes {
		e := oldest(&x.byAge)
		if e == nil {
			return
		}
		x.forget(e)
	}
}

// oldest is the oldest exchange that is not under way, nil if all are.
func oldest(byAge *list.List) *exchange {
	for at := byAge.Front(); at != nil; at = at.Next() {
		if e := at.Value.(*exchange); e.ended {
			return e
		}
	}
	return nil
}

// forget removes an exchange, unless it is nil. A handler of it goes on
// running, and counting.
func (x *exchanges) forget(e *exchange) {
	if e == nil {
		return
	}
	delete(x.all, e.exchangeKey)
	x.byAge.Remove(e.inAll)
	p := x.peers[e.peer]
	p.byAge.Remove(e.inPeer)
	x.bytes -= overhead + len(e.answer)
	x.drop(p, e.peer)
}

// drop forgets a peer of whom nothing is left.
func (x *exchanges) drop(p *peerExchanges, addr netip.AddrPort) {
	if p.running == 0 && p.byAge.Len() == 0 {
		delete(x.peers, addr)
	}
}
