package gateway

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever opens connections and says nothing must not cost the client more
// than so many of them; when they go others get in.
func TestOnlySoManyConnectionsAreOpen(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 2)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Error("a third one got in")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // twice makes room for one
	third := <-accepted
	if len(l.room) != 2 {
		t.Errorf("%d are open", len(l.room))
	}
	second.Close()
	third.Close()
	l.Close()
	if c, open := <-accepted; open {
		t.Errorf("%v got in after the end", c)
	}
}

// The door of HTTP has such a limit.
func TestADoorFullOfSilence(t *testing.T) {
	addr, _ := door(t, &client{})
	silent := make([]net.Conn, maxOpen)
	for i := range silent {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent[i] = c
	}
	late, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	fmt.Fprint(late, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19\r\n\r\n\"GetUpdateRequests\"")
	late.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := io.ReadAll(late); err == nil || len(b) > 0 {
		t.Fatalf("it is answered beside all the others: %q %v", b, err)
	}
	silent[0].Close()
	late.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(late), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
}

// A client that is out of file descriptors goes on when it has some again.
func TestPeersWaitWhileDescriptorsAreShort(t *testing.T) {
	path, s := openCommandSocket(t, &client{})
	said := make(chan struct{}, 1)
	s.log = slog.New(slog.NewTextHandler(signal(said), nil))
	serve(t, s)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	free, err := unix.Dup(fd) // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	var all unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &all); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: all.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &all)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	<-said
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &all); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if got := tell(t, path, "getreq"); got != `"NoUpdateRequests"` {
		t.Error(got)
	}
}

// signal is told when something is written.
type signal chan struct{}

func (s signal) Write(p []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(p), nil
}
