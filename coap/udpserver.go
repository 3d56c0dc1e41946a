package coap

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// udpServer serves one UDP socket, or one DTLS session.
type udpServer struct {
	srv    *Server
	layer  *layer
	secure func() Peer // who is at the other end of the session; nil for a socket
	salt   uint16
	// Requests seen, of addresses not proven and proven: a flood of forged
	// ones cannot make us forget what honest peers were told.
	seen   [2]*exchanges
	seed   maphash.Seed
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newUDPServer(ctx context.Context, s *Server, sock socket, secure func() Peer) *udpServer {
	u := &udpServer{srv: s, secure: secure, salt: uint16(rand.Uint32()) | 1, seed: maphash.MakeSeed()}
	u.ctx, u.cancel = context.WithCancel(ctx)
	u.layer = &layer{sock: sock, out: newOutbox(s.limits, sock.write), request: u.request}
	l := s.limits
	if secure != nil { // one peer, and there are many sessions
		l.Exchanges, l.ExchangeBytes = min(l.PeerExchanges, 16), min(l.ExchangeBytes, 16<<10)
	}
	u.seen = [2]*exchanges{newExchanges(l), newExchanges(l)}
	return u
}

// close ends what is under way and waits for handlers.
func (u *udpServer) close() {
	u.cancel()
	u.wg.Wait()
	u.srv.observers.removeLink(u)
	u.layer.out.close()
}

// peer tells who sent something.
func (u *udpServer) peer(from route) Peer {
	if u.secure != nil {
		return u.secure()
	}
	p := Peer{Addr: from.peer, Proven: u.srv.proofs.has(from.peer, time.Now())}
	if !p.Proven && u.srv.Trusted != nil {
		p.Proven = u.srv.Trusted(from.peer)
	}
	return p
}

// request answers a request at once, if it can, and otherwise has a goroutine
// do so.
func (u *udpServer) request(s *scratch, m *Message, from route) {
	r, now := &s.req, time.Now()
	size := 4 + len(m.Token) + sizeOf(m.Options) + len(m.Payload)
	r.ctx = u.ctx
	refused := r.read(m, u.peer(from))
	if v, ok := r.Options.Get(Echo); ok && !r.Peer.Proven {
		r.Peer.Proven = u.srv.proofs.prove(r.Peer.Addr, v, now)
	}
	if from.behind && !r.Peer.Proven && !u.srv.hasTime(now) {
		return
	}
	if refused != Empty {
		// A critical option in a message that needs no answer is silently
		// ignored (RFC 7252 5.4.1).
		if m.Type == Confirmable || refused != BadOption {
			s.out = u.head(s.out[:0], m, refused)
			u.send(s, s.out, size, r, m, from)
		}
		return
	}
	if u.prompt(s, m, from, size) {
		return
	}
	x, e, answer, what := u.begin(exchangeKey{from.peer, m.ID}, s.raw, r.Peer.Proven, now)
	switch what {
	case repeat:
		if answer != nil {
			u.send(s, answer, size, r, m, from)
		}
		return
	case fresh:
		if release, ok := u.srv.occupy(r.Peer.Addr.Addr(), r.Peer.Proven); ok {
			c := &call{u: u, seen: x, e: e, m: m.clone(), r: r.clone(), from: from, size: size, release: release}
			u.wg.Go(c.run)
			return
		}
	}
	busy := overloaded()
	s.out = appendOptions(u.head(s.out[:0], m, busy.Code), busy.Options, nil)
	if e != nil {
		x.end(e)
		x.sent(e, append([]byte(nil), s.out...))
	}
	u.send(s, s.out, size, r, m, from)
}

// begin looks a request up. It may have come before its peer was proven, or
// when it still was.
func (u *udpServer) begin(k exchangeKey, raw []byte, proven bool, now time.Time) (x *exchanges, e *exchange, answer []byte, _ begun) {
	x, other := u.seen[0], u.seen[1]
	if proven {
		x, other = other, x
	}
	hash := maphash.Bytes(u.seed, raw)
	if answer, ok := other.again(k, hash, now); ok {
		return x, nil, answer, repeat
	}
	e, answer, what := x.begin(k, hash, now)
	return x, e, answer, what
}

// prompt answers a GET whose content is known at once. That needs no memory:
// it is asked for every block of every file.
func (u *udpServer) prompt(s *scratch, m *Message, from route, size int) bool {
	r := &s.req
	if u.srv.content == nil || r.Code != GET {
		return false
	}
	if _, ok := r.Options.Get(Observe); ok {
		return false
	}
	if _, ok := r.Options.Get(NoResponse); ok {
		return false
	}
	c, ok := u.srv.known(r)
	if !ok {
		return false
	}
	p := c.part(r, szx(u.srv.limits.Block))
	b, err := p.appendTo(u.head(s.out[:0], m, p.code), &c)
	if err != nil {
		u.srv.log.Error("CoAP content cannot be read", "path", r.Path(), "err", err)
		b = u.head(s.out[:0], m, InternalServerError)
	}
	s.out = b
	u.send(s, b, size, r, m, from)
	return true
}

// head begins an answer: piggy-backed on the acknowledgement if there is to be
// one. Otherwise it has a message ID of ours, made from the one it answers, so
// that none comes twice in a lifetime.
func (u *udpServer) head(b []byte, m *Message, c Code) []byte {
	if m.Type == Confirmable {
		return appendHeader(b, Acknowledgement, c, m.ID, m.Token)
	}
	return appendHeader(b, NonConfirmable, c, m.ID^u.salt, m.Token)
}

// send sends an answer, or has the peer prove its address first.
func (u *udpServer) send(s *scratch, b []byte, size int, r *Request, m *Message, from route) {
	if !r.Peer.Proven && !u.affordable(len(b), 1, size, r.Peer.Addr) {
		b = u.challenge(s.out[:0], m, r.Peer.Addr)
	}
	_ = u.layer.sock.write(b, from)
}

// affordable reports whether an answer may be sent so many times to an address
// that might be forged (RFC 9175 2.4, coap-suit.md 2.9).
func (u *udpServer) affordable(answer, times, request int, to netip.AddrPort) bool {
	if answer > u.srv.limits.Unproven {
		return false
	}
	excess := times*answer - 3*request
	return excess <= 0 || u.srv.buckets.take(to.Addr(), excess, time.Now())
}

// challenge is 4.01 with an Echo option, to be returned with the request.
func (u *udpServer) challenge(b []byte, m *Message, to netip.AddrPort) []byte {
	v := u.srv.proofs.echo(to, time.Now())
	return appendOption(u.head(b, m, Unauthorized), 0, Echo, v[:])
}

// sizeOf is about how many bytes options took.
func sizeOf(o Options) int {
	n := 0
	for i := range o {
		n += 1 + len(o[i].Value)
	}
	return n
}
