package coap

import (
	"errors"
	"net"
	"net/netip"
)

// maxDatagram is the longest datagram read, in bytes: a block of 1024 with all
// the options one could want. Longer ones are cut, and malformed.
const maxDatagram = 1472

// route is where a datagram came from and where its answer goes.
type route struct {
	peer  netip.AddrPort
	local netip.Addr // the address that was asked; the zero Addr if there is but one
}

// socket sends and receives datagrams. Several goroutines may use it.
type socket interface {
	// read returns ok false for a datagram that is not to be answered because
	// it was sent to many.
	read(b []byte) (n int, from route, ok bool, err error)
	write(b []byte, to route) error
}

func newSocket(c net.PacketConn) (socket, error) {
	u, ok := c.(*net.UDPConn)
	if !ok {
		return packetSocket{c}, nil
	}
	if local := u.LocalAddr().(*net.UDPAddr); local.IP.IsUnspecified() {
		return newWildcardSocket(u)
	}
	return udpSocket{u}, nil
}

// udpSocket is a UDP socket bound to one address.
type udpSocket struct{ *net.UDPConn }

func (s udpSocket) read(b []byte) (int, route, bool, error) {
	n, from, err := s.ReadFromUDPAddrPort(b)
	return n, route{peer: from}, true, err
}

func (s udpSocket) write(b []byte, to route) error {
	_, err := s.WriteToUDPAddrPort(b, to.peer)
	return err
}

// packetSocket is any other socket whose addresses are UDP addresses.
type packetSocket struct{ net.PacketConn }

var errNotUDP = errors.New("coap: an address that is not one of UDP")

func (s packetSocket) read(b []byte) (int, route, bool, error) {
	n, addr, err := s.ReadFrom(b)
	if err != nil {
		return 0, route{}, false, err
	}
	from, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, route{}, false, errNotUDP
	}
	return n, route{peer: from.AddrPort()}, true, nil
}

func (s packetSocket) write(b []byte, to route) error {
	_, err := s.WriteTo(b, net.UDPAddrFromAddrPort(to.peer))
	return err
}
