package coap

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// wildcardSocket is a UDP socket bound to all addresses. It learns from the
// kernel which of them a datagram was sent to, and answers from that one; a
// peer would not know an answer from another. What was sent to many, by
// multicast or broadcast, is not answered.
type wildcardSocket struct {
	*net.UDPConn
	v4 bool // an IPv4 socket; others carry IPv4 as mapped addresses
}

func newWildcardSocket(c *net.UDPConn) (socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	v4 := false
	var serr error
	err = raw.Control(func(fd uintptr) {
		var domain int
		if domain, serr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN); serr != nil {
			return
		}
		if v4 = domain == unix.AF_INET; v4 {
			serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		} else {
			serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	})
	if err == nil {
		err = serr
	}
	return wildcardSocket{c, v4}, err
}

// Sizes of struct cmsghdr, in_pktinfo and in6_pktinfo, and the space they take.
var (
	space4 = unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	space6 = unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	head   = unix.CmsgLen(0)
)

func (s wildcardSocket) read(b []byte) (int, route, bool, error) {
	var control [64]byte
	n, c, _, from, err := s.ReadMsgUDPAddrPort(b, control[:])
	if err != nil {
		return 0, route{}, false, err
	}
	r := route{peer: from}
	switch {
	case s.v4 && c >= head+unix.SizeofInet4Pktinfo:
		// ifindex, the address of ours, the address in the header
		mine, dest := [4]byte(control[head+4:]), [4]byte(control[head+8:])
		if mine == [4]byte{} {
			return n, r, true, nil // it came before the kernel was told to note it
		}
		r.local = netip.AddrFrom4(mine)
		return n, r, mine == dest, nil
	case !s.v4 && c >= head+unix.SizeofInet6Pktinfo:
		r.local = netip.AddrFrom16([16]byte(control[head:]))
		return n, r, !r.local.Unmap().IsMulticast(), nil
	}
	return n, r, true, nil
}

func (s wildcardSocket) write(b []byte, to route) error {
	if !to.local.IsValid() {
		_, err := s.WriteToUDPAddrPort(b, to.peer)
		return err
	}
	var control [64]byte
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
