package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/suit"
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
	c.Auth, c.HTTPS, c.CoAPSTCP, c.CoAPS = AuthNone, settings.Closed, 0, 0 // the certificate is for CoAP alone
	dir := t.TempDir()
	c.TLSCert, c.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	makeCertificate(t, "localhost", c.TLSCert, c.TLSKey)
	l := start(t, c)
	l.upload("a", map[string]string{"manifest": "the manifest"})
	if got := libcoap(t, "coap-client-openssl", "-n", "-R", c.TLSCert, "-m", "get", "coaps+tcp://"+l.CoAPSTCP+"/a/manifest"); got != "the manifest" {
		t.Errorf("over TLS: %q", got)
	}
}

// Who may sign packages may sign manifests, unless it is said who may.
func TestTrustedKeysCountForManifests(t *testing.T) {
	private, public, err := suit.Generate(suit.KindEd25519)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := suit.ParseSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t.TempDir())
	c.Auth, c.TrustedKeys = AuthNone, filepath.Join(t.TempDir(), "trusted.pem")
	replace(t, c.TrustedKeys, public)
	l := start(t, c)
	image := sha256.Sum256([]byte("image"))
	vendor := suit.VendorID("example.com")
	e, err := suit.Recipe{Sequence: 1, Vendor: vendor, Class: suit.ClassID(vendor, "lamp"),
		Images: []suit.Target{{Component: suit.ComponentID{"\x00"}, URI: "file1", Sum: image[:], Size: 5}}}.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Sign(signer); err != nil {
		t.Fatal(err)
	}
	l.upload("lamp", map[string]string{"manifest": string(e.Encode()), "file1": "image"})
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("publish_id", "lamp")
	_ = form.WriteField("force", "true")
	part, _ := form.CreateFormFile("manifest", "m")
	_, _ = part.Write([]byte("not signed"))
	form.Close()
	answer, err := http.Post("http://"+l.HTTP+"/publish", form.FormDataContentType(), &body)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("one that is not signed: %s", answer.Status)
	}
}

// The certificate may be for CoAP only.
func TestTLSWithoutHTTPS(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Auth, c.HTTPS, c.CoAPSTCP, c.CoAPS = AuthNone, settings.Closed, 0, 0
	dir := t.TempDir()
	c.TLSCert, c.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	makeCertificate(t, "localhost", c.TLSCert, c.TLSKey)
	c.CoAPSClientCA = c.TLSCert
	l := start(t, c)
	l.upload("a", map[string]string{"manifest": "the manifest"})
	if got := libcoap(t, "coap-client-openssl", "-n", "-R", c.TLSCert, "-m", "get", "coaps+tcp://"+l.CoAPSTCP+"/a/manifest"); got != "the manifest" {
		t.Errorf("over TLS: %q", got)
	}
	if l.HTTPS != "" {
		t.Errorf("HTTPS at %s", l.HTTPS)
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

// Devices prove who they are by keys and by certificates, on one port.
func TestDevicesThatProveWhoTheyAre(t *testing.T) {
	c := testConfig(t.TempDir())
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	c.Auth, c.HTTPS, c.CoAPS, c.CoAPSTCP, c.CoAPPublic = AuthNone, 0, 0, 0, false
	c.TLSCert, c.TLSKey, c.CoAPSClientCA = path("server.crt"), path("server.key"), path("cas.pem")
	const id = "0198c0de-0000-7000-8000-00000000000a"
	makeCertificate(t, "localhost", c.TLSCert, c.TLSKey)
	makeCertificate(t, id, path("device.crt"), path("device.key")) // its own authority
	makeCertificate(t, id, path("forged.crt"), path("forged.key"))
	makeCertificate(t, "nobody", path("nobody.crt"), path("nobody.key"))
	var cas []byte
	for _, name := range []string{"device.crt", "nobody.crt"} {
		text, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		cas = append(cas, text...)
	}
	replace(t, path("cas.pem"), cas)
	l := start(t, c)
	l.upload("a", map[string]string{"manifest": "the manifest"})
	add := func(body string) (k struct {
		PSKIdentity string `json:"psk_identity"`
		PSKKey      string `json:"psk_key"`
	}) {
		t.Helper()
		resp, err := http.Post("http://"+l.HTTP+"/api/v1/devices/constrained", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&k); resp.StatusCode != http.StatusCreated || err != nil {
			t.Fatalf("%s, %v", resp.Status, err)
		}
		return k
	}
	key := add(`{"deviceName":"keyed","vendor":"example.com","class":"c","psk":true}`)
	add(`{"uuid":"` + id + `","deviceName":"certified","vendor":"example.com","class":"c"}`)

	root := "coaps://" + l.CoAPS
	for _, tt := range []struct {
		about, url, want string
		args             []string
	}{
		{"a key", root + "/a/manifest", "the manifest", []string{"-u", key.PSKIdentity, "-k", key.PSKKey}},
		{"a certificate", root + "/a/manifest", "the manifest", []string{"-n", "-c", path("device.crt"), "-j", path("device.key"), "-C", c.TLSCert}},
		{"a certificate over TLS", "coaps+tcp://" + l.CoAPSTCP + "/a/manifest", "the manifest", []string{"-n", "-c", path("device.crt"), "-j", path("device.key"), "-C", c.TLSCert}},
		{"a certificate of no device", root + "/a/manifest", "", []string{"-n", "-c", path("nobody.crt"), "-j", path("nobody.key"), "-C", c.TLSCert}},
		{"nothing, over TLS", "coaps+tcp://" + l.CoAPSTCP + "/a/manifest", "", []string{"-n", "-R", c.TLSCert}},
		{"nothing", "coap://" + l.CoAP + "/a/manifest", "", nil},
	} {
		if got := libcoap(t, "coap-client-openssl", append(tt.args, "-m", "get", "-B", "5", tt.url)...); got != tt.want && !(tt.want == "" && !strings.Contains(got, "the manifest")) {
			t.Errorf("with %s: %q", tt.about, got)
		}
	}
	certified := func(name string) (coap.Message, error) {
		cert, err := tls.LoadX509KeyPair(path(name+".crt"), path(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		text, err := os.ReadFile(c.TLSCert)
		if err != nil || !roots.AppendCertsFromPEM(text) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		client, err := coap.DialDTLS(ctx, l.CoAPS, coap.DTLSClientConfig{Certificate: &cert, RootCAs: roots, ServerName: "127.0.0.1"})
		if err != nil {
			return coap.Message{}, err
		}
		defer client.Close()
		return client.Post(ctx, "/r/certified", coap.CBOR, []byte("\xa1\x03\x07"))
	}
	if m, err := certified("device"); err != nil || m.Code != coap.Changed {
		t.Errorf("a report: %v, %v", m.Code, err)
	}
	if m, err := certified("forged"); err == nil {
		t.Errorf("a forged certificate: %v", m.Code)
	}
	if status, text := l.ask("GET", "/api/v1/devices/"+id, "", ""); status != 200 || !strings.Contains(text, `"sequence":7`) {
		t.Errorf("%d %s", status, text)
	}
	if strings.Contains(l.log.String(), key.PSKKey) {
		t.Error("a key is in the log")
	}
}
