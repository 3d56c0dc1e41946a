package coap

import (
	"encoding/binary"
	"net"
	"sync/atomic"
)

// sift leaves out of a datagram, which it changes, the records that pion would
// end a conversation for although anybody can forge them: those in the clear
// that are neither for a handshake nor well-formed, and once that is over, when
// the conversation is secured, all that are in the clear. Of those with a
// Connection ID the ones with cid are kept.
func sift(b []byte, secured bool, cid string) []byte {
	kept := b[:0]
	for len(b) > 0 {
		header := recordHeader
		if b[0] == recordCID {
			header += cidSize
		}
		if len(b) < header {
			break
		}
		n := header + int(binary.BigEndian.Uint16(b[header-2:]))
		if n > len(b) {
			break
		}
		if takes(b[:n], secured, cid) {
			kept = append(kept, b[:n]...)
		}
		b = b[n:]
	}
	return kept
}

// takes reports whether pion may see a record.
func takes(r []byte, secured bool, cid string) bool {
	if r[0] == recordCID && string(r[recordHeader-2:][:cidSize]) != cid {
		return false
	}
	if epoch := binary.BigEndian.Uint16(r[3:]); epoch != 0 {
		return true // pion finds out who it is from
	}
	if secured {
		return false
	}
	switch body := r[recordHeader:]; r[0] {
	case recordHandshake:
		return true
	case recordChange:
		return len(body) == 1 && body[0] == 1
	case recordAlert:
		return len(body) == 2
	}
	return false
}

// fromServer is a client's socket that hears its server only, and of that
// nothing that others could have forged (see sift).
type fromServer struct {
	net.PacketConn
	server  net.Addr
	secured atomic.Bool
}

func (s *fromServer) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		if !sameAddr(from, s.server) {
			continue
		}
		if kept := sift(b[:n], s.secured.Load(), ""); len(kept) > 0 {
			return len(kept), from, nil
		}
	}
}

// sameAddr compares addresses of UDP; others are for the network to tell apart.
func sameAddr(a, b net.Addr) bool {
	x, ok := a.(*net.UDPAddr)
	y, also := b.(*net.UDPAddr)
	return !ok || !also || x.Port == y.Port && x.IP.Equal(y.IP)
}
