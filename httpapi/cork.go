package httpapi

import (
	"net"

	"golang.org/x/sys/unix"
)

// cork makes the kernel send full segments only, until release is called
// (tcp(7), TCP_CORK). A file goes out in as many pieces as its receiver makes
// room; each would end in a segment of its own, which costs a fifth of the
// speed. What is less than a segment leaves when it is released, or after
// 200 ms.
func cork(c net.Conn) (release func()) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return func() {}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return func() {}
	}
	// It is for speed alone: a connection that refuses, as one that has just
	// been closed, goes on without.
	set := func(on int) {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, on) })
	}
	set(1)
	return func() { set(0) }
}
