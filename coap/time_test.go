package coap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

const serverAddr, clientAddr = "192.0.2.1:5683", "192.0.2.2:40000"

// conversation is a server and a client on a wire, in a bubble of its own time.
func conversation(t *testing.T, h Handler, story func(t *testing.T, w *wire, s *Server, c *Client)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := &Server{Handler: h}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		sock := w.open(serverAddr, "")
		go func() { done <- s.Serve(ctx, sock) }()
		c := NewClient(w.open(clientAddr, serverAddr))
		defer func() {
			c.Close()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		story(t, w, s, c)
	})
}

// A message is sent five times, with pauses that double, and then given up.
func TestRetransmission(t *testing.T) {
	conversation(t, HandlerFunc(func(ResponseWriter, *Request) {}), func(t *testing.T, w *wire, _ *Server, c *Client) {
		start := time.Now()
		var sent []time.Duration
		w.lose = func([]byte, netip.AddrPort, netip.AddrPort) bool {
			sent = append(sent, time.Since(start))
			return true
		}
		_, err := c.Get(t.Context(), "/")
		if !errors.Is(err, ErrTimeout) || len(sent) != 5 {
			t.Fatalf("sent at %v, %v", sent, err)
		}
		first := sent[1]
		if first < 2*time.Second || first > 3*time.Second {
			t.Errorf("the first pause is %v, want 2 to 3 s", first)
		}
		for i, times := range []time.Duration{0, 1, 3, 7, 15} {
			if sent[i] != times*first {
				t.Errorf("sent at %v, want 0, 1, 3, 7 and 15 times %v", sent, first)
				break
			}
		}
		if gaveUp := time.Since(start); gaveUp != 31*first {
			t.Errorf("gave up after %v, want %v", gaveUp, 31*first)
		}
	})
}

func TestLostMessagesAreRepeated(t *testing.T) {
	posts := 0
	h := HandlerFunc(func(w ResponseWriter, r *Request) {
		posts++
		fmt.Fprint(w, posts)
	})
	conversation(t, h, func(t *testing.T, w *wire, _ *Server, c *Client) {
		lottery := rand.New(rand.NewPCG(1, 2))
		w.lose = func([]byte, netip.AddrPort, netip.AddrPort) bool { return lottery.IntN(8) == 0 }
		for i := range 50 {
			m, err := c.Post(t.Context(), "/", TextPlain, []byte("x"))
			if err != nil || string(m.Payload) != fmt.Sprint(i+1) {
				t.Fatalf("post %d: %q, %v", i+1, m.Payload, err)
			}
		}
		if posts != 50 {
			t.Errorf("the handler was asked %d times for 50 posts", posts)
		}
	})
}

// A slow answer is announced by an acknowledgement and sent when it is there.
func TestSeparateResponse(t *testing.T) {
	h := HandlerFunc(func(w ResponseWriter, r *Request) {
		time.Sleep(20 * time.Second)
		fmt.Fprint(w, "at last")
	})
	conversation(t, h, func(t *testing.T, w *wire, _ *Server, c *Client) {
		var requests, acks int
		lost := false
		w.lose = func(b []byte, from, _ netip.AddrPort) bool {
			var m Message
			if _, err := m.parse(b); err != nil {
				t.Error(err)
			}
			switch {
			case m.Code.IsRequest():
				requests++
			case m.Type == Acknowledgement && from == netip.MustParseAddrPort(serverAddr):
				acks++
			case m.Code.IsResponse() && !lost:
				lost = true // the first time
				return true
			}
			return false
		}
		start := time.Now()
		m, err := c.Get(t.Context(), "/")
		if err != nil || string(m.Payload) != "at last" {
			t.Fatalf("%q, %v", m.Payload, err)
		}
		if took := time.Since(start); took < 22*time.Second || took > 23*time.Second {
			t.Errorf("it took %v, want 20 s and a repetition after 2 to 3 s", took)
		}
		if requests != 1 || acks != 1 {
			t.Errorf("%d requests, %d acknowledgements", requests, acks)
		}
	})
}

