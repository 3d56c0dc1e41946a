package node

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

const (
	socketPing = 10 * time.Second
	socketPong = 5 * time.Second
)

// socket is a local program that came by websocket, which is also its address:
// what it registers lives as long as it is connected (rvi.md 2.8).
type socket struct {
	n       *Node
	conn    *websocket.Conn
	courier *courier
}

func (n *Node) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !n.enterSocket(r.RemoteAddr) {
		http.Error(w, "too many websockets", http.StatusServiceUnavailable)
		return
	}
	defer n.leaveSocket()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // and answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(int64(n.opt.MessageBytes))
	s := &socket{n: n, conn: conn, courier: &courier{n: n, to: "websocket " + r.RemoteAddr}}
	s.courier.carry = s.deliver
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	n.wg.Go(func() { s.keepAlive(ctx, cancel) })
	for s.serve(ctx) == nil {
	}
	s.leave()
}

func (n *Node) enterSocket(from string) bool {
	n.mu.Lock()
	defer n.unlock()
	if n.closed || n.sockets >= maxSockets {
		n.grumble("too_many_sockets", "edge", "", "from "+from)
		return false
	}
	n.sockets++
	n.wg.Add(1)
	return true
}

func (n *Node) leaveSocket() {
	n.mu.Lock()
	n.sockets--
	n.unlock()
	n.wg.Done()
}

func (s *socket) keepAlive(ctx context.Context, cancel func()) {
	defer cancel()
	for pause(ctx, socketPing) {
		wait, done := context.WithTimeout(ctx, socketPong)
		err := s.conn.Ping(wait)
		done()
		if err != nil {
			return
		}
	}
}

// flatAnswer is both what programs at websockets expect, flat, and JSON-RPC.
type flatAnswer struct {
	answer
	result
	Method string `json:"method"`
}

// serve answers one call.
func (s *socket) serve(ctx context.Context) error {
	_, body, err := s.conn.Read(ctx)
	if err != nil {
		return err
	}
	req, e := readRequest(body, false)
	var res result
	if e == nil {
		res, e = s.n.call(req, s.place)
	}
	if e == nil && req.id == nil {
		return nil
	}
	var out any = answerTo(req.id, res, e)
	if e == nil {
		out = flatAnswer{answer: answerTo(req.id, res, nil), result: res, Method: req.method}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return s.write(ctx, b)
}

func (s *socket) write(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, b)
}

func (s *socket) place(name string, _ fields) (*courier, *rpcError) {
	s.n.mu.Lock()
	old := s.n.local[name]
	s.n.unlock()
	if old == nil || old.courier == s.courier || old.courier.url != nil && !s.n.alive(s.n.ctx, old.courier.url) {
		return s.courier, nil
	}
	return nil, refuseFor(nameTaken())
}

func (s *socket) deliver(ctx context.Context, d delivery) error {
	return s.write(ctx, s.n.appendCall(nil, `{"json-rpc":"2.0",`, d))
}

// leave ends what the socket registered; what it did not get waits.
func (s *socket) leave() {
	s.n.mu.Lock()
	defer s.n.unlock()
	for name, have := range s.n.local {
		if have.courier == s.courier {
			s.n.unhost(name)
		}
	}
}
