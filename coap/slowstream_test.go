package coap

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// stream serves one end of a pipe, which holds nothing by itself, and returns
// the other.
func (w *world) stream(t *testing.T) net.Conn {
	w.srv.init()
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool)
	go func() {
		w.srv.serveStream(ctx, ours, Peer{Transport: TCP, Proven: true})
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		theirs.Close()
		<-done
	})
	return theirs
}

// say sends messages, and does not wait until they are read.
func say(c net.Conn, all ...Message) {
	var b []byte
	for _, m := range all {
		b = m.appendFrame(b)
	}
	go func() { _, _ = c.Write(b) }()
}

// eager is an end of a pipe that does not wait until what it writes is read.
type eager struct {
	net.Conn
	out chan []byte
}

func newEager(until context.Context, c net.Conn) eager {
	e := eager{c, make(chan []byte, 100)}
	go func() {
		for {
			select {
			case b := <-e.out:
				_, _ = c.Write(b)
			case <-until.Done():
				return
			}
		}
	}()
	return e
}

func (e eager) Write(b []byte) (int, error) {
	e.out <- bytes.Clone(b)
	return len(b), nil
}

// Whoever reads slowly, or not at all, keeps no handler and no notification
// from others.
func TestSlowReadersSlowNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.srv.Limits.Handlers = 8
		observe := NewRequest(GET, "/state")
		observe.Options.AddUint(Observe, 0)
		for range 2 * notifiers {
			c := w.stream(t)
			peer := newStream(c, 1<<16, time.Hour)
			say(c, Message{Code: csm}, observe)
			for _, want := range []Code{csm, ContentCode} {
				if m, err := readFrame(peer.r, peer.frame); err != nil || m.Code != want {
					t.Fatalf("%v, %v, want %v", m.Code, err, want)
				}
			}
			say(c, NewRequest(POST, "/post"))
		}
		synctest.Wait()
		start := time.Now()
		c := NewTCPClient(newEager(t.Context(), w.stream(t)))
		defer c.Close()
		n := 0
		for m, err := range c.Observe(t.Context(), "/state") {
			if err != nil || m.Code != ContentCode {
				t.Fatalf("beside those who do not read: %v, %v", m.Code, err)
			}
			if n++; n == 4 {
				break
			}
			w.set(fmt.Sprint(n))
		}
		if m, err := c.Post(t.Context(), "/post", TextPlain, nil); err != nil || m.Code != Changed {
			t.Errorf("a request is answered by %v, %v", m.Code, err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// Who connects and says nothing is not waited for as who has nothing to say is.
func TestSilentConnectionsEndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		defer ours.Close()
		s := newStream(ours, 1024, time.Hour)
		start := time.Now()
		go func() { // takes the abort
			_, _ = theirs.Read(make([]byte, 1000))
		}()
		if err := s.run(func(Message) {}); err == nil || time.Since(start) != patience {
			t.Errorf("it ended after %v: %v", time.Since(start), err)
		}
	})
}

// Who says that it takes short messages only is sent such (RFC 8323 5.3.1).
func TestMessagesAreAsShortAsThePeerWants(t *testing.T) {
	for size, want := range map[uint32]int{0: 1024, 1152: 1024, 1151: 512, 200: 64, 1: 16} {
		w := newWorld()
		w.file("/f", 3000)
		c := w.stream(t)
		hello := Message{Code: csm}
		if size > 0 {
			hello.Options.AddUint(maxMessageSize, size)
		}
		say(c, hello, NewRequest(GET, "/f"))
		peer := newStream(c, 1<<16, time.Hour)
		for m := (Message{}); m.Code != ContentCode; {
			var err error
			if m, err = readFrame(peer.r, peer.frame); err != nil {
				t.Fatal(err)
			}
			if b, _ := m.Options.block(Block2); m.Code == ContentCode && (len(m.Payload) != want || !b.More) {
				t.Errorf("who takes %d bytes is sent a block of %d, want %d", size, len(m.Payload), want)
			}
		}
	}
}

// What was asked before a release is answered (RFC 8323 5.5).
func TestReleaseWaitsForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.srv.Handler = HandlerFunc(func(rw ResponseWriter, r *Request) {
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				rw.SetCode(ServiceUnavailable)
			}
		})
		c := w.stream(t)
		say(c, Message{Code: csm}, NewRequest(POST, "/"), Message{Code: release})
		if got := lastSignal(t, c); got != Changed {
			t.Errorf("the last message was %v, want 2.04", got)
		}
	})
}
