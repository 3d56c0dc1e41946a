package coap

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// wire is a network in memory, for tests in which time is not the real one.
type wire struct {
	mu    sync.Mutex
	ends  map[netip.AddrPort]*end
	lose  func(b []byte, from, to netip.AddrPort) bool // nil loses nothing
	delay time.Duration
}

// end is a UDP socket on a wire; with a remote it is a connection.
type end struct {
	w             *wire
	local, remote netip.AddrPort
	in            chan parcel
	gone          chan struct{}
	once          sync.Once
}

type parcel struct {
	b    []byte
	from netip.AddrPort
}

func newWire() *wire { return &wire{ends: make(map[netip.AddrPort]*end)} }

func (w *wire) open(local, remote string) *end {
	e := &end{w: w, local: netip.MustParseAddrPort(local), in: make(chan parcel, 1000), gone: make(chan struct{})}
	if remote != "" {
		e.remote = netip.MustParseAddrPort(remote)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[e.local] = e
	return e
}

func (w *wire) send(b []byte, from, to netip.AddrPort) {
	w.mu.Lock()
	e, lost := w.ends[to], w.lose != nil && w.lose(b, from, to)
	w.mu.Unlock()
	if e == nil || lost {
		return
	}
	p := parcel{append([]byte(nil), b...), from}
	time.AfterFunc(w.delay, func() {
		select {
		case e.in <- p:
		default:
		}
	})
}

func (e *end) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-e.in:
		return copy(b, p.b), net.UDPAddrFromAddrPort(p.from), nil
	case <-e.gone:
		return 0, nil, net.ErrClosed
	}
}

func (e *end) Read(b []byte) (int, error) {
	n, _, err := e.ReadFrom(b)
	return n, err
}

func (e *end) WriteTo(b []byte, to net.Addr) (int, error) {
	e.w.send(b, e.local, to.(*net.UDPAddr).AddrPort())
	return len(b), nil
}

func (e *end) Write(b []byte) (int, error) {
	e.w.send(b, e.local, e.remote)
	return len(b), nil
}

func (e *end) Close() error {
	e.once.Do(func() { close(e.gone) })
	return nil
}

func (e *end) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(e.local) }
func (e *end) RemoteAddr() net.Addr             { return net.UDPAddrFromAddrPort(e.remote) }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }
