package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy stands between agents and a server and takes note of what passes. It
// may cut connections: the side of the agent gets all bytes that were counted
// and then the end, in the middle of an answer.
type proxy struct {
	to  string
	cut int64 // bytes an agent gets over one connection; 0: no limit
	// admit is asked, with the bytes handed over so far, before a download is
	// passed on; false ends the connection. It is called once at a time.
	admit func(handedOver int64) bool

	listener net.Listener

	gate      sync.Mutex
	mu        sync.Mutex
	passed    []passage
	downloads []*piece
}

// passage is a request and the status of its answer.
type passage struct {
	method, path string
	status       int
	at           time.Time
}

// piece is one answer to a download: where it began and how much of the body
// was handed to the agent.
type piece struct{ from, bytes int64 }

func newProxy(t *testing.T, s *site, cut int64, admit func(int64) bool) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{to: strings.TrimPrefix(s.url(), "http://"), cut: cut, admit: admit, listener: l}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			agent, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { p.serve(t, agent) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	return p
}

// options lead an agent through the proxy.
func (p *proxy) options() []string {
	return []string{"--core-server", "http://" + p.listener.Addr().String(), "--auth-server", "http://" + p.listener.Addr().String()}
}

func (p *proxy) serve(t *testing.T, agent net.Conn) {
	defer agent.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	out := &meter{to: agent, left: p.cut, limited: p.cut > 0}
	requests, answers := bufio.NewReader(agent), bufio.NewReader(server)
	for {
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		download := strings.HasSuffix(req.URL.Path, "/download")
		if download && !p.enter() || req.Write(server) != nil {
			return
		}
		resp, err := http.ReadResponse(answers, req)
		if err != nil {
			return
		}
		p.note(t, req, resp, out, download)
		if resp.Write(out) != nil || resp.Close {
			return
		}
	}
}

// enter asks whether a download may be passed on.
func (p *proxy) enter() bool {
	p.gate.Lock()
	defer p.gate.Unlock()
	sum := int64(0)
	for _, d := range p.pieces() {
		sum += d.bytes
	}
	return p.admit == nil || p.admit(sum)
}

// note writes down what passes; out will count the body.
func (p *proxy) note(t *testing.T, req *http.Request, resp *http.Response, out *meter, download bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed = append(p.passed, passage{req.Method, req.URL.Path, resp.StatusCode, time.Now()})
	out.begin(nil)
	if download && resp.StatusCode/100 == 2 {
		d := &piece{}
		if resp.StatusCode == http.StatusPartialContent {
			if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &d.from); err != nil {
				t.Errorf("Content-Range %q", resp.Header.Get("Content-Range"))
			}
		}
		p.downloads = append(p.downloads, d)
		out.begin(func(n int64) {
			p.mu.Lock()
			defer p.mu.Unlock()
			d.bytes += n
		})
	}
}

// pieces are the downloads so far.
func (p *proxy) pieces() (list []piece) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.downloads {
		list = append(list, *d)
	}
	return list
}

// requests are the requests so far whose path ends so.
func (p *proxy) requests(suffix string) (list []passage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.passed {
		if strings.HasSuffix(r.path, suffix) {
			list = append(list, r)
		}
	}
	return list
}

var errCut = errors.New("cut")

// meter passes bytes on until its limit is reached, and counts those that
// follow an answer's header.
type meter struct {
	to      io.Writer
	limited bool
	left    int64
	head    []byte // of the answer that passes, until it is whole
	inBody  bool
	count   func(int64) // nil: not counted
}

// begin says that an answer follows.
func (m *meter) begin(count func(int64)) { m.head, m.inBody, m.count = nil, false, count }

func (m *meter) Write(b []byte) (n int, err error) {
	if m.limited && int64(len(b)) > m.left {
		b, err = b[:m.left], errCut
	}
	n, werr := m.to.Write(b)
	m.left -= int64(n)
	if body := m.body(b[:n]); m.count != nil && body > 0 {
		m.count(int64(body))
	}
	if werr != nil {
		err = werr
	}
	return n, err
}

// body tells how many of the bytes are no header.
func (m *meter) body(b []byte) int {
	if m.inBody {
		return len(b)
	}
	m.head = append(m.head, b...)
	end := bytes.Index(m.head, []byte("\r\n\r\n"))
	if m.inBody = end >= 0; !m.inBody {
		return 0
	}
	return len(m.head) - end - len("\r\n\r\n")
}
