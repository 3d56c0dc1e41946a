//go:build !linux

package coap

import "net"

// udpSocket is a UDP socket. The system chooses the address answers come
// from: servers with several addresses listen on each of them.
type udpSocket struct{ *net.UDPConn }

func newUDPSocket(c *net.UDPConn) (socket, error) { return udpSocket{c}, nil }

func (s udpSocket) receive(max int, handle func([]byte, route)) error {
	return reader(func(b []byte) (int, route, error) {
		n, from, err := s.ReadFromUDPAddrPort(b)
		return n, route{peer: plain(from)}, err
	}).receive(max, handle)
}

func (s udpSocket) write(b []byte, to route) error {
	_, err := s.WriteToUDPAddrPort(b, to.peer)
	return err
}
