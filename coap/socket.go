package coap

import (
	"errors"
	"net"
	"net/netip"
)

// maxDatagram is the longest datagram read, in bytes: a block of 1024 with all
// the options one could want. Longer ones are ignored.
const maxDatagram = 1472

// route is where a datagram came from and where its answer goes.
type route struct {
	peer  netip.AddrPort
	local netip.Addr // the address that was asked; the zero Addr if there is but one
	// behind says that more datagrams wait than honest peers would send.
	behind bool
}

// socket sends and receives datagrams. Several goroutines may use it.
type socket interface {
	// receive hands over datagrams of at most max bytes until the socket is
	// closed, and returns why. What was sent to many is left out, as it is not
	// to be answered. The bytes are good until handle returns.
	receive(max int, handle func(b []byte, from route)) error
	write(b []byte, to route) error
}

// reader is a socket that reads one datagram at a time.
type reader func(b []byte) (n int, from route, err error)

func (read reader) receive(max int, handle func(b []byte, from route)) error {
	b := make([]byte, max+1)
	for {
		n, from, err := read(b)
		if err != nil {
			return err
		}
		if n <= max {
			handle(b[:n], from)
		}
	}
}

// receiveBuffer is how much the kernel is asked to hold for us, in bytes: a
// few thousand small datagrams, while all processors are busy.
const receiveBuffer = 4 << 20

func newSocket(c net.PacketConn) (socket, error) {
	if u, ok := c.(*net.UDPConn); ok {
		_ = u.SetReadBuffer(receiveBuffer) // as much as we are allowed
		return newUDPSocket(u)
	}
	return packetSocket{c}, nil
}

// packetSocket is any other socket whose addresses are UDP addresses.
type packetSocket struct{ net.PacketConn }

var errNotUDP = errors.New("coap: an address that is not one of UDP")

func (s packetSocket) receive(max int, handle func([]byte, route)) error {
	return reader(func(b []byte) (int, route, error) {
		n, addr, err := s.ReadFrom(b)
		if err != nil {
			return 0, route{}, err
		}
		from, ok := addr.(*net.UDPAddr)
		if !ok {
			return 0, route{}, errNotUDP
		}
		return n, route{peer: plain(from.AddrPort())}, nil
	}).receive(max, handle)
}

func (s packetSocket) write(b []byte, to route) error {
	_, err := s.WriteTo(b, net.UDPAddrFromAddrPort(to.peer))
	return err
}

// plain writes an IPv4 address as one, also if a socket for both says it
// mapped.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
