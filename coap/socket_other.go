//go:build !linux

package coap

import "net"

// newWildcardSocket leaves the choice of the address answers come from to the
// system. Servers with several addresses listen on each of them.
func newWildcardSocket(c *net.UDPConn) (socket, error) { return udpSocket{c}, nil }
