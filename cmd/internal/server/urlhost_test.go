package server

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// A server that was told its name hands it out, whichever listener is asked;
// it listens where it did.
func TestURLsBearTheNameTheServerWasTold(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	makeCertificate(t, "server", cert, key)
	web := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer web.CloseIdleConnections()
	ask := func(method, url, contentType, body string, into any) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %s", method, url, resp.Status)
		}
		if into == nil {
			return
		}
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		args        []string
		http, https string // before the path; PORT is the listener's
	}{
		"not told":   {nil, "", ""},
		"by flag":    {[]string{"--http-host", "ota.example"}, "http://ota.example:PORT", "https://ota.example:PORT"},
		"by file":    {[]string{"--config", file(t, "http_host = 'ota.example'")}, "http://ota.example:PORT", "https://ota.example:PORT"},
		"and a port": {[]string{"--http-host", "ota.example:1234"}, "http://ota.example:1234", "https://ota.example:1234"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := configure(t, append(tt.args, "--data", t.TempDir(), "--auth=none", "--http-port=0", "--coap-port=0",
				"--https-port=0", "--tls-cert", cert, "--tls-key", key)...)
			if err != nil {
				t.Fatal(err)
			}
			l := start(t, c)
			const one = "/api/v1/packages/a/1"
			ask("PUT", "http://"+l.HTTP+one, "multipart/form-data; boundary=b",
				"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nhello\r\n--b--\r\n", nil)
			for _, at := range []struct{ scheme, address, want string }{{"http://", l.HTTP, tt.http}, {"https://", l.HTTPS, tt.https}} {
				var got struct {
					URI struct{ URI string }
				}
				ask("GET", at.scheme+at.address+one, "", "", &got)
				_, port, _ := strings.Cut(at.address, ":")
				if want := strings.Replace(at.want, "PORT", port, 1) + one + "/file"; got.URI.URI != want {
					t.Errorf("%s%s: %q, want %q", at.scheme, at.address, got.URI.URI, want)
				}
			}
		})
	}
}

func TestNamesThatFitIntoURLs(t *testing.T) {
	for _, flag := range []string{"http-host", "coap-host"} {
		for _, good := range []string{"", "h", "ota.example.org", "ota.example.org:8443", "192.0.2.1", "192.0.2.1:80", "::1", "[::1]", "[::1]:65535"} {
			if _, err := configure(t, "--data=d", "--"+flag, good); err != nil {
				t.Errorf("--%s %q: %v", flag, good, err)
			}
		}
		for _, bad := range []string{"http://h", "h/", "h/path", "h:", ":80", "h:x", "h:65536", "me@h", "a b", "h?q", "h#f", "[::1", "h%41", "h\r\n"} {
			if _, err := configure(t, "--data=d", "--"+flag, bad); !usage.Wrong(err) || !strings.Contains(err.Error(), "--"+flag) {
				t.Errorf("--%s %q: %v", flag, bad, err)
			}
		}
	}
}
