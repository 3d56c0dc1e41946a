package coap

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// register has a peer observe, under a token.
func (b *bench) register(t *testing.T, peer netip.AddrPort, token string) (seq uint32, ok bool) {
	t.Helper()
	b.from.peer = peer
	b.prove()
	m := NewRequest(GET, "/state")
	m.Options.AddUint(Observe, 0)
	m.Token = []byte(token)
	b.id++
	m.ID = b.id
	b.u.layer.receive(b.s, m.appendTo(nil), b.from)
	b.u.wg.Wait()
	var answer Message
	if _, err := answer.parse(b.rec.last(t)); err != nil {
		t.Fatal(err)
	}
	return answer.Options.Uint(Observe)
}

// A device that restarts registers under another token each time: its last
// registration counts, and makes its oldest go.
func TestNewestRegistrationsCount(t *testing.T) {
	b := newBench(t)
	b.srv.limits.Observers, b.srv.limits.PeerObservers = 10, 4
	peer := b.from.peer
	for i := range 20 {
		if _, ok := b.register(t, peer, fmt.Sprint(i)); !ok {
			t.Fatalf("registration %d is refused", i)
		}
	}
	o := b.srv.observers
	if _, ok := o.byKey[observerKey{observerPeer{b.u, peer}, "19"}]; !ok || o.count() != 4 {
		t.Errorf("%d observations, the last one: %v", o.count(), ok)
	}
	// Those whose addresses have changed keep nobody out either.
	for port := range uint16(20) {
		if _, ok := b.register(t, netip.AddrPortFrom(peer.Addr(), 1000+port), "x"); !ok {
			t.Fatalf("port %d is refused", port)
		}
	}
	if n := o.count(); n != 10 || len(o.peers) != 10 || len(o.byPath["/state"]) != 10 {
		t.Errorf("%d observations of %d peers are left, want 10", n, len(o.peers))
	}
}

// What is remembered of an observer is little, however much it sent.
func TestObserversAreSmall(t *testing.T) {
	b := newBench(t)
	b.prove()
	m := NewRequest(GET, "/state")
	m.Options.AddUint(Observe, 0)
	m.Payload = bytes.Repeat([]byte("x"), 1000)
	b.exchange(t, m)
	for _, one := range b.srv.observers.byKey {
		if len(one.r.Payload) != 0 {
			t.Errorf("%d bytes of payload are kept", len(one.r.Payload))
		}
	}
	for range 4 {
		m.Options.AddString(URIQuery, string(bytes.Repeat([]byte("y"), 250)))
	}
	m.Payload = nil
	b.from.peer = netip.MustParseAddrPort("192.0.2.7:1")
	if answer := b.exchange(t, m); answer.Code != ContentCode || b.srv.observers.count() != 1 {
		t.Errorf("%v, and %d observations, want no second one", answer.Code, b.srv.observers.count())
	}
}

// Who begins to observe while the session ends is forgotten with it.
func TestSessionsLeaveNoObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.srv.Handler = HandlerFunc(func(rw ResponseWriter, r *Request) {
			<-r.Context().Done()
			time.Sleep(time.Second)
			rw.Observable()
		})
		m := NewRequest(GET, "/")
		m.Options.AddUint(Observe, 0)
		c := w.stream(t)
		say(c, Message{Code: csm}, m)
		if _, err := readFrame(newStream(c, 1<<16, 0).r, 1<<16); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.Close()
		u := newUDPServer(context.Background(), w.srv, mute{}, func() Peer { return Peer{Proven: true} })
		m.Type = Confirmable
		u.layer.receive(newScratch(), m.appendTo(nil), route{})
		u.close()
		time.Sleep(2 * time.Second)
		if n := w.srv.observers.count(); n != 0 {
			t.Errorf("%d observers are left", n)
		}
	})
}

// No handler runs to notify once its server has ended.
func TestServersEndNotificationsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		w := newWorld()
		w.srv.Handler = HandlerFunc(func(rw ResponseWriter, r *Request) {
			running.Add(1)
			time.Sleep(time.Second)
			running.Add(-1)
			rw.Observable()
		})
		w.srv.init()
		u := newUDPServer(context.Background(), w.srv, mute{}, func() Peer { return Peer{Proven: true} })
		m := NewRequest(GET, "/")
		m.Options.AddUint(Observe, 0)
		u.layer.receive(newScratch(), m.appendTo(nil), route{})
		time.Sleep(2 * time.Second)
		w.srv.Changed("/")
		synctest.Wait()
		if n := running.Load(); n != 1 {
			t.Fatalf("%d handlers run, want one", n)
		}
		u.close()
		if n := running.Load(); n != 0 {
			t.Errorf("%d handlers run after the end", n)
		}
	})
}
