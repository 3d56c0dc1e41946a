package coap

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Server answers requests on any number of sockets. Its fields are not to be
// changed once it serves.
type Server struct {
	Handler Handler
	Limits  Limits
	Log     *slog.Logger // slog.Default() if nil
	// Trusted says which UDP addresses need not prove themselves, such as those
	// of known devices that know no Echo option. It is asked for every request
	// from an unproven address and must be quick; nil trusts none.
	Trusted func(netip.AddrPort) bool

	once      sync.Once
	limits    Limits
	log       *slog.Logger
	content   ContentHandler // nil if Handler is none
	proofs    *proofs
	buckets   *buckets
	slots     *turns // for running handlers
	unproven  *turns // of them, for unproven addresses
	bodies    *bodies
	observers *observers
	sessions  sessions

	mu       sync.Mutex
	overload bucket // of requests answered in spite of it
}

func (s *Server) init() {
	s.once.Do(func() {
		s.limits = s.Limits.withDefaults()
		if s.log = s.Log; s.log == nil {
			s.log = slog.Default()
		}
		s.content, _ = s.Handler.(ContentHandler)
		s.proofs = newProofs(s.limits)
		s.buckets = newBuckets(s.limits.UnprovenRate)
		s.slots = newShares(s.limits.Handlers, s.limits.Handlers/2)
		half := max(s.limits.Handlers/2, 1)
		s.unproven = newShares(half, half/2)
		s.bodies = newBodies(s.limits)
		s.observers = newObservers(s)
	})
}

// Serve answers the datagrams that come to c, a UDP socket, until ctx ends.
// Then it closes c and returns nil once the handlers have; any other error is
// one of reading. If c is bound to all addresses, answers come from the one
// that was asked (on Linux), and multicast is not answered.
func (s *Server) Serve(ctx context.Context, c net.PacketConn) error {
	s.init()
	defer c.Close()
	sock, err := newSocket(c)
	if err != nil {
		return err
	}
	u := newUDPServer(ctx, s, sock, nil)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	readers := runtime.GOMAXPROCS(0)
	errs := make(chan error, readers)
	for range readers {
		go func() { errs <- u.layer.run() }()
	}
	for range readers {
		if e := <-errs; ctx.Err() == nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
		c.Close()
	}
	u.close()
	return err
}

// hasTime reports whether to answer an unproven address while more is asked
// than can be answered. It is ignored otherwise: a flood of forged requests is
// to be read away faster than it comes, so that those are heard who are known.
func (s *Server) hasTime(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overload.take(1, s.limits.Overload, now)
}

// occupy takes a slot for a handler; release gives it back. ok is false if
// there are too many running, for all or for this host.
func (s *Server) occupy(host netip.Addr, proven bool) (release func(), ok bool) {
	if !proven && !s.unproven.take(host) {
		return nil, false
	}
	if !s.slots.take(host) {
		if !proven {
			s.unproven.give(host)
		}
		return nil, false
	}
	return func() {
		s.slots.give(host)
		if !proven {
			s.unproven.give(host)
		}
	}, true
}

// handle asks the handler. What it panics with is logged and answered 5.00.
func (s *Server) handle(r *Request) (w *response) {
	w = &response{limit: s.limits.Body}
	defer func() {
		if p := recover(); p != nil {
			s.panicked(r, p)
			w = &response{code: InternalServerError}
		}
	}()
	if s.content != nil && r.Code == GET {
		if c, ok := s.known(r); ok {
			w.content = &c
			return w
		}
	}
	s.Handler.ServeCOAP(w, r)
	return w
}

// known asks the handler for content. After a panic, which is logged, it is
// content that cannot be read: the goroutine reads for all peers.
func (s *Server) known(r *Request) (c Content, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(r, p)
			c, ok = Content{Size: 1}, true
		}
	}()
	return s.content.Content(r)
}

func (s *Server) panicked(r *Request, p any) {
	s.log.Error("a CoAP handler panicked", "method", r.Code, "path", r.Path(), "panic", p)
}

// reply is the message that answers r after its handler ran.
func (s *Server) reply(r *Request, w *response) Message {
	m, err := w.message(r, szx(s.limits.Block))
	if err != nil {
		s.log.Error("a CoAP request cannot be answered", "method", r.Code, "path", r.Path(), "err", err)
	}
	if f, ok := r.Accept(); ok && m.Code == ContentCode {
		if got, has := m.Options.Uint(ContentFormat); has && Format(got) != f {
			return Message{Code: NotAcceptable}
		}
	}
	return m
}

// overloaded is the answer when too much is going on.
func overloaded() Message {
	m := Message{Code: ServiceUnavailable}
	m.Options.AddUint(MaxAge, uint32(2*time.Second/time.Second))
	return m
}
