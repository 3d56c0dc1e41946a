package coap

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
)

// world is what servers of these tests serve: files found at once, a greeting
// that is written, a resource that can be observed.
type world struct {
	srv *Server

	mu    sync.Mutex
	files map[string]Content
	state string
	posts [][]byte
}

func newWorld() *world {
	w := &world{files: make(map[string]Content), state: "first"}
	w.srv = &Server{Handler: w, Log: slog.New(slog.DiscardHandler)}
	return w
}

// file adds a file of n bytes that differ from block to block.
func (w *world) file(path string, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16 ^ n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[path] = Content{Body: bytes.NewReader(b), Size: int64(n), ETag: fmt.Sprintf("v%d", n)[:min(8, 1+len(fmt.Sprint(n)))], Format: OctetStream}
	return b
}

func (w *world) Content(r *Request) (Content, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.files[string(r.PathBytes())]
	return c, ok
}

func (w *world) ServeCOAP(rw ResponseWriter, r *Request) {
	switch {
	case r.Path() == "/state" && r.Code == GET:
		rw.Observable()
		w.mu.Lock()
		defer w.mu.Unlock()
		fmt.Fprint(rw, w.state)
	case r.Path() == "/post" && r.Code == POST:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.posts = append(w.posts, bytes.Clone(r.Payload))
		fmt.Fprintf(rw, "%d bytes", len(r.Payload))
	case r.Path() == "/who":
		fmt.Fprintf(rw, "%d %s", r.Peer.Security, r.Peer.Identity)
	default:
		Fail(rw, NotFound, "there is no %s", r.Path())
	}
}

// posted is what was posted.
func (w *world) posted() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.posts)
}

func (w *world) set(state string) {
	w.mu.Lock()
	w.state = state
	w.mu.Unlock()
	w.srv.Changed("/state")
}

// serve starts a server on a UDP socket of its own and returns its address.
func (w *world) serve(t testing.TB) *net.UDPAddr {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error { return w.srv.Serve(ctx, c) })
	return c.LocalAddr().(*net.UDPAddr)
}

// background runs something until the test ends, and fails the test if that fails.
func background(t testing.TB, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
}
