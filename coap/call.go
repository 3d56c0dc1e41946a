package coap

import (
	"sync"
	"time"
)

// call is a request over UDP that a handler is asked about.
type call struct {
	u       *udpServer
	seen    *exchanges
	e       *exchange
	m       Message
	r       *Request
	from    route
	size    int // of the request, bytes
	release func()

	mu    sync.Mutex
	acked bool // by an empty message: the response is sent separately
}

func (c *call) run() {
	defer c.release()
	defer c.seen.end(c.e)
	var late *time.Timer
	if c.m.Type == Confirmable {
		late = time.AfterFunc(processingDelay, func() { c.acknowledge() })
		defer late.Stop()
	}
	c.respond(c.u.srv.answer(c.r, origin{link: c.u, to: c.from, token: string(c.m.Token)}))
}

// acknowledge tells the client that its request has come, and that a response
// will (RFC 7252 5.2.2); false if it has been told.
func (c *call) acknowledge() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acked {
		return false
	}
	c.acked = true
	c.write(appendHeader(nil, Acknowledgement, Empty, c.m.ID, nil))
	return true
}

// write sends and remembers an answer.
func (c *call) write(b []byte) {
	c.seen.sent(c.e, b)
	_ = c.u.layer.sock.write(b, c.from)
}

func (c *call) respond(answer Message) {
	if c.unwanted(answer.Code) {
		if c.m.Type == Confirmable {
			c.acknowledge()
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acked {
		c.separate(answer)
		return
	}
	c.acked = true
	b := appendOptions(c.u.head(nil, &c.m, answer.Code), answer.Options, answer.Payload)
	if !c.r.Peer.Proven && !c.u.affordable(len(b), 1, c.size, c.r.Peer.Addr) {
		b = c.u.challenge(nil, &c.m, c.r.Peer.Addr)
	}
	c.write(b)
}

// separate sends a response after the acknowledgement. What becomes of it is
// the client's matter. A challenge is not repeated to who may not have asked
// (RFC 9175 2.4).
func (c *call) separate(answer Message) {
	answer.Token = c.m.Token
	if !c.r.Peer.Proven && !c.u.affordable(len(answer.appendTo(nil)), 1+maxRetransmit, c.size, c.r.Peer.Addr) {
		alone := Message{Type: NonConfirmable, ID: c.m.ID, Token: c.m.Token}
		_ = c.u.layer.sock.write(c.u.challenge(nil, &alone, c.r.Peer.Addr), c.from)
		return
	}
	c.u.layer.out.post(c.from, answer, func(*Message, error) {})
}

// unwanted reports whether the client does not want to hear this code
// (RFC 7967).
func (c *call) unwanted(code Code) bool {
	v, ok := c.r.Options.Uint(NoResponse)
	return ok && v&(1<<(code.Class()-1)) != 0
}
