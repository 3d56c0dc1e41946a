package coap

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"time"
)

// udpClient is an exchanger over datagrams.
type udpClient struct {
	conn    net.Conn
	peer    route
	layer   *layer
	waiting pending
}

func newUDPClient(c net.Conn) *udpClient {
	u := &udpClient{conn: c, peer: route{peer: addrOf(c)}}
	sock := connSocket{c, u.peer}
	u.layer = &layer{sock: sock, out: newOutbox(Limits{Queue: 64, Queues: 64}, sock.write), response: u.response}
	go func() {
		_ = u.layer.run() // ends when the connection does
		u.Close()
	}()
	return u
}

// connSocket is a connection with one peer.
type connSocket struct {
	net.Conn
	peer route
}

// receive keeps on reading when the network says that nobody listens at the
// other end: somebody may, soon.
func (s connSocket) receive(max int, handle func([]byte, route)) error {
	return reader(func(b []byte) (int, route, error) {
		for {
			n, err := s.Conn.Read(b)
			if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "read" || errors.Is(err, net.ErrClosed) {
				return n, s.peer, err
			}
		}
	}).receive(max, handle)
}

func (s connSocket) write(b []byte, _ route) error {
	_, err := s.Conn.Write(b)
	return err
}

// Close ends everything that is under way with ErrClosed.
func (u *udpClient) Close() error {
	err := u.conn.Close()
	u.layer.out.close()
	u.waiting.close(ErrClosed)
	return err
}

// response passes a separate response, or a notification, to who waits for it.
func (u *udpClient) response(m *Message, _ netip.AddrPort) bool {
	take := u.waiting.find(m.Token)
	if take == nil {
		return false
	}
	resp, err := understood(m)
	take(resp, err)
	return err == nil
}

// understood is a response, out of the datagram it lies in, with the options we
// know. It fails with ErrNotUnderstood.
func understood(m *Message) (Message, error) {
	resp := m.clone()
	known, refused := understand(resp.Options)
	if refused != Empty {
		return Message{}, ErrNotUnderstood
	}
	resp.Options = known
	return resp, nil
}

func (u *udpClient) subscribe(m Message, take func(Message, error)) (stop func()) {
	token := string(m.Token)
	if !u.waiting.add(token, take) {
		take(Message{}, ErrClosed)
		return func() {}
	}
	t := u.layer.out.post(u.peer, m, func(ack *Message, err error) {
		switch {
		case err != nil:
			take(Message{}, err)
		case ack.Code != Empty:
			take(understood(ack))
		}
	})
	return func() {
		u.waiting.remove(token)
		if t != nil {
			u.layer.out.cancel(t)
		}
	}
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
