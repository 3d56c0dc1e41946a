package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

const secret = Token("0123456789abcdef-._~+")

// ask makes a request as it would reach a door at 192.0.2.1 and on loopback.
func ask(method, host string, header []string) *http.Request {
	r := httptest.NewRequest(method, "/events", strings.NewReader(`"GetUpdateRequests"`))
	r.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestWhoMayAsk(t *testing.T) {
	bearer := []string{"Authorization", "Bearer " + string(secret)}
	for _, c := range []struct {
		method, host string
		token        Token
		header       []string // name, value
		status       int
	}{
		{"POST", "127.0.0.1:8888", "", nil, 200},
		{"GET", "127.0.0.1:8888", "", nil, 200},
		{"POST", "localhost:8888", "", nil, 200},
		{"POST", "LOCALHOST", "", nil, 200},
		{"POST", "[::1]:8888", "", nil, 200},
		{"POST", "[::1]", "", nil, 200},
		{"POST", "127.0.0.1:8888", "", []string{"Origin", "http://127.0.0.1:8888"}, 200},
		{"POST", "127.0.0.1:8888", "", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"GET", "127.0.0.1:8888", "", []string{"Sec-Fetch-Site", "none"}, 200},

		{"POST", "evil.example", "", nil, 421},
		{"GET", "evil.example:8888", "", []string{"Origin", "http://evil.example:8888"}, 421},
		{"POST", "localhost.evil.example", "", nil, 421},
		{"POST", "10.0.0.1:8888", "", nil, 421},
		{"POST", "device", "", nil, 421}, // whoever rules DNS gives himself this name
		{"POST", "", "", nil, 421},
		{"POST", ":8888", "", nil, 421},

		{"POST", "127.0.0.1:8888", "", []string{"Origin", "http://evil.example"}, 403},
		{"GET", "127.0.0.1:8888", "", []string{"Origin", "http://evil.example"}, 403},
		{"POST", "127.0.0.1:8888", "", []string{"Origin", "null"}, 403},
		{"POST", "127.0.0.1:8888", "", []string{"Origin", ""}, 403},
		{"POST", "127.0.0.1:8888", "", []string{"Origin", "file://"}, 403},
		{"POST", "127.0.0.1:8888", "", []string{"Origin", "http://127.0.0.1:3000"}, 403},
		{"POST", "127.0.0.1:8888", "", []string{"Origin", "http://127.0.0.1:8888", "Origin", "http://evil.example"}, 403},
		{"POST", "127.0.0.1:8888", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"GET", "127.0.0.1:8888", "", []string{"Sec-Fetch-Site", "same-site"}, 403},

		{"POST", "127.0.0.1:8888", secret, nil, 401},
		{"POST", "127.0.0.1:8888", secret, bearer, 200},
		{"POST", "192.0.2.1:8888", secret, bearer, 200}, // where it was reached
		{"POST", "192.0.2.2:8888", secret, bearer, 421},
		{"POST", "device:8888", secret, bearer, 200},
		{"POST", "evil.example", secret, bearer, 421},
		{"POST", "127.0.0.1:8888", secret, append([]string{"Origin", "http://evil.example"}, bearer...), 403},
		{"POST", "127.0.0.1:8888", secret, []string{"Authorization", "bearer  " + string(secret) + " "}, 200},
		{"POST", "127.0.0.1:8888", secret, []string{"Authorization", string(secret)}, 401},
		{"POST", "127.0.0.1:8888", secret, []string{"Authorization", "Basic " + string(secret)}, 401},
		{"POST", "127.0.0.1:8888", secret, []string{"Authorization", "Bearer"}, 401},
		{"POST", "127.0.0.1:8888", secret, []string{"Authorization", "Bearer " + string(secret) + "x"}, 401},
		{"GET", "127.0.0.1:8888", secret, []string{"Sec-WebSocket-Protocol", "chat, bearer." + string(secret)}, 200},
		{"GET", "127.0.0.1:8888", secret, []string{"Sec-WebSocket-Protocol", "chat", "Sec-WebSocket-Protocol", "bearer." + string(secret)}, 200},
		{"GET", "127.0.0.1:8888", secret, []string{"Sec-WebSocket-Protocol", "bearer."}, 401},
		{"GET", "127.0.0.1:8888", secret, []string{"Sec-WebSocket-Protocol", string(secret)}, 401},
	} {
		e := &entrance{name: "test", token: c.token, log: discard, busy: make(chan struct{}, 1)}
		if c.token != "" {
			e.hosts = []string{"", "device"}
		}
		r := ask(c.method, c.host, c.header)
		r = r.WithContext(contextWithLocal(r, "192.0.2.1"))
		w := httptest.NewRecorder()
		if in := e.admit(w, r); in != (c.status == 200) || w.Code != c.status {
			t.Errorf("%s %q %v: %d %s", c.method, c.host, c.header, w.Code, w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" || (w.Header().Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("headers %v", w.Header())
		}
		if strings.Contains(w.Body.String(), string(secret)) {
			t.Errorf("the answer tells the token: %s", w.Body)
		}
	}
}

func TestOnlySoManyAreServed(t *testing.T) {
	e := &entrance{name: "test", log: discard, busy: make(chan struct{}, 1)}
	for _, want := range []int{200, 503} {
		w := httptest.NewRecorder()
		if e.admit(w, ask("POST", "localhost", nil)); w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
}

func TestWhereTheyListen(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:8888", ":8888", "127.0.0.1", "", "127.0.0.1:99999"} {
		if h, err := NewHTTP(&client{}, Network{Addr: addr, Log: discard}); h != nil || ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("HTTP %q: %v", addr, err)
		}
		if s, err := NewWebsocket(deaf{}, Network{Addr: addr, Log: discard}); s != nil || ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("websocket %q: %v", addr, err)
		}
	}
	if h, err := NewHTTP(&client{}, Network{Addr: "localhost:0", Log: discard}); h != nil || ota.KindOf(err) != ota.KindInvalid {
		t.Errorf("HTTP takes a name: %v", err)
	}
	for _, n := range []Network{{Addr: "localhost:0", Log: discard}, {Addr: "0.0.0.0:0", Token: secret, Log: discard}, {Addr: ":0", Token: secret, Log: discard}} {
		s, err := NewWebsocket(deaf{}, n)
		if err != nil {
			t.Errorf("%q: %v", n.Addr, err)
			continue
		}
		serve(t, s)()
	}
	addr, _ := door(t, &client{})
	if _, err := NewHTTP(&client{}, Network{Addr: addr, Log: discard}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
}

func TestTheTokenIsKeptBeyondLoopback(t *testing.T) {
	h, err := NewHTTP(&client{}, Network{Addr: "0.0.0.0:0", Token: secret, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, h)
	_, port, _ := net.SplitHostPort(h.Addr())
	for _, c := range []struct {
		token  Token
		status int
	}{{"", 401}, {secret, 200}} {
		r, _ := http.NewRequest("POST", "http://127.0.0.1:"+port, strings.NewReader(`"GetUpdateRequests"`))
		r.Header.Set("Authorization", "Bearer "+string(c.token))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%q: %d", c.token, resp.StatusCode)
		}
	}
}

func TestReadToken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("\n "+string(secret)+"\r\n", 0o600)
	if got, err := ReadToken(path); got != secret || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	write(string(secret), 0o400)
	if got, err := ReadToken(path); got != secret || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for text, mode := range map[string]os.FileMode{
		string(secret):                 0o640,
		string(secret) + "\n":          0o604,
		"":                             0o600,
		"tooshort":                     0o600,
		"with a blank in the middle":   0o600,
		"with/what/base64/has==":       0o600,
		strings.Repeat("x", 513):       0o600,
		strings.Repeat("x", 1<<20):     0o600,
		"two-lines-of-it\ntwo-lines-o": 0o600,
	} {
		write(text, mode)
		if got, err := ReadToken(path); got != "" || ota.KindOf(err) != ota.KindInvalid || strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%.30q %o: %q, %v", text, mode, got, err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "fifo")} {
		if _, err := ReadToken(path); ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := ReadToken(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if got, err := ReadToken(""); got != "" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
