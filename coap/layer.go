package coap

import "net/netip"

// layer is CoAP's message layer (RFC 7252 4) over a socket: a UDP socket with
// many peers, or a DTLS session with one. Requests and responses are somebody
// else's matter.
type layer struct {
	sock socket
	out  *outbox
	// request handles a request; nil refuses them all with a reset.
	request func(s *scratch, m *Message, from route)
	// response takes a response that is no acknowledgement; false if nobody
	// waits for it.
	response func(m *Message, from netip.AddrPort) bool
}

// scratch is what a goroutine that reads datagrams works in, so that handling
// one needs no other memory. Everything that lies in it, requests above all,
// is over with the next datagram.
type scratch struct {
	raw []byte // the datagram
	m   Message
	req Request
	out []byte
}

func newScratch() *scratch {
	return &scratch{m: Message{Options: make(Options, 0, maxOptions)}, out: make([]byte, 0, 2048)}
}

// run handles datagrams until the socket is closed.
func (l *layer) run() error {
	s := newScratch()
	return l.sock.receive(maxDatagram, func(b []byte, from route) { l.receive(s, b, from) })
}

// receive handles one datagram as RFC 7252 4.2 and 4.3 say: what is malformed
// is reset if it is confirmable, and ignored otherwise.
func (l *layer) receive(s *scratch, b []byte, from route) {
	m := &s.m
	s.raw = b
	known, err := m.parse(b)
	switch {
	case !known:
	case err != nil:
		l.refuse(m, from)
	case m.Type == Reset:
		if m.Code == Empty {
			l.out.settle(from.peer, m)
		}
	case m.Type == Acknowledgement:
		if m.Code == Empty || m.Code.IsResponse() {
			l.out.settle(from.peer, m)
		}
	case m.Code.IsRequest() && l.request != nil:
		l.request(s, m, from)
	case m.Code.IsResponse() && l.response != nil && l.response(m, from.peer):
		if m.Type == Confirmable {
			l.empty(Acknowledgement, m.ID, from)
		}
	default:
		l.refuse(m, from) // a ping, among others
	}
}

// refuse resets a message if it is confirmable, and there is time for it.
func (l *layer) refuse(m *Message, to route) {
	if m.Type == Confirmable && !to.behind {
		l.empty(Reset, m.ID, to)
	}
}

func (l *layer) empty(t Type, id uint16, to route) {
	_ = l.sock.write(appendHeader(make([]byte, 0, 4), t, Empty, id, nil), to)
}
