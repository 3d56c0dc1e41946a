package coap

import "time"

// link is what carries notifications: a socket with many peers, or a session
// or connection with one.
type link interface {
	// notify sends a notification. done is called once: with nil when the peer
	// has it, with an error when it does not want any, or cannot be reached.
	notify(to origin, m Message, done func(error))
}

// origin is where a request came from and its observation would live.
type origin struct {
	link  link
	to    route
	token string
}

// answer answers a request, on any transport: it puts its body together,
// asks the handler, and lets the client observe.
func (s *Server) answer(r *Request, from origin) Message {
	block, ok := r.Options.block(Block1)
	if ok {
		if !r.Peer.Proven && (block.More || block.Num > 0) {
			return s.challenge(r)
		}
		if m := s.bodies.add(r, block, time.Now()); m.Code != Empty {
			return m
		}
	}
	seen := s.observers.changes.Load()
	w := s.handle(r)
	if w.challenge && !r.Peer.Proven {
		return s.challenge(r)
	}
	m := s.observe(r, w, from, s.reply(r, w), seen)
	if ok && m.Code.IsResponse() {
		block.More = false
		m.Options.AddUint(Block1, block.value())
	}
	return m
}

// observe registers or deregisters an observer, if r asks for that, and adds
// the Observe option to m if it is one from now on (RFC 7641 4.1). seen is
// what had changed before the handler ran.
func (s *Server) observe(r *Request, w *response, from origin, m Message, seen uint64) Message {
	v, ok := r.observing()
	if !ok {
		return m
	}
	if v != 0 || !w.observable || m.Code.Class() != 2 {
		s.observers.remove(from.key())
		return m
	}
	if !r.Peer.Proven {
		return s.challenge(r)
	}
	if seq, ok := s.observers.add(r, from, seen); ok {
		m.Options.AddUint(Observe, seq)
	}
	return m
}

// challenge has the client prove its address before state is kept for it.
func (s *Server) challenge(r *Request) Message {
	v := s.proofs.echo(r.Peer.Addr, time.Now())
	m := Message{Code: Unauthorized}
	m.Options.Add(Echo, v[:])
	return m
}
