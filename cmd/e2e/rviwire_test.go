package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path"
	"slices"
	"sync"
	"testing"
	"time"
)

// wire is a plain link's way between a device's node and the server. It takes
// note of every message and may cut the link in the middle of one.
type wire struct {
	to    string
	every int             // chunks until the link is cut; 0: never
	at    func(chunk int) // called before the n-th chunk is passed on; may be nil

	listener net.Listener
	mu       sync.Mutex
	log      []said
	links    int
	chunks   int
	cuts     int
}

// said is a message for a service.
type said struct {
	link int // which the device has opened
	at   time.Time
	Cmd  string
	Data struct {
		Service    string
		Parameters []struct {
			Index  int
			Chunks []int
		}
	}
}

// service is such as "chunk"; "" if it is no message for one.
func (s said) service() string {
	if s.Cmd != "rcv" || len(s.Data.Parameters) != 1 {
		return ""
	}
	return path.Base(s.Data.Service)
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{to: to, listener: l}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			device, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { w.serve(t, device) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

// serve passes messages on until one side ends. What the device said before
// that always reaches the server, if there is one, as the end follows it.
func (w *wire) serve(t *testing.T, device net.Conn) {
	defer device.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	w.links++
	link := w.links
	w.mu.Unlock()
	up := make(chan struct{})
	go func() {
		defer close(up)
		w.pass(t, link, device, server, func(said) bool { return false })
		server.(*net.TCPConn).CloseWrite()
	}()
	w.pass(t, link, server, device, w.chunk)
	<-up
}

// pass takes note of messages and passes them on: as a whole, or half of one
// and then the end. What comes after that is lost, and yet was sent.
func (w *wire) pass(t *testing.T, link int, from io.Reader, to io.WriteCloser, cut func(said) bool) {
	ended := false
	for d := json.NewDecoder(from); ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			if errors.As(err, new(*json.SyntaxError)) {
				t.Errorf("not JSON on the link: %v", err)
			}
			to.Close()
			return
		}
		var m said
		_ = json.Unmarshal(withoutBytes(raw), &m) // of another form: no message we look for
		m.link, m.at = link, time.Now()
		w.mu.Lock()
		w.log = append(w.log, m)
		w.mu.Unlock()
		switch cut := cut(m); {
		case ended:
			continue
		case cut:
			raw, ended = raw[:len(raw)/2], true
		}
		if _, err := to.Write(raw); err != nil || ended {
			ended = true
			to.Close()
		}
	}
}

// withoutBytes is a message without what is in a chunk.
func withoutBytes(raw []byte) []byte {
	before, rest, ok := bytes.Cut(raw, []byte(`"bytes":"`))
	if !ok {
		return raw
	}
	_, after, _ := bytes.Cut(rest, []byte(`"`))
	return slices.Concat(before, []byte(`"bytes":""`), after)
}

// chunk counts what the server sends, and tells whether the link breaks now.
func (w *wire) chunk(m said) bool {
	if m.service() != "chunk" {
		return false
	}
	w.mu.Lock()
	w.chunks++
	n := w.chunks
	cut := w.every > 0 && n%w.every == 0
	if cut {
		w.cuts++
	}
	w.mu.Unlock()
	if w.at != nil {
		w.at(n)
	}
	return cut
}

// count is how many messages a service was sent.
func (w *wire) count(service string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.log {
		if m.service() == service {
			n++
		}
	}
	return n
}

// checkNothingTwice checks that all chunks were sent and acknowledged, and none
// once the server had its ack: on an earlier link, or long enough ago for it to
// have been read. (A node that comes back hands in the acks it kept one after
// the other, and the first is answered while the next is on its way.)
func (w *wire) checkNothingTwice(t *testing.T, chunks int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	acked, sent, again := map[int]said{}, map[int]int{}, 0
	for _, m := range w.log {
		switch m.service() {
		case "ack":
			for _, i := range m.Data.Parameters[0].Chunks {
				if _, ok := acked[i]; !ok {
					acked[i] = m
				}
			}
		case "chunk":
			i := m.Data.Parameters[0].Index
			if ack, ok := acked[i]; ok && (ack.link < m.link || m.at.Sub(ack.at) > time.Second) {
				t.Errorf("chunk %d was sent again %s after its ack", i, m.at.Sub(ack.at))
			}
			if sent[i]++; sent[i] > 1 {
				again++
			}
		}
	}
	for i := 1; i <= chunks; i++ {
		if _, ok := acked[i]; sent[i] == 0 || !ok {
			t.Errorf("chunk %d was sent %d times, acknowledged: %t", i, sent[i], ok)
		}
	}
	t.Logf("%d chunks, %d links, %d cuts, %d chunks sent again", chunks, w.links, w.cuts, again)
}