// One thing at a time to one peer, and no more than may wait.
func TestNSTART(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent int
		o := newOutbox(Limits{Queue: 3, Queues: 5}, func([]byte, route) error { sent++; return nil })
		to, other := route{peer: netip.MustParseAddrPort("192.0.2.1:1")}, route{peer: netip.MustParseAddrPort("192.0.2.2:1")}
		var full, closed int
		count := func(_ *Message, err error) {
			if errors.Is(err, ErrQueueFull) {
				full++
			} else if errors.Is(err, ErrClosed) {
				closed++
			}
		}
		for range 4 {
			o.post(to, Message{Code: POST}, count)
		}
		if sent != 1 || full != 1 {
			t.Errorf("%d sent, %d refused of 4, want 1 and 1", sent, full)
		}
		first := o.lanes[to.peer].queue[0].id
		o.settle(to.peer, &Message{Type: Acknowledgement, ID: first})
		if o.settle(to.peer, &Message{Type: Acknowledgement, ID: first}); sent != 2 {
			t.Errorf("%d sent after one acknowledgement that came twice, want 2", sent)
		}
		for range 4 {
			o.post(other, Message{Code: POST}, count)
		}
		if sent != 3 || full != 2 {
			t.Errorf("%d sent, %d refused with another peer, want 3 and 2", sent, full)
		}
		if o.close(); closed != 5 || len(o.lanes) != 0 {
			t.Errorf("%d given up, %d lanes left", closed, len(o.lanes))
		}
	})
}

// Who knows the message ID of what it was sent does not know those of others,
// whose exchanges it could end.
func TestMessageIDsCannotBeGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(Limits{Queue: 100, Queues: 1000}, func([]byte, route) error { return nil })
		defer o.close()
		guessed := 0
		var last uint16
		for i := range 100 {
			to := route{peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1)}
			first := o.post(to, Message{Code: POST}, func(*Message, error) {})
			if first.id-last < 4 {
				guessed++
			}
			if last = first.id; o.post(to, Message{Code: POST}, func(*Message, error) {}).id == first.id {
				t.Error("an ID comes twice")
			}
		}
		if guessed > 10 {
			t.Errorf("%d IDs of 100 follow from the one before", guessed)
		}
	})
}

// An observer that is gone is forgotten after the first notification it does
// not acknowledge, and one that knows nothing of it, at once.
func TestObserversWhoAreGone(t *testing.T) {
	for name, reset := range map[string]bool{"silent": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			world := newWorld()
			conversation(t, world, func(t *testing.T, w *wire, s *Server, c *Client) {
				world.srv = s
				for _, err := range c.Observe(t.Context(), "/state") {
					if err != nil {
						t.Fatal(err)
					}
					if reset { // a device that has restarted
						c.wire.(*udpClient).waiting.takers = nil
					} else {
						c.Close()
					}
					world.set("second")
					world.set("third")
					synctest.Wait()
					if reset == (s.observers.count() == 1) {
						t.Errorf("%d observers after the notification was sent", s.observers.count())
					}
					time.Sleep(100 * time.Second)
					if s.observers.count() != 0 {
						t.Error("the observer is not forgotten")
					}
					return
				}
			})
		})
	}
}

// Of many changes while a notification is on its way the last is told.
func TestObserverLearnsTheLastState(t *testing.T) {
	world := newWorld()
	conversation(t, world, func(t *testing.T, w *wire, s *Server, c *Client) {
		world.srv = s
		w.delay = time.Second
		var seen []string
		for m, err := range c.Observe(t.Context(), "/state") {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, string(m.Payload))
			if len(seen) == 1 {
				for i := range 10 {
					world.set(fmt.Sprint(i))
				}
			}
			if string(m.Payload) == "9" {
				break
			}
		}
		if len(seen) > 4 {
			t.Errorf("saw %q: every change was sent on its own", seen)
		}
	})
}

// When a server forgets its observers they come back.
func TestObserverRegistersAnew(t *testing.T) {
	world := newWorld()
	conversation(t, world, func(t *testing.T, w *wire, s *Server, c *Client) {
		world.srv = s
		n := 0
		for _, err := range c.Observe(t.Context(), "/state") {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 2 {
				break
			}
			s.observers.mu.Lock()
			for _, one := range s.observers.byKey {
				s.observers.drop(one)
			}
			s.observers.mu.Unlock()
		}
		if s.observers.count() != 1 {
			t.Error("the client is no observer")
		}
	})
}
