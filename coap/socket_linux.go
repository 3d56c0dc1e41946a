package coap

import (
	"encoding/binary"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// udpSocket is a UDP socket. It reads many datagrams at a time, as a flood
// must be read away for others to be heard. Bound to all addresses, it learns
// from the kernel which of them a datagram was sent to, and answers from that
// one: a peer would not know an answer from another.
type udpSocket struct {
	*net.UDPConn
	raw      syscall.RawConn
	v4       bool // an IPv4 socket; others carry IPv4 as mapped addresses
	wildcard bool
}

func newUDPSocket(c *net.UDPConn) (socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &udpSocket{UDPConn: c, raw: raw, wildcard: c.LocalAddr().(*net.UDPAddr).IP.IsUnspecified()}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = s.prepare(int(fd)) }); err != nil {
		return nil, err
	}
	return s, serr
}

func (s *udpSocket) prepare(fd int) error {
	// Only root may have more than the system's limit.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	s.v4 = domain == unix.AF_INET
	switch {
	case !s.wildcard:
		return nil
	case s.v4:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	// Only the note of IPv4 tells a broadcast.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

func (s *udpSocket) receive(max int, handle func([]byte, route)) error {
	b := newBatch(max)
	for full := false; ; full = b.n == batchSize {
		n, err := b.read(s.raw)
		if err != nil {
			return err
		}
		behind := full && n == batchSize // twice in a row
		for i := range n {
			if from, ok := b.from(i, s.v4); ok {
				from.behind = behind
				handle(b.data(i), from)
			}
		}
	}
}

// Where in a control message the kernel's notes begin, and how long they are.
var (
	head   = unix.CmsgLen(0)
	space4 = unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	space6 = unix.CmsgSpace(unix.SizeofInet6Pktinfo)
)

func (s *udpSocket) write(b []byte, to route) error {
	if !to.local.IsValid() {
		_, err := s.WriteToUDPAddrPort(b, to.peer)
		return err
	}
	var control [controlSize]byte
	n := space6
	length, level, kind := unix.CmsgLen(unix.SizeofInet6Pktinfo), unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	if s.v4 {
		n = space4
		length, level, kind = unix.CmsgLen(unix.SizeofInet4Pktinfo), unix.IPPROTO_IP, unix.IP_PKTINFO
		mine := to.local.As4()
		copy(control[head+4:], mine[:])
	} else {
		mine := to.local.As16()
		copy(control[head:], mine[:])
	}
	if head == 16 {
		binary.NativeEndian.PutUint64(control[:], uint64(length))
	} else {
		binary.NativeEndian.PutUint32(control[:], uint32(length))
	}
	binary.NativeEndian.PutUint32(control[head-8:], uint32(level))
	binary.NativeEndian.PutUint32(control[head-4:], uint32(kind))
	_, _, err := s.WriteMsgUDPAddrPort(b, control[:n], to.peer)
	return err
}
