package coap

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// play is a server that answers each request by what it is told to, and a
// client of it.
func play(t *testing.T, answer func(request Message, n int) []Message, story func(t *testing.T, c *Client)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		sock := w.open(serverAddr, "")
		go func() {
			b := make([]byte, 2000)
			for n := 1; ; n++ {
				size, from, err := sock.ReadFrom(b)
				if err != nil {
					return
				}
				var m Message
				if _, err := m.parse(b[:size]); err != nil {
					t.Error(err)
				}
				for _, a := range answer(m.clone(), n) {
					_, _ = sock.WriteTo(a.appendTo(nil), from)
				}
			}
		}()
		c := NewClient(w.open(clientAddr, serverAddr))
		story(t, c)
		c.Close()
		sock.Close()
	})
}

// An acknowledgement with the answer to something else is not taken for one
// (RFC 7252 5.3.2): the request is repeated.
func TestAnswersToOtherRequestsCountForNothing(t *testing.T) {
	play(t, func(r Message, n int) []Message {
		a := Message{Type: Acknowledgement, ID: r.ID, Code: ContentCode, Token: r.Token, Payload: []byte("right")}
		if n == 1 {
			a.Token, a.Payload = []byte("guess"), []byte("forged")
		}
		return []Message{a}
	}, func(t *testing.T, c *Client) {
		start := time.Now()
		m, err := c.Get(t.Context(), "/")
		if err != nil || string(m.Payload) != "right" || time.Since(start) > 3*time.Second {
			t.Errorf("%q, %v, after %v", m.Payload, err, time.Since(start))
		}
	})
}

// An answer that cannot be understood is none (RFC 7252 5.4.1).
func TestAnswersWithUnknownCriticalOptions(t *testing.T) {
	for _, separate := range []bool{false, true} {
		resets := 0
		play(t, func(r Message, n int) []Message {
			if r.Type == Reset {
				resets++
			}
			if !r.Code.IsRequest() {
				return nil
			}
			a := Message{Type: Acknowledgement, ID: r.ID, Code: ContentCode, Token: r.Token, Payload: []byte("secret")}
			a.Options.Add(9, []byte{1}) // OSCORE
			if separate {
				a.Type, a.ID = Confirmable, 77
			}
			return []Message{a}
		}, func(t *testing.T, c *Client) {
			if m, err := c.Get(t.Context(), "/"); !errors.Is(err, ErrNotUnderstood) {
				t.Errorf("%q, %v", m.Payload, err)
			}
			synctest.Wait()
			if separate != (resets == 1) {
				t.Errorf("separate: %v, and %d resets", separate, resets)
			}
		})
	}
}

// A server that never ends its answer is given up.
func TestEndlessAnswers(t *testing.T) {
	play(t, func(r Message, n int) []Message {
		b, _ := r.Options.block(Block2)
		b.More, b.SZX = true, 0 // always
		a := Message{Type: Acknowledgement, ID: r.ID, Code: ContentCode, Token: r.Token, Payload: make([]byte, 16)}
		a.Options.SetUint(Block2, b.value())
		return []Message{a}
	}, func(t *testing.T, c *Client) {
		c.Body = 1000
		if m, err := c.Get(t.Context(), "/"); err == nil || len(m.Payload) > 1000 {
			t.Errorf("%d bytes, %v", len(m.Payload), err)
		}
		c.Block = 16
		var got counter
		if _, _, err := c.Download(t.Context(), "/", &got, 16*(maxBlockNum-9)); !errors.Is(err, errTooManyBlocks) || got != 160 {
			t.Errorf("%d bytes, %v", got, err)
		}
	})
}

// counter is an io.WriterAt that counts.
type counter int64

func (c *counter) WriteAt(p []byte, off int64) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// What our client sends after an answer that comes twice (the acknowledgement
// was lost) is a reset or nothing, and no second answer reaches the caller.
func TestLateCopiesOfAnswers(t *testing.T) {
	play(t, func(r Message, n int) []Message {
		if !r.Code.IsRequest() {
			return nil
		}
		a := Message{Type: Confirmable, ID: uint16(n), Code: ContentCode, Token: r.Token, Payload: []byte{byte(n)}}
		return []Message{a, a, a}
	}, func(t *testing.T, c *Client) {
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if m, err := c.Get(ctx, "/"); err != nil || len(m.Payload) != 1 {
				t.Errorf("request %d: %x, %v", i, m.Payload, err)
			}
			cancel()
			synctest.Wait()
		}
	})
}
