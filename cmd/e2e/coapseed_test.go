package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The commands of seed 003: files, the manifest, a device told of it, and all
// in one; then the three GETs. What is told is a simulated device at the path
// that an operator names.
func TestTheCommandsOfTheSeed(t *testing.T) {
	t.Parallel()
	l := newLab(t, "--auth", "none")
	device := l.small(append(l.lampArgs(), "--trigger-path", "url")...)
	device.play()
	at := strings.TrimPrefix(device.says(`"event":"listening","url":"(coap://[^"]+)"`), "coap://")
	for n, publish := range [][][]string{
		{{"--publish", "file1", "file2"}, {"--manifest", "manifest.bin"}, {"--notify", at + "/url"}},
		{{"--publish", "file1", "file2", "--manifest", "manifest.bin", "--notify", at + "/url"}},
	} {
		id, sequence := "app-"+strconv.Itoa(n), strconv.Itoa(7+n)
		want := map[string][]byte{"file1": l.file("file1", 8192, n), "file2": l.file("file2", 5001, n+50)}
		os.Remove(filepath.Join(l.files, "manifest.bin"))
		l.run("suit", "create", "file1:0", "file2:1", "--vendor", "example.com", "--class", "lamp-1", "--sequence", sequence,
			"--url-root", l.coap()+"/"+id, "--sign", l.author, "--out", "manifest.bin")
		want["manifest"] = l.kept("manifest.bin")
		for _, args := range publish {
			l.run(append([]string{"publish", "--ota-host-url", l.url(), "--publish-id", id}, args...)...)
		}
		device.tells(`"outcome"`, `"sequence":`+sequence+`,"code":0`)
		device.tells(`"started"`, `"sequence":`+sequence)
		device.holds(1-n, want[[]string{"file2", "file1"}[n]])
		theThreeGETs(t, l.coap()+"/"+id, want)
	}
}

func theThreeGETs(t *testing.T, root string, want map[string][]byte) {
	t.Helper()
	for name, content := range want {
		if got := coapGet(t, "coap-client-notls", root+"/"+name); !bytes.Equal(got, content) {
			t.Errorf("%s/%s: got %d bytes, not the %d published", root, name, len(got), len(content))
		}
	}
}

// The same against the server that make run starts, with libcoap's server as
// a device. Any bytes will do as a manifest.
func TestTheCommandsOfTheSeedAgainstTheDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	demo := launch(t, "demo", exec.Command(program(t, "updraft"), "demo", "--devices", "1", "--dir", dir))
	demo.says("Every device has installed")
	l := &lab{files: t.TempDir(), site: &site{T: t, dir: filepath.Join(dir, "server")}}
	at := l.libcoapDevice("url")
	want := map[string][]byte{"file1": l.file("file1", 8192, 1), "file2": l.file("file2", 5001, 2), "manifest": l.file("manifest", 347, 3)}
	host := "http://" + l.addresses().HTTP
	if got, want := demo.says(`Server:   \S+, and (\S+) `), l.coap(); got != want {
		t.Errorf("the demo says it is at %q, want %q", got, want)
	}
	for _, args := range [][]string{{"--publish", "file1", "file2"}, {"--manifest", "manifest"}, {"--notify", at + "/url"}} {
		l.run(append([]string{"publish", "--ota-host-url", host, "--publish-id", "app"}, args...)...)
	}
	theThreeGETs(t, l.coap()+"/app", want)
	if got, want := string(coapGet(t, "coap-client-notls", "coap://"+at+"/url")), l.coap()+"/app/manifest"; got != want {
		t.Errorf("it was told of %q, want %q", got, want)
	}
	demo.terminate()
}

// coapGet runs one of libcoap's clients, and returns what it fetched.
func coapGet(t *testing.T, client, url string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.CommandContext(ctx, client, append(append([]string{"-m", "get", "-B", "150", "-o", out}, args...), url)...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s (Debian package libcoap3-bin): %v\n%s", client, url, err, said)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%s %s wrote nothing: %v\n%s", client, url, err, said)
	}
	return got
}

// libcoap's clients fetch manifest and files at all sizes of blocks, over all
// transports, and with losses.
func TestLibcoapFetchesWhatWasPublished(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.lamp("lamp", 7, "lamp-1")
	d := l.small()
	d.register("lamp-1", "example.com", "lamp-1", "--psk")
	want := map[string][]byte{"manifest": l.kept("lamp.7.suit"), "slot0.bin": l.kept("slot0.bin"), "slot1.bin": l.kept("slot1.bin")}
	psk := []string{"-u", d.papers.Identity, "-k", d.papers.Key}
	for _, way := range []struct {
		name, client, root string
		args               []string
	}{
		{"plain", "coap-client-notls", l.coap(), nil},
		{"tcp", "coap-client-notls", "coap+tcp://" + l.addresses().CoAPTCP, nil},
		{"openssl", "coap-client-openssl", l.coaps(), psk},
		{"gnutls", "coap-client-gnutls", l.coaps(), psk},
	} {
		for _, size := range []string{"16", "32", "64", "128", "256", "512", "1024"} {
			t.Run(way.name+" in blocks of "+size, func(t *testing.T) {
				for name, content := range want {
					got := coapGet(t, way.client, way.root+"/lamp/"+name, append([]string{"-b", size}, way.args...)...)
					if !bytes.Equal(got, content) {
						t.Errorf("%s: got %d bytes, not the %d published", name, len(got), len(content))
					}
				}
			})
		}
	}
	for _, size := range []string{"1024", "256"} {
		t.Run("with losses, in blocks of "+size, func(t *testing.T) {
			t.Parallel()
			for name, content := range want {
				got := coapGet(t, "coap-client-notls", l.in(t).coap()+"/lamp/"+name, "-b", size, "-l", "10%")
				if !bytes.Equal(got, content) {
					t.Errorf("%s: got %d bytes, not the %d published", name, len(got), len(content))
				}
			}
		})
	}
}
