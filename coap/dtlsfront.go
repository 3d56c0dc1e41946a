package coap

import (
	"bytes"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"time"
)

// dtlsFront stands before pion/dtls: it reads a socket, asks whoever says
// hello for a cookie, and makes a session only when that comes back. Known
// sessions are found by Connection ID or by address.
type dtlsFront struct {
	sock    socket
	local   net.Addr
	cookies *cookies
	max     int
	// begin starts a session; false if there are too many handshakes.
	begin func(c *dtlsConn) bool
	// proven reports whether a session may have moved to an address.
	proven func(netip.AddrPort) bool

	mu     sync.Mutex
	byAddr map[netip.AddrPort]*dtlsConn
	byCID  map[string]*dtlsConn
	hosts  map[netip.Addr]int // sessions begun from each
}

// cidSize is how long our Connection IDs are, in bytes. They have one length,
// as a record does not tell it.
const cidSize = 8

func newDTLSFront(sock socket, local net.Addr, max int) *dtlsFront {
	return &dtlsFront{
		sock: sock, local: local, cookies: newCookies(), max: max,
		byAddr: make(map[netip.AddrPort]*dtlsConn), byCID: make(map[string]*dtlsConn),
		hosts: make(map[netip.Addr]int), proven: func(netip.AddrPort) bool { return false },
	}
}

// maxRecords is the longest datagram of records read, in bytes.
const maxRecords = 4096

// run handles datagrams until the socket is closed.
func (f *dtlsFront) run() error {
	return f.sock.receive(maxRecords, f.receive)
}

// receive hands a datagram to its session, or begins one.
func (f *dtlsFront) receive(b []byte, from route) {
	if len(b) == 0 {
		return
	}
	if b[0] == recordCID {
		if len(b) >= 11+cidSize {
			f.mu.Lock()
			c := f.byCID[string(b[11:11+cidSize])]
			f.mu.Unlock()
			if c != nil {
				c.roams.Store(true)
				c.deliver(bytes.Clone(b), from)
			}
		}
		return
	}
	f.mu.Lock()
	c := f.byAddr[from.peer]
	f.mu.Unlock()
	h, ok := parseHello(b)
	switch {
	case !ok && c != nil:
		c.deliver(bytes.Clone(b), from)
	case !ok:
	case c != nil && bytes.Equal(h.cookie, c.hello.cookie):
		c.deliver(bytes.Clone(b), from) // said again: the answer was lost
	case f.cookies.check(from.peer, &h, time.Now()):
		f.start(h, from)
	default:
		// As long as the hello at most: nothing is gained by forging one.
		cookie := f.cookies.make(from.peer, h.random, uint32(time.Now().Unix()))
		if v := h.verifyRequest(cookie); len(v) <= len(b) {
			_ = f.sock.write(v, from)
		}
	}
}

// start begins a session in place of the one the client had at this address,
// unless that is called by its Connection ID: its client may be elsewhere now.
func (f *dtlsFront) start(h hello, from route) {
	cid := make([]byte, cidSize)
	_, _ = rand.Read(cid) // never fails
	c := newDTLSConn(f, h, from, string(cid))
	f.mu.Lock()
	here, old := f.byAddr[from.peer], (*dtlsConn)(nil)
	if here != nil && here.roams.Load() {
		here, c.before = nil, here
	}
	switch {
	case here != nil:
	case f.hosts[c.home] >= max(f.max/8, 1):
		old = f.oldest(c.home)
	case len(f.byCID) >= f.max:
		old = f.oldest(netip.Addr{})
	}
	f.byAddr[from.peer] = c
	f.byCID[c.cid] = c
	f.hosts[c.home]++
	f.mu.Unlock()
	if !f.begin(c) {
		f.remove(c)
		f.restore(here)
		return
	}
	for _, c := range []*dtlsConn{here, old} {
		if c != nil {
			c.Close()
		}
	}
}

// restore lets a session be found by its address again.
func (f *dtlsFront) restore(c *dtlsConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c != nil && f.byCID[c.cid] == c {
		f.byAddr[c.here().peer] = c
	}
}

// oldest is the session that was silent for the longest time, of a host or of
// all.
func (f *dtlsFront) oldest(host netip.Addr) (oldest *dtlsConn) {
	var at time.Time
	for _, c := range f.byCID {
		if host.IsValid() && c.home != host {
			continue
		}
		if seen, _ := c.since(); oldest == nil || seen.Before(at) {
			oldest, at = c, seen
		}
	}
	return oldest
}

// move notes that a session's client has another address now. If that is
// another's, it stays so: who moves is known by its Connection ID.
func (f *dtlsFront) move(c *dtlsConn, to netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from := c.here().peer; f.byAddr[from] == c {
		delete(f.byAddr, from)
	}
	if f.byAddr[to] == nil {
		f.byAddr[to] = c
	}
	c.mu.Lock()
	c.addr.peer = to
	c.mu.Unlock()
}

// remove forgets a session.
func (f *dtlsFront) remove(c *dtlsConn) {
	c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if addr := c.here().peer; f.byAddr[addr] == c {
		delete(f.byAddr, addr)
	}
	if f.byCID[c.cid] != c {
		return
	}
	delete(f.byCID, c.cid)
	if f.hosts[c.home]--; f.hosts[c.home] == 0 {
		delete(f.hosts, c.home)
	}
}

// idle closes the sessions that were silent since before t.
func (f *dtlsFront) idle(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.byCID {
		if seen, _ := c.since(); seen.Before(t) {
			c.Close()
		}
	}
}

// closeAll closes all sessions.
func (f *dtlsFront) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.byCID {
		c.Close()
	}
}
