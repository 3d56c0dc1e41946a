package coap

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batchSize   = 64
	controlSize = 96 // bytes; the notes about addresses take 40 and 32
)

// batch is room for the datagrams of one recvmmsg(2).
type batch struct {
	max      int
	msgs     [batchSize]mmsghdr
	iovs     [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrInet6 // or RawSockaddrInet4, which is shorter
	controls [batchSize][controlSize]byte
	buf      []byte

	n     int
	errno syscall.Errno
	recv  func(fd uintptr) bool // made once, as it costs memory
}

// mmsghdr is struct mmsghdr: what was received, and how long it is. Go pads it
// as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func newBatch(max int) *batch {
	b := &batch{max: max, buf: make([]byte, batchSize*(max+1))}
	for i := range b.msgs {
		b.iovs[i].Base = &b.buf[i*(max+1)]
		b.iovs[i].SetLen(max + 1)
		h := &b.msgs[i].hdr
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Control = &b.controls[i][0]
	}
	b.recv = func(fd uintptr) bool {
		for i := range b.msgs {
			b.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
			b.msgs[i].hdr.SetControllen(controlSize)
		}
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.msgs)), batchSize, unix.MSG_DONTWAIT, 0, 0)
		b.n, b.errno = int(n), errno
		return errno != unix.EAGAIN
	}
	return b
}

// read waits for datagrams and returns how many there are.
func (b *batch) read(c syscall.RawConn) (int, error) {
	for {
		if err := c.Read(b.recv); err != nil {
			return 0, err
		}
		switch b.errno {
		case 0:
			return b.n, nil
		case unix.EINTR:
		default:
			return 0, b.errno
		}
	}
}

func (b *batch) data(i int) []byte { return b.buf[i*(b.max+1):][:b.msgs[i].len] }

// from tells who sent a datagram, and to which address of ours; ok is false if
// it was sent to many, or is too long.
func (b *batch) from(i int, v4 bool) (r route, ok bool) {
	if int(b.msgs[i].len) > b.max {
		return route{}, false
	}
	name := &b.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	control := b.controls[i][:b.msgs[i].hdr.Controllen]
	if v4 {
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		r.peer = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), port)
		mine, toMe := noted(control)
		r.local = mine
		return r, toMe
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	r.peer = netip.AddrPortFrom(addr, port)
	if note := find(control, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO); len(note) >= unix.SizeofInet6Pktinfo {
		r.local = netip.AddrFrom16([16]byte(note))
		_, toMe := noted(control)
		return r, toMe && !r.local.IsMulticast()
	}
	return r, true
}

// noted is the IPv4 address of ours that a datagram was sent to, and whether it
// was sent to that one only. A datagram that came before the kernel was told to
// note it has none.
func noted(control []byte) (mine netip.Addr, toMe bool) {
	note := find(control, unix.IPPROTO_IP, unix.IP_PKTINFO)
	if len(note) < unix.SizeofInet4Pktinfo {
		return netip.Addr{}, true
	}
	// The interface, the address of ours, the address in the header.
	ours, dest := [4]byte(note[4:]), [4]byte(note[8:])
	if ours == [4]byte{} {
		return netip.Addr{}, true
	}
	return netip.AddrFrom4(ours), ours == dest
}

// find is what a note of the kernel's says, nil if there is none of that kind.
func find(control []byte, level, kind uint32) []byte {
	for len(control) >= head {
		size := uint64(binary.NativeEndian.Uint32(control))
		if head == 16 {
			size = binary.NativeEndian.Uint64(control)
		}
		if size < uint64(head) || size > uint64(len(control)) {
			return nil
		}
		if binary.NativeEndian.Uint32(control[head-8:]) == level && binary.NativeEndian.Uint32(control[head-4:]) == kind {
			return control[head:size]
		}
		control = control[min(unix.CmsgSpace(int(size)-head), len(control)):]
	}
	return nil
}
