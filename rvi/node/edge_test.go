package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// program is a local service over HTTP, on a network of pipes.
type program struct {
	mu     sync.Mutex
	got    []string
	answer string
	server *http.Server
}

func run(t *testing.T, w *network, addr string) *program {
	t.Helper()
	p := &program{answer: `{"jsonrpc":"2.0","id":1,"result":null}`}
	p.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var c struct {
			ID     json.RawMessage
			Method string
			Params struct {
				Service    string          `json:"service_name"`
				Parameters json.RawMessage `json:"parameters"`
				Services   []string
				Timeout    json.RawMessage
			}
		}
		if err := json.Unmarshal(b, &c); err != nil || string(c.ID) != "1" || c.Params.Timeout != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("posted %q: %v", b, err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, strings.TrimSpace(fmt.Sprint(r.URL.Path, " ", c.Method, " ", c.Params.Service, " ", string(c.Params.Parameters), " ", strings.Join(c.Params.Services, ","))))
		_, _ = io.WriteString(rw, p.answer)
	})}
	l := w.listen(addr)
	go func() { _ = p.server.Serve(l) }()
	t.Cleanup(func() { _ = p.server.Close() })
	return p
}

func (p *program) take() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.got
	p.got = nil
	return list
}

func register(t *testing.T, n *Node, service, address string) string {
	t.Helper()
	_, body := call(n, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"register_service","params":{"network_address":%q,"service":%q}}`, address, service))
	return body
}

func TestAProgramAtTheEdge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		client := run(t, p.net, "127.0.0.1:9080")
		ack := handle(t, p.server, "/sota/ack")
		for _, s := range []string{"/sota/notify", "sota/chunk"} {
			if got := register(t, p.vehicle, s, "127.0.0.1:9080"); !strings.Contains(got, vin+"sota/") {
				t.Fatal(got)
			}
		}
		p.link(t)
		if got := client.take(); !slices.Equal(got, []string{"/ services_available   " + backend + "sota/ack"}) {
			t.Errorf("told %q", got)
		}
		for i := range 3 {
			send(t, p.server, vin+"sota/notify", fmt.Sprintf(`[%d]`, i))
		}
		want := []string{"/ message /sota/notify [0]", "/ message /sota/notify [1]", "/ message /sota/notify [2]"}
		if got := client.take(); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		_, body := call(p.vehicle, `{"jsonrpc":"2.0","id":5,"method":"message","params":{"service_name":"`+backend+`sota/ack","timeout":5000,"parameters":[{"chunks":[]}]}}`)
		if !strings.Contains(body, `"transaction_id":1}`) {
			t.Error(body)
		}
		synctest.Wait()
		if got := ack.take(); !slices.Equal(got, []string{`[{"chunks":[]}]`}) {
			t.Errorf("acked %q", got)
		}
		p.cut()
		if got := client.take(); !slices.Equal(got, []string{"/ services_unavailable   " + backend + "sota/ack"}) {
			t.Errorf("told %q", got)
		}
	})
}

func TestAProgramThatIsAwayGetsItsMessagesLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		register(t, p.vehicle, "/sota/chunk", "127.0.0.1:9080")
		p.link(t)
		for i := range 3 {
			send(t, p.server, vin+"sota/chunk", fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		client := run(t, p.net, "127.0.0.1:9080")
		time.Sleep(lastPause)
		if got := client.take(); !slices.Equal(got, []string{"/ message /sota/chunk 0", "/ message /sota/chunk 1", "/ message /sota/chunk 2"}) {
			t.Errorf("got %q", got)
		}
		call(p.vehicle, `{"jsonrpc":"2.0","id":5,"method":"unregister_service","params":{"service":"`+vin+`sota/chunk"}}`)
		synctest.Wait()
		send(t, p.server, vin+"sota/chunk", "3")
		synctest.Wait()
		register(t, p.vehicle, "/sota/chunk", "127.0.0.1:9080")
		if got := client.take(); !slices.Equal(got, []string{"/ message /sota/chunk 3"}) {
			t.Errorf("after its return %q", got)
		}
	})
}

func TestWhatAProgramDidNotTakeIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		client := run(t, p.net, "127.0.0.1:9080")
		client.answer = valid(t, "edge-delivery-reply-error-nojsonrpc.json")
		register(t, p.vehicle, "/sota/chunk", "127.0.0.1:9080")
		register(t, p.vehicle, "/sota/abort", "127.0.0.1:1")
		p.link(t)
		send(t, p.server, vin+"sota/chunk", `1`)
		send(t, p.server, vin+"sota/abort", `[]`)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := p.vLog.reasons(); !slices.Equal(got, []string{"not_delivered", "expired"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestAddresses(t *testing.T) {
	o := vehicleOptions(&log{})
	o.EdgeAllow = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	o.Resolve = resolver{"here": "::1", "metadata": "169.254.169.254", "near": "10.1.2.3", "mapped": "::ffff:127.0.0.1"}.lookup
	o.Dial = newNetwork().dial
	n := start(t, o)
	for address, ok := range map[string]bool{
		"http://127.0.0.1:9080": true, "127.0.0.1:9080": true, "here:80": true, "https://here/path": true, "http://[::1]:80/": true,
		"near:80": true, "mapped:1": true, "10.1.255.1:80": true,
		"metadata:80": false, "http://169.254.169.254/latest": false, "10.2.0.1:80": false, "unknown:80": false, "0.0.0.0:80": false,
		"[::ffff:10.2.0.1]:80": false, "file:///etc/passwd": false, "ws:<0.99.0>": false, "http://a@127.0.0.1/": false, "": false,
		"127.0.0.1:99999": false, "127.0.0.1:x": false, "ftp://127.0.0.1/": false, "http://127.0.0.1:80/#x": false, "http://": false,
		"2130706433:80": false, "0x7f.1:80": false,
	} {
		got := register(t, n, "/sota/notify", address)
		if strings.Contains(got, `"status":0`) != ok || !ok && !strings.Contains(got, "bad_network_address") {
			t.Errorf("%q: %s", address, got)
		}
	}
}

// The name meant loopback when it was registered, and means something else when
// it is called.
func TestANameThatChangesItsMeaning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := vehicleOptions(l)
		w := newNetwork()
		inside := run(t, w, "10.0.0.1:80")
		r := resolver{"rebind": "127.0.0.1"}
		o.Resolve, o.Dial = r.lookup, w.dial
		n := start(t, o)
		register(t, n, "/sota/notify", "rebind:80")
		r["rebind"] = "10.0.0.1"
		n.mu.Lock()
		n.route(&parcel{service: vin + "sota/notify", params: []byte(`1`), expires: time.Now().Add(time.Minute), from: Peer{Addr: "x"}})
		n.unlock()
		if got := inside.take(); len(got) > 0 {
			t.Errorf("posted %q", got)
		}
		if got := l.reasons(); !slices.Equal(got, []string{"not_delivered"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestANameBelongsToWhoIsThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := vehicleOptions(&log{})
		w := newNetwork()
		o.Dial = w.dial
		n := start(t, o)
		first := run(t, w, "127.0.0.1:1")
		register(t, n, "/sota/notify", "127.0.0.1:1")
		if got := register(t, n, "/sota/notify", "127.0.0.1:2"); !strings.Contains(got, "name_taken") {
			t.Error(got)
		}
		_ = first.server.Close()
		if got := register(t, n, "/sota/notify", "127.0.0.1:2"); !strings.Contains(got, `"status":0`) {
			t.Error(got)
		}
		handle(t, n, "/sota/start")
		if got := register(t, n, "/sota/start", "127.0.0.1:2"); !strings.Contains(got, "name_taken") {
			t.Error(got)
		}
		if len(n.couriers) != 1 {
			t.Errorf("%d addresses", len(n.couriers))
		}
	})
}

func TestHTTPRules(t *testing.T) {
	o := vehicleOptions(&log{})
	o.MessageBytes = 1000
	n := start(t, o)
	for _, c := range []struct {
		method, body, origin string
		status               int
	}{
		{"GET", "", "", 405}, {"PUT", "{}", "", 405}, {"POST", strings.Repeat(" ", 1001), "", 413}, {"POST", "{}", "", 200}, {"POST", "{}", "http://evil", 403},
	} {
		r := httptest.NewRequest(c.method, "/any/path", strings.NewReader(c.body))
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		n.serveHTTP(w, r)
		if w.Code != c.status || (c.status == 405) != (w.Header().Get("Allow") == "POST") {
			t.Errorf("%s %.10q: %d", c.method, c.body, w.Code)
		}
	}
}

func TestAWebsocket(t *testing.T) {
	l := &log{}
	n := start(t, vehicleOptions(l))
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- n.ServeEdge(door) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+door.Addr().String()+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(s string) (got map[string]any) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(s)); err != nil {
			t.Fatal(err)
		}
		_, b, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := ask(valid(t, "ws-register.json"))
	var want map[string]any
	_ = json.Unmarshal([]byte(valid(t, "ws-register-reply.json")), &want)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %v, not %v", k, got[k], v)
		}
	}
	if inner := got["result"].(map[string]any); inner["service"] != want["service"] {
		t.Errorf("%v", inner)
	}
	if got := ask(`{"json-rpc":"2.0","id":2,"method":"nonsense","params":{}}`); got["error"] == nil {
		t.Errorf("%v", got)
	}
	n.mu.Lock()
	n.route(&parcel{service: vin + "sota/notify", params: []byte(`[{"a":1}]`), expires: time.Now().Add(time.Minute), from: Peer{Addr: "x"}})
	n.unlock()
	if _, b, err := conn.Read(ctx); err != nil || string(b) != `{"json-rpc":"2.0","method":"message","params":{"service_name":"/sota/notify","parameters":[{"a":1}]}}` {
		t.Errorf("%s, %v", b, err)
	}
	if err := conn.Write(ctx, websocket.MessageText, make([]byte, n.opt.MessageBytes+1)); err != nil {
		t.Error(err)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message that is too big: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if s := n.state(); len(s.Local) != 0 || len(l.reasons()) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAMessageFollowsAProgramThatMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		register(t, p.vehicle, "/sota/chunk", "127.0.0.1:1")
		p.link(t)
		send(t, p.server, vin+"sota/chunk", `1`)
		time.Sleep(time.Second)
		call(p.vehicle, `{"jsonrpc":"2.0","id":5,"method":"unregister_service","params":{"service":"`+vin+`sota/chunk"}}`)
		moved := run(t, p.net, "127.0.0.1:2")
		register(t, p.vehicle, "/sota/chunk", "127.0.0.1:2")
		time.Sleep(time.Second)
		if got := moved.take(); !slices.Equal(got, []string{"/ message /sota/chunk 1"}) {
			t.Errorf("%q", got)
		}
	})
}

// The program leaves while the node is still trying to reach it.
func TestAMessageInTheHandsOfTheCourier(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := vehicleOptions(&log{})
		reach := make(chan struct{})
		o.Dial = func(context.Context, string, string) (net.Conn, error) { <-reach; return nil, io.ErrUnexpectedEOF }
		n := start(t, o)
		register(t, n, "/sota/chunk", "127.0.0.1:1")
		n.mu.Lock()
		n.route(&parcel{service: vin + "sota/chunk", params: []byte(`1`), expires: time.Now().Add(time.Minute), from: Peer{Addr: "x"}})
		n.unlock()
		synctest.Wait()
		call(n, `{"jsonrpc":"2.0","id":5,"method":"unregister_service","params":{"service":"`+vin+`sota/chunk"}}`)
		close(reach)
		synctest.Wait()
		if s := n.state(); s.Waiting != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRedirectsLeadNowhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, l := newNetwork(), &log{}
		o := vehicleOptions(l)
		o.Dial = w.dial
		n := start(t, o)
		door := w.listen("127.0.0.1:1")
		elsewhere := run(t, w, "127.0.0.1:2")
		server := &http.Server{Handler: http.RedirectHandler("http://127.0.0.1:2/", http.StatusTemporaryRedirect)}
		go func() { _ = server.Serve(door) }()
		defer func() { _ = server.Close() }()
		register(t, n, "/sota/notify", "127.0.0.1:1")
		n.mu.Lock()
		n.route(&parcel{service: vin + "sota/notify", params: []byte(`1`), expires: time.Now().Add(time.Minute), from: Peer{Addr: "x"}})
		n.unlock()
		if got := elsewhere.take(); len(got) > 0 || !slices.Equal(l.reasons(), []string{"not_delivered"}) {
			t.Errorf("led to %q", got)
		}
	})
}
