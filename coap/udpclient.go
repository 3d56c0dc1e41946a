package coap

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// udpClient is an exchanger over datagrams.
type udpClient struct {
	conn  net.Conn
	layer *layer

	mu      sync.Mutex
	waiting map[string]func(Message, error) // by token
	closed  bool
}

func newUDPClient(c net.Conn) *udpClient {
	u := &udpClient{conn: c, waiting: make(map[string]func(Message, error))}
	sock := connSocket{c, addrOf(c)}
	u.layer = &layer{sock: sock, out: newOutbox(Limits{Queue: 64, Queues: 64}, sock.write), response: u.response}
	go func() {
		_ = u.layer.run() // ends when the connection is closed
		u.Close()
	}()
	return u
}

// connSocket is a connection with one peer.
type connSocket struct {
	net.Conn
	addr netip.AddrPort
}

// read keeps on reading when the network says that nobody listens at the
// other end: it may be about to.
func (s connSocket) read(b []byte) (int, route, bool, error) {
	n, err := s.Conn.Read(b)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "read" && !errors.Is(err, net.ErrClosed) && !op.Timeout() {
		return 0, route{}, false, nil
	}
	return n, route{peer: s.addr}, true, err
}

func (s connSocket) write(b []byte, _ route) error {
	_, err := s.Conn.Write(b)
	return err
}

// Close ends everything that is under way with ErrClosed.
func (u *udpClient) Close() error {
	err := u.conn.Close()
	u.mu.Lock()
	waiting := u.waiting
	u.waiting, u.closed = make(map[string]func(Message, error)), true
	u.mu.Unlock()
	u.layer.out.close()
	for _, take := range waiting {
		take(Message{}, ErrClosed)
	}
	return err
}

// response passes a separate response, or a notification, to who waits for it.
func (u *udpClient) response(m *Message, _ netip.AddrPort) bool {
	u.mu.Lock()
	take := u.waiting[string(m.Token)]
	u.mu.Unlock()
	if take == nil {
		return false
	}
	take(m.clone(), nil)
	return true
}

func (u *udpClient) subscribe(m Message, take func(Message, error)) (stop func()) {
	token := string(m.Token)
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		take(Message{}, ErrClosed)
		return func() {}
	}
	u.waiting[token] = take
	u.mu.Unlock()
	peer := u.layer.sock.(connSocket).addr
	t := u.layer.out.post(route{peer: peer}, m, func(ack *Message, err error) {
		switch {
		case err != nil:
			take(Message{}, err)
		case ack.Code != Empty && string(ack.Token) == token:
			take(ack.clone(), nil)
		}
	})
	return func() {
		u.mu.Lock()
		delete(u.waiting, token)
		u.mu.Unlock()
		if t != nil {
			u.layer.out.cancel(t)
		}
	}
}

func (u *udpClient) exchange(ctx context.Context, m Message) (Message, error) {
	return single(ctx, u, m)
}

// single waits for the first response to a request.
func single(ctx context.Context, x exchanger, m Message) (Message, error) {
	type result struct {
		m   Message
		err error
	}
	m.Token = newToken()
	got := make(chan result, 1)
	stop := x.subscribe(m, func(m Message, err error) {
		select {
		case got <- result{m, err}:
		default: // one response is enough
		}
	})
	defer stop()
	// A response that is not here by now belongs to a message ID that may be
	// used again.
	late := time.NewTimer(exchangeLifetime)
	defer late.Stop()
	select {
	case r := <-got:
		return r.m, r.err
	case <-late.C:
		return Message{}, ErrTimeout
	case <-ctx.Done():
		return Message{}, context.Cause(ctx)
	}
}

// newToken is one that nobody can guess, so that nobody can answer in the
// place of the server without seeing the request.
func newToken() []byte {
	t := make([]byte, 8)
	_, _ = rand.Read(t) // never fails
	return t
}
