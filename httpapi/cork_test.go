package httpapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// A file leaves in full segments, and nothing after it waits for one to fill.
func TestAFileLeavesInFullSegments(t *testing.T) {
	const size = 64 << 20 // more than the buffers of a connection hold
	file, _ := image(t, size)
	conns := make(chan net.Conn, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		httpapi.ServeContent(w, r, &ota.Content{Body: file, Size: size})
	})
	mux.HandleFunc("/next", func(http.ResponseWriter, *http.Request) {})
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		conns <- c
		return httpapi.WithConnection(ctx, c)
	}
	srv.Start()
	defer srv.Close()

	resp, err := srv.Client().Get(srv.URL + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	conn := <-conns
	if !corked(t, conn) {
		t.Error("the file leaves in segments as they come")
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size-1<<20 {
		t.Fatalf("%d more bytes came: %v", n, err)
	}
	next, err := srv.Client().Get(srv.URL + "/next")
	if err != nil {
		t.Fatal(err)
	}
	next.Body.Close()
	if len(conns) > 0 {
		t.Fatal("the second request took another connection")
	}
	if corked(t, conn) {
		t.Error("the next answer waits for a full segment")
	}
}

func corked(t *testing.T, c net.Conn) bool {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on int
	var failed error
	if err := raw.Control(func(fd uintptr) {
		on, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK)
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return on == 1
}
