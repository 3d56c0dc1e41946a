package coap

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A connection on which nothing comes is pinged once, and ends if that is not
// answered.
func TestSilentStreamsEnd(t *testing.T) {
	for _, answers := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			s := newStream(ours, 1024, time.Minute)
			go func() { // a peer that answers some pings
				peer := newStream(theirs, 1024, time.Hour)
				_ = peer.hello()
				for range answers {
					if m, err := readFrame(peer.r, 1024); err != nil || m.Code != ping {
						t.Errorf("got %v, %v, want a ping", m.Code, err)
					}
					_ = peer.write(Message{Code: pong})
				}
				_, _ = readFrame(peer.r, 1024)
			}()
			start := time.Now()
			err := s.run(func(Message) {})
			if want := time.Duration(answers+2) * time.Minute; !errors.Is(err, errSilent) || time.Since(start) != want {
				t.Errorf("with %d answers it ended after %v, want %v: %v", answers, time.Since(start), want, err)
			}
			theirs.Close()
			ours.Close()
		})
	}
}

// A message that has begun must end soon.
func TestSlowFramesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		s := newStream(ours, 1024, time.Hour)
		go func() { _, _ = theirs.Write([]byte{0x00, byte(csm), 0x50, byte(GET)}) }()
		start := time.Now()
		if err := s.run(func(Message) {}); err == nil || time.Since(start) != patience {
			t.Errorf("half a message was waited for %v, %v", time.Since(start), err)
		}
		theirs.Close()
		ours.Close()
	})
}

func TestIdleSessionsEnd(t *testing.T) {
	f := newDTLSFront(mute{}, nil, 10)
	f.begin = func(*dtlsConn) bool { return true }
	addr := func(port uint16) route {
		return route{peer: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)}
	}
	f.start(hello{}, addr(1))
	f.start(hello{}, addr(2))
	noon := time.Now()
	f.byAddr[addr(1).peer].seen = noon.Add(-time.Hour)
	f.idle(noon.Add(-time.Minute))
	for port, want := range map[uint16]bool{1: true, 2: false} {
		gone := false
		select {
		case <-f.byAddr[addr(port).peer].gone:
			gone = true
		default:
		}
		if gone != want {
			t.Errorf("session %d is gone: %v, want %v", port, gone, want)
		}
	}
}
