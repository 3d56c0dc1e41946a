package coap

import (
	"bytes"
	"testing"
	"time"
)

func dial(t testing.TB, address string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// at is an io.WriterAt in memory that notes where it was written to first.
type at struct {
	b     []byte
	first int64
	n     int
}

func (a *at) WriteAt(p []byte, off int64) (int, error) {
	if a.n++; a.n == 1 {
		a.first = off
	}
	if need := int(off) + len(p); need > len(a.b) {
		a.b = append(a.b, make([]byte, need-len(a.b))...)
	}
	return copy(a.b[off:], p), nil
}

func TestClientDownloadsAndResumes(t *testing.T) {
	w := newWorld()
	want := w.file("/f", 5001)
	c := dial(t, w.serve(t).String())
	for _, size := range []int{0, 16, 64, 512, 1024} {
		c := &Client{Block: size, wire: c.wire}
		var got at
		n, etag, err := c.Download(t.Context(), "/f", &got, 0)
		if err != nil || n != 5001 || string(etag) != "v5001" || !bytes.Equal(got.b, want) {
			t.Errorf("blocks of %d: %d bytes, ETag %q, %v", size, n, etag, err)
		}
		var rest at
		n, _, err = c.Download(t.Context(), "/f", &rest, 3000)
		if err != nil || n != 5001 || rest.first > 3000 || rest.first < 1976 || !bytes.Equal(rest.b[rest.first:], want[rest.first:]) {
			t.Errorf("blocks of %d, resumed at %d: %d bytes, %v", size, rest.first, n, err)
		}
	}
}

func TestClientPostsLongBodies(t *testing.T) {
	w := newWorld()
	c := dial(t, w.serve(t).String())
	for _, size := range []int{0, 16, 1024} {
		c := &Client{Block: size, wire: c.wire}
		body := bytes.Repeat([]byte("0123456789"), 333)
		m, err := c.Post(t.Context(), "/post", OctetStream, body)
		if posts := w.posted(); err != nil || m.Code != Changed || string(m.Payload) != "3330 bytes" || !bytes.Equal(posts[len(posts)-1], body) {
			t.Errorf("blocks of %d: %v %q, %v", size, m.Code, m.Payload, err)
		}
	}
}

func TestClientObserves(t *testing.T) {
	world := newWorld()
	conversation(t, world, func(t *testing.T, _ *wire, s *Server, c *Client) {
		world.srv = s
		states := []string{"first", "second", "third"}
		for m, err := range c.Observe(t.Context(), "/state") {
			if err != nil || string(m.Payload) != states[0] {
				t.Fatalf("saw %q, %v, want %q", m.Payload, err, states[0])
			}
			if states = states[1:]; len(states) == 0 {
				break
			}
			world.set(states[0])
		}
		time.Sleep(time.Second) // for the farewell
		if n := s.observers.count(); n != 0 {
			t.Errorf("the server still has %d observers", n)
		}
	})
}

func TestClientSeesRefusals(t *testing.T) {
	w := newWorld()
	c := dial(t, w.serve(t).String())
	m, err := c.Get(t.Context(), "/nothing")
	if err != nil || m.Code != NotFound || m.Err() == nil {
		t.Errorf("got %v, %v", m.Code, err)
	}
	if _, _, err := c.Download(t.Context(), "/nothing", &at{}, 0); err == nil || err.Error() != `coap: the answer is 4.04 "there is no /nothing"` {
		t.Errorf("download: %v", err)
	}
}

// count is how many observations there are.
func (o *observers) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.byKey)
}
