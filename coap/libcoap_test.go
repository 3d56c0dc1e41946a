package coap

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// coapClient runs one of libcoap's clients and returns what it wrote.
func coapClient(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.CommandContext(ctx, program, append([]string{"-o", out}, args...)...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q (Debian package libcoap3-bin): %v\n%s", program, args, err, said)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%s %q wrote nothing: %v\n%s", program, args, err, said)
	}
	return got
}

// fetchAll fetches three files in all sizes of blocks and compares them.
func fetchAll(t *testing.T, w *world, base, program string, args ...string) {
	t.Helper()
	files := map[string][]byte{"/app/manifest": w.file("/app/manifest", 347), "/app/file1": w.file("/app/file1", 8192), "/app/file2": w.file("/app/file2", 5001)}
	for _, size := range []int{16, 32, 64, 128, 256, 512, 1024} {
		for path, want := range files {
			t.Run(fmt.Sprintf("%s in blocks of %d", path, size), func(t *testing.T) {
				got := coapClient(t, program, append(args, "-b", strconv.Itoa(size), base+path)...)
				if !bytes.Equal(got, want) {
					t.Errorf("got %d bytes that differ from the %d served", len(got), len(want))
				}
			})
		}
	}
}

func TestLibcoapFetchesFiles(t *testing.T) {
	w := newWorld()
	fetchAll(t, w, "coap://"+w.serve(t).String(), "coap-client-notls")
}

func TestLibcoapPosts(t *testing.T) {
	w := newWorld()
	addr := w.serve(t)
	in := filepath.Join(t.TempDir(), "in")
	long := bytes.Repeat([]byte("report. "), 400)
	if err := os.WriteFile(in, long, 0o600); err != nil {
		t.Fatal(err)
	}
	got := coapClient(t, "coap-client-notls", "-m", "post", "-b", "64", "-f", in, "coap://"+addr.String()+"/post")
	if posts := w.posted(); string(got) != "3200 bytes" || len(posts) != 1 || !bytes.Equal(posts[0], long) {
		t.Errorf("the client was told %q, the handler got %d posts", got, len(posts))
	}
}

func TestLibcoapObserves(t *testing.T) {
	w := newWorld()
	addr := w.serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "coap-client-notls", "-s", "60", "-w", "coap://"+addr.String()+"/state")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("coap-client-notls (Debian package libcoap3-bin): %v", err)
	}
	lines := bufio.NewScanner(out)
	for _, state := range []string{"first", "second", "third", "fourth"} {
		if state != "first" {
			w.set(state)
		}
		if !lines.Scan() || lines.Text() != state {
			t.Fatalf("coap-client-notls saw %q, want %q", lines.Text(), state)
		}
	}
	cancel()
	_ = cmd.Wait() // killed
}

// device starts libcoap's server, which stands for a device.
func device(t *testing.T) string {
	t.Helper()
	free, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr := free.LocalAddr().(*net.UDPAddr)
	free.Close()
	cmd := exec.Command("coap-server-notls", "-A", "127.0.0.1", "-p", strconv.Itoa(addr.Port), "-d", "10")
	if err := cmd.Start(); err != nil {
		t.Fatalf("coap-server-notls (Debian package libcoap3-bin): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr.String()
}

// Our client triggers a device and sees what became of it.
func TestClientTriggersLibcoap(t *testing.T) {
	c := dial(t, device(t))
	url := []byte("coap://[2001:db8::1]/fw/manifest")
	deadline := time.Now().Add(20 * time.Second)
	for {
		// It may not be listening yet.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := c.Get(ctx, "/.well-known/core")
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if m, err := c.Put(t.Context(), "/suit/trigger", TextPlain, url); err != nil || m.Code != Created {
		t.Fatalf("PUT: %v, %v", m.Code, err)
	}
	if m, err := c.Post(t.Context(), "/suit/trigger", TextPlain, url); err != nil || m.Code.Class() != 2 {
		t.Fatalf("POST: %v, %v", m.Code, err)
	}
	if m, err := c.Get(t.Context(), "/suit/trigger"); err != nil || !bytes.Equal(m.Payload, url) {
		t.Errorf("the device has %q, %v", m.Payload, err)
	}
	if m, err := c.Get(t.Context(), "/nothing"); err != nil || m.Code != NotFound {
		t.Errorf("GET of nothing: %v, %v", m.Code, err)
	}
	long := bytes.Repeat([]byte("0123456789abcdef"), 300)
	if m, err := c.Put(t.Context(), "/example_data", OctetStream, long); err != nil || m.Code.Class() != 2 {
		t.Fatalf("PUT in blocks: %v, %v", m.Code, err)
	}
	if m, err := c.Get(t.Context(), "/example_data"); err != nil || !bytes.Equal(m.Payload, long) {
		t.Errorf("GET in blocks: %d bytes, %v", len(m.Payload), err)
	}
	n := 0
	for m, err := range c.Observe(t.Context(), "/time") {
		if err != nil || m.Code != ContentCode {
			t.Fatalf("observing: %v, %v", m.Code, err)
		}
		if n++; n == 2 {
			break
		}
	}
}
