package coap

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/transport/v5/deadline"
)

// dtlsConn is the datagrams of one DTLS session: what pion reads and writes.
type dtlsConn struct {
	front *dtlsFront
	cid   string      // by which the client may call the session
	roams atomic.Bool // it does
	home  netip.Addr  // the host where the session began
	hello hello       // with the cookie
	// before is the session that was found at the same address, while it is not
	// known whether it was the same client's.
	before *dtlsConn
	conn   *dtls.Conn

	in       chan inbound
	deadline *deadline.Deadline
	gone     chan struct{}
	once     sync.Once

	// Of the goroutine that writes, which is one at a time.
	verified bool   // pion has its cookie back
	offset   uint64 // added to the numbers of records in the clear

	mu      sync.Mutex
	addr    route // where the client is
	seen    time.Time
	begun   int    // bytes taken while the handshake lasts
	secured bool   // it is over
	client  string // the identity; "" until it is known

	used     []byte // the client's key
	stranger error  // why there is no key for the client
}

// maxHandshake is how much a client may send until its handshake is over, in
// bytes: some certificates, a few times over. pion would keep 2 MB of it.
const maxHandshake = 64 << 10

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
		front: f, cid: cid, home: hostOf(from.peer.Addr()), hello: h, in: make(chan inbound, inboxSize), deadline: deadline.New(),
		gone: make(chan struct{}), addr: from, seen: time.Now(), offset: max(h.seq, 1) - 1,
	}
}

// deliver takes a datagram, which is its from now on, from the network; what is
// too much, or of no use, is dropped.
func (c *dtlsConn) deliver(b []byte, from route) {
	if b = c.sift(b); len(b) == 0 {
		return
	}
	select {
	case c.in <- inbound{b, net.UDPAddrFromAddrPort(from.peer)}:
	default:
	}
}

func (c *dtlsConn) sift(b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b = sift(b, c.secured, c.cid)
	if !c.secured {
		if c.begun += len(b); c.begun > maxHandshake {
			return nil
		}
	}
	if len(b) > 0 {
		c.seen = time.Now()
	}
	return b
}

// secure notes that the handshake is over, and who the client is. If the
// session before was its own, that is over too.
func (c *dtlsConn) secure(client string) {
	c.mu.Lock()
	c.secured, c.client = true, client
	c.mu.Unlock()
	if c.before != nil && c.before.of(client, c.here()) {
		c.before.Close()
	}
	c.before = nil
}

// of reports whether a session is that of a client at an address.
func (c *dtlsConn) of(client string, at route) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client == client && c.addr == at
}

// key is the key of an identity. Who is not known gets one that nobody has, so
// that it looks as if the key were wrong: strangers need not know who is here
// (RFC 4279 2).
func (c *dtlsConn) key(psk func(string) ([]byte, error), identity string) []byte {
	key, err := psk(identity)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && len(key) > 0 {
		c.used = key
		return key
	}
	c.stranger = errors.Join(errNoKey, err)
	key = make([]byte, 16)
	_, _ = rand.Read(key) // never fails
	return key
}

var errNoKey = errors.New("coap: there is no key for this identity")

// unknown is why the client is not known; nil if it is.
func (c *dtlsConn) unknown() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stranger
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
	if len(b) > maxUnproven && !c.proven() {
		return len(b), nil // as if it were lost
	}
	if c.offset > 0 {
		b = append([]byte(nil), b...)
		renumber(b, c.offset)
	}
	return len(b), c.front.sock.write(b, c.here())
}

// maxUnproven is how long a record may be that is sent to where the client may
// not be, in bytes.
const maxUnproven = 136 + 64

// proven reports whether the client is where it says it is. A record with its
// Connection ID does not show that: its sender could be forged (RFC 9146 6).
func (c *dtlsConn) proven() bool {
	addr := c.here().peer
	return hostOf(addr.Addr()) == c.home || c.front.proven(addr)
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
	c.deliver(bytes.Clone(c.hello.record), c.here())
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

func (c *dtlsConn) closed() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
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
