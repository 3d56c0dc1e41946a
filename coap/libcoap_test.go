package coap

import (
	"bytes"
	"context"
	"fmt"
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
	if string(got) != "3200 bytes" || len(w.posts) != 1 || !bytes.Equal(w.posts[0], long) {
		t.Errorf("the client was told %q, the handler got %d posts", got, len(w.posts))
	}
}
