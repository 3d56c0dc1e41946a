package coap

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

var errBusy = errors.New("coap: too many handshakes under way")

// ServeTCP answers requests over TCP (RFC 8323) until ctx ends. Then it closes
// l and all connections and returns nil once the handlers have. For TLS l is
// a tls.NewListener with NextProtos "coap"; a client's certificate that it has
// verified becomes its identity.
func (s *Server) ServeTCP(ctx context.Context, l net.Listener) error {
	s.init()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	conns, handshakes := newTurns(s.limits.Sessions), newTurns(s.limits.Handshakes)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			if ne, ok := errors.AsType[*net.OpError](err); ok && ne.Err != nil {
				// Out of descriptors, most likely: some will be free soon.
				s.log.Warn("a CoAP connection cannot be accepted", "err", err)
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			return err
		}
		from := addrOf(c).Addr()
		if !conns.take(from) {
			c.Close()
			continue
		}
		wg.Go(func() {
			defer conns.give(from)
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			peer, err := s.meet(ctx, c, handshakes)
			if err != nil {
				s.log.Info("a TLS handshake failed", "peer", c.RemoteAddr(), "err", err)
				return
			}
			s.serveStream(ctx, c, peer)
		})
	}
}

// meet finds out who is at the other end.
func (s *Server) meet(ctx context.Context, c net.Conn, handshakes *turns) (Peer, error) {
	p := Peer{Transport: TCP, Addr: addrOf(c), Proven: true}
	t, ok := c.(*tls.Conn)
	if !ok {
		return p, nil
	}
	if !handshakes.take(p.Addr.Addr()) {
		return p, errBusy
	}
	defer handshakes.give(p.Addr.Addr())
	ctx, cancel := context.WithTimeout(ctx, s.limits.Handshake)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return p, err
	}
	p.Transport = TLS
	if state := t.ConnectionState(); len(state.VerifiedChains) > 0 {
		p.Security, p.Certificate = Certificate, state.PeerCertificates[0]
		p.Identity = p.Certificate.Subject.CommonName
	}
	return p, nil
}

// tcpServer serves one connection.
type tcpServer struct {
	srv    *Server
	s      *stream
	peer   Peer
	ctx    context.Context
	cancel context.CancelFunc
	turns  chan struct{} // for the handlers of this peer
	wg     sync.WaitGroup
}

func (s *Server) serveStream(ctx context.Context, c net.Conn, peer Peer) {
	t := &tcpServer{srv: s, s: newStream(c, s.limits.Frame, s.limits.IdleConn), peer: peer, turns: make(chan struct{}, s.limits.PeerHandlers)}
	t.ctx, t.cancel = context.WithCancel(ctx)
	if t.s.hello() == nil {
		// However it ends, the connection is over. Who releases it still wants to
		// hear what it has asked for.
		if err := t.s.run(t.request); errors.Is(err, errReleased) {
			t.wg.Wait()
		}
	}
	t.cancel()
	c.Close()
	t.wg.Wait()
	s.observers.removeLink(t)
}

// request answers a request. A peer whose handlers are all busy is not read
// from until one is not.
func (t *tcpServer) request(m Message) {
	if !m.Code.IsRequest() {
		return // a response nobody waits for
	}
	const rest = 128 // of a message, besides the block
	r := &Request{ctx: t.ctx, block: max(int(t.s.takes.Load())-rest, 16)}
	if refused := r.read(&m, t.peer); refused != Empty {
		_ = t.s.write(Message{Code: refused, Token: m.Token})
		return
	}
	t.turns <- struct{}{}
	release, ok := t.srv.occupy(t.peer.Addr.Addr(), true)
	if !ok {
		<-t.turns
		busy := overloaded()
		busy.Token = m.Token
		_ = t.s.write(busy)
		return
	}
	t.wg.Go(func() {
		defer func() { <-t.turns }()
		answer := t.srv.answer(r, origin{link: t, to: route{peer: netip.AddrPort{}}, token: string(m.Token)})
		release() // writing takes as long as the peer wants
		answer.Token = m.Token
		_ = t.s.write(answer) // an error ends the connection
	})
}

// notify does not wait until the peer reads: other observers do.
func (t *tcpServer) notify(_ origin, m Message, done func(error)) {
	go func() { done(t.s.write(m)) }()
}
