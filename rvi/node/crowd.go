package node

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// What anybody may do who reaches an HTTP door, at a node or at a program, is
// bounded: how many connections there are, and what their bodies hold.

// crowd is a listener that closes connections beyond maxEdgeConns.
type crowd struct {
	net.Listener
	full  func(from string)
	count atomic.Int64
}

func (l *crowd) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.count.Add(1) <= maxEdgeConns {
			return &guest{Conn: c, leave: sync.OnceFunc(func() { l.count.Add(-1) })}, nil
		}
		l.count.Add(-1)
		l.full(c.RemoteAddr().String())
		_ = c.Close() // it has not been used
	}
}

type guest struct {
	net.Conn
	leave func()
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}

// readBody reads a request of at most limit bytes, on account of a budget that
// all requests share, and hands it to use. status is that of the answer if it
// cannot: 413, 503 or 400.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, all *budget, use func(body []byte)) (status int) {
	size := r.ContentLength
	if size > limit {
		return http.StatusRequestEntityTooLarge
	}
	if size < 0 {
		size = limit // it does not tell
	}
	if !all.take(int(size)) {
		return http.StatusServiceUnavailable
	}
	defer all.give(int(size))
	body := make([]byte, 0, min(size, smallBuffer)+1)
	in := http.MaxBytesReader(w, r.Body, limit)
	for {
		k, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+k]
		switch _, large := errors.AsType[*http.MaxBytesError](err); {
		case errors.Is(err, io.EOF):
			use(body)
			return 0
		case large:
			return http.StatusRequestEntityTooLarge
		case err != nil:
			return http.StatusBadRequest
		case len(body) == cap(body):
			grown := make([]byte, len(body), min(int64(4*cap(body)), size+1))
			copy(grown, body)
			body = grown
		}
	}
}
