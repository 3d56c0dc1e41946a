package server

import (
	"bytes"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// upload sends files to POST /publish, as curl does in seed 003.
func (l *life) upload(id string, files map[string]string) {
	l.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("publish_id", id)
	for name, content := range files {
		part, err := form.CreateFormFile(name, "/tmp/"+name)
		if err != nil {
			l.t.Fatal(err)
		}
		_, _ = part.Write([]byte(content))
	}
	form.Close()
	answer, err := http.Post("http://"+l.HTTP+"/publish", form.FormDataContentType(), &body)
	if err != nil {
		l.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		l.t.Fatalf("publish: %s", answer.Status)
	}
}

// libcoap fetches with one of libcoap's clients; "" if it failed.
func libcoap(t *testing.T, program string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	if text, err := exec.CommandContext(t.Context(), program, append([]string{"-o", out}, args...)...).CombinedOutput(); err != nil {
		t.Logf("%s %q (Debian package libcoap3-bin): %v\n%s", program, args, err, text)
	}
	got, _ := os.ReadFile(out) // it writes none if it gets nothing
	return string(got)
}

func TestAServerOfSeed003(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := testConfig(t.TempDir())
	c.Auth = AuthNone
	c.CoAPTCP = 0
	l := start(t, c)
	files := map[string]string{"manifest": strings.Repeat("manifest ", 50), "file1": strings.Repeat("one ", 3000), "file2": "two"}
	l.upload("myapp", files)
	for name, want := range files {
		for _, root := range []string{"coap://" + l.CoAP, "coap+tcp://" + l.CoAPTCP} {
			if got := libcoap(t, "coap-client-notls", "-m", "get", root+"/myapp/"+name); got != want {
				t.Errorf("%s/myapp/%s: %.60q", root, name, got)
			}
		}
	}
	files["file2"] = "three"
	l.upload("myapp", map[string]string{"file2": "three"})
	if got := libcoap(t, "coap-client-notls", "-m", "get", "coap://"+l.CoAP+"/myapp/file2"); got != "three" {
		t.Errorf("replaced: %q", got)
	}
	if err := l.end(); err != nil {
		t.Error(err)
	}
	if conn, err := net.ListenPacket("udp", l.CoAP); err != nil {
		t.Errorf("the port is not free: %v", err)
	} else {
		conn.Close()
	}
}

func TestFilesOverTLS(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Auth, c.HTTPS, c.CoAPSTCP, c.CoAPS = AuthNone, 0, 0, 0
	dir := t.TempDir()
	c.TLSCert, c.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	makeCertificate(t, "localhost", c.TLSCert, c.TLSKey)
	l := start(t, c)
	l.upload("a", map[string]string{"manifest": "the manifest"})
	if got := libcoap(t, "coap-client-openssl", "-n", "-R", c.TLSCert, "-m", "get", "coaps+tcp://"+l.CoAPSTCP+"/a/manifest"); got != "the manifest" {
		t.Errorf("over TLS: %q", got)
	}
}

func TestAPortThatIsTaken(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := testConfig(t.TempDir())
	if err := c.CoAP.Set(strings.TrimPrefix(taken.LocalAddr().String(), "127.0.0.1:")); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), c, Hooks{Log: new(syncBuffer)}); err == nil || !strings.Contains(err.Error(), "--coap-port") {
		t.Errorf("%v", err)
	}
}
