package blob_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestABlobReachesSendfile holds the promise of ota.Blob: the net package
// takes the fast path for a reader that it can get a file descriptor from.
func TestABlobReachesSendfile(t *testing.T) {
	want := strings.Repeat("updraft ", 100_000)
	files := open(t, t.TempDir())
	b, err := files.Open(t.Context(), put(t, files, want))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, ok := b.(syscall.Conn); !ok {
		t.Fatal("no file descriptor to send from")
	}

	server, client := connect(t)
	go func() {
		io.CopyN(server, b, b.Size()) // as http.ServeContent does
		server.Close()
	}()
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, []byte(want)) {
		t.Errorf("received %d bytes, %v; want %d", len(got), err, len(want))
	}
}

func TestABlobCannotBeWritten(t *testing.T) {
	files := open(t, t.TempDir())
	b, err := files.Open(t.Context(), put(t, files, "content"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.(io.Writer).Write([]byte("other")); err == nil {
		t.Error("writing went well")
	}
}

func connect(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}
