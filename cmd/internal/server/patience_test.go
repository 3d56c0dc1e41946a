package server

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
)

// pipes is a listener whose connections are made in memory, where time is the
// test's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return new(net.TCPAddr) }

// A caller that stops in the middle of a request or of an answer is let go,
// whichever handler it is at.
func TestNobodyIsWaitedForForEver(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	h := observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			io.WriteString(w, long)
		case "/read":
			_, _ = io.ReadAll(r.Body)
			fallthrough
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}), discard)
	for _, sent := range []string{
		"GET / HT",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
		"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n",
		"GET /long HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n",
		"GET /long HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			w, err := listenWeb(t.Context(), Config{Auth: AuthNone, HTTP: settings.Closed, HTTPS: settings.Closed}, nil, discard)
			if err != nil {
				t.Fatal(err)
			}
			l := make(pipes, 1)
			w.plain = l
			w.serve(h)
			caller, conn := net.Pipe()
			closed := make(chan time.Time, 1)
			l <- &told{conn, closed}
			began := time.Now()
			if _, err := io.WriteString(caller, sent); err != nil {
				t.Fatal(err)
			}
			if sent[:6] != "GET /l" { // those never read
				go io.Copy(io.Discard, caller)
			}
			if waited := (<-closed).Sub(began); waited > 3*time.Minute {
				t.Errorf("%.40q: let go after %v", sent, waited)
			}
			caller.Close()
			close(l)
			<-w.ended
		})
	}
}

// told tells when it is closed.
type told struct {
	net.Conn
	closed chan time.Time
}

func (c *told) Close() error {
	select {
	case c.closed <- time.Now():
	default:
	}
	return c.Conn.Close()
}
