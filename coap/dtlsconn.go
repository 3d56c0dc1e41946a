package coap

import (
	"encoding/binary"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/transport/v5/deadline"
)

// dtlsConn is the datagrams of one DTLS session: what pion reads and writes.
type dtlsConn struct {
	front *dtlsFront
	cid   string // by which the client may call the session
	hello hello  // with the cookie
	conn  *dtls.Conn

	in       chan inbound
	deadline *deadline.Deadline
	gone     chan struct{}
	once     sync.Once

	// Of the goroutine that writes, which is one at a time.
	verified bool   // pion has its cookie back
	offset   uint64 // added to the numbers of records in the clear

	mu   sync.Mutex
	addr route // where the client is
	seen time.Time
}

// inbound is a datagram for a session.
type inbound struct {
	b    []byte
	from net.Addr
}

// inboxSize is how many datagrams a session may leave unread.
const inboxSize = 32

func newDTLSConn(f *dtlsFront, h hello, from route, cid string) *dtlsConn {
	h.record = append([]byte(nil), h.record...)
	h.cookie = append([]byte(nil), h.cookie...)
	// Record numbers go on behind those of the ClientHellos: the
	// HelloVerifyRequest had the first one's (RFC 6347 4.2.1).
	return &dtlsConn{
		front: f, cid: cid, hello: h, in: make(chan inbound, inboxSize), deadline: deadline.New(),
		gone: make(chan struct{}), addr: from, seen: time.Now(), offset: max(h.seq, 1) - 1,
	}
}

// deliver takes a datagram from the network; what is too much is dropped.
func (c *dtlsConn) deliver(b []byte, from route) {
	c.mu.Lock()
	c.seen = time.Now()
	c.mu.Unlock()
	select {
	case c.in <- inbound{b, net.UDPAddrFromAddrPort(from.peer)}:
	default:
	}
}

// since is when the client was heard last, and where it is.
func (c *dtlsConn) since() (time.Time, route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen, c.addr
}

func (c *dtlsConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-c.gone:
		return 0, nil, net.ErrClosed
	case <-c.deadline.Done():
		return 0, nil, os.ErrDeadlineExceeded
	case d := <-c.in:
		return copy(b, d.b), d.from, nil
	}
}

// WriteTo sends to where pion, which knows an authentic record, says the
// client is now.
func (c *dtlsConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if !c.verified && len(b) > recordHeader && b[0] == recordHandshake && b[recordHeader] == helloVerify {
		return c.verify(b)
	}
	if to := addr.(*net.UDPAddr).AddrPort(); to != c.here().peer {
		c.front.move(c, to)
	}
	if c.offset > 0 {
		b = append([]byte(nil), b...)
		renumber(b, c.offset)
	}
	return len(b), c.front.sock.write(b, c.here())
}

func (c *dtlsConn) here() route {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

// verify answers pion's request for a cookie in the client's name, as the
// client has brought one already.
func (c *dtlsConn) verify(b []byte) (int, error) {
	if err := adoptCookie(c.conn, c.hello.cookie); err != nil {
		return 0, err
	}
	c.verified = true
	c.deliver(c.hello.record, c.here())
	return len(b), nil
}

// renumber raises the numbers of the records that are not encrypted yet.
func renumber(b []byte, by uint64) {
	for len(b) >= recordHeader && b[0] != recordCID {
		if v := binary.BigEndian.Uint64(b[3:]); v>>48 == 0 {
			binary.BigEndian.PutUint64(b[3:], v+by)
		}
		n := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
		b = b[min(n, len(b)):]
	}
}

// Close makes reads fail.
func (c *dtlsConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return nil
}

func (c *dtlsConn) LocalAddr() net.Addr { return c.front.local }

func (c *dtlsConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *dtlsConn) SetReadDeadline(t time.Time) error {
	c.deadline.Set(t)
	return nil
}

// SetWriteDeadline does nothing: writing never waits.
func (c *dtlsConn) SetWriteDeadline(time.Time) error { return nil }

var _ net.PacketConn = (*dtlsConn)(nil)
