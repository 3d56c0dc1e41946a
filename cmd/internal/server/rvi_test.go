package server

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

// vehicle is a vehicle's node whose services do nothing but remember.
type vehicle struct {
	*node.Node
	t    *testing.T
	who  rvi.Identity
	got  chan string // what its services were sent
	news chan string // services of the backend
}

func (l *life) vehicle(who rvi.Identity, id *node.Identity) *vehicle {
	l.t.Helper()
	v := &vehicle{t: l.t, who: who, got: make(chan string, 100), news: make(chan string, 100)}
	o := node.Options{Prefix: who.Prefix(), Identity: id, Audit: func(e node.Event) { l.t.Logf("%+v", e) },
		Announced: func(a node.Announcement) {
			for _, s := range a.Services {
				v.news <- s
			}
		}}
	if id == nil {
		o.Plain = node.Backend(rvi.BackendPrefix, who.Prefix())
		o.Rights = node.Rights{{Receive: []string{who.Prefix()}, Invoke: []string{rvi.BackendPrefix + "sota/"}}}
	}
	var err error
	if v.Node, err = node.New(o); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = v.Close() })
	for _, s := range rvi.AtDevice {
		if _, err := v.Handle(s.Local(), func(_ context.Context, m node.Message) error {
			v.got <- string(s) + " " + string(m.Params)
			return nil
		}); err != nil {
			l.t.Fatal(err)
		}
	}
	return v
}

func (v *vehicle) connect(addr string, how func(context.Context, string) error) {
	go func() { _ = how(context.Background(), addr) }()
}

// next waits for something that is on its way.
func (v *vehicle) next(from chan string, what string) string {
	v.t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(30 * time.Second):
		v.t.Fatal("not heard: " + what)
		return ""
	}
}

func (l *life) post(path, body string) {
	l.t.Helper()
	resp, err := http.Post("http://"+l.HTTP+path, "application/json", strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		l.t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
	}
}

func rviConfig(t *testing.T) Config {
	c := testConfig(filepath.Join(t.TempDir(), "data"))
	c.Auth, c.RVIEdge, c.RVILink, c.RVITLS = AuthNone, 0, 0, 0
	return c
}

func TestAServerSpeaksWithVehicles(t *testing.T) {
	c := rviConfig(t)
	l := start(t, c)
	if l.RVIEdge == "" || l.RVILink == "" || l.RVITLS == "" {
		t.Fatalf("%+v", l.Addresses)
	}
	l.expect("GET", "/readyz", "", "", 200, "OK")
	l.post("/api/v1/devices", `{"deviceName":"car","deviceId":"VIN1","deviceType":"Vehicle"}`)

	v := l.vehicle(rvi.Identity{VIN: "VIN1"}, nil)
	v.connect(l.RVILink, v.Connect)
	for range rvi.AtBackend {
		v.next(v.news, "the backend's services")
	}
	packages := rvi.Packages{From: v.who, Form: rvi.Dialect2015}
	if err := v.Send(t.Context(), rvi.DefaultBackend().Packages, packages.AppendParams(nil), time.Minute); err != nil {
		t.Fatal(err)
	}
	l.shows("genivi.org/vin/VIN1/", `"dialect":"2015"`)

	// The same vehicle over TLS replaces itself; an unknown one is listed.
	for _, who := range []rvi.Identity{v.who, {VIN: "VIN2"}} {
		files, err := rvikeys.Issue(c.Data, who, filepath.Join(t.TempDir(), "out"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		id, err := rvikeys.Load(files)
		if err != nil {
			t.Fatal(err)
		}
		other := l.vehicle(who, id)
		other.connect(l.RVITLS, other.ConnectTLS)
		other.next(other.news, "the backend's services")
	}
	l.shows("genivi.org/vin/VIN2/", `"secure":true`)
	for late := time.Now().Add(30 * time.Second); !strings.Contains(l.log.String(), "nobody registered"); {
		if time.Now().After(late) {
			t.Fatalf("no line about the unknown vehicle:\n%s", l.log)
		}
	}
	for _, file := range []string{"root.crt", "server.key"} {
		if _, err := os.Stat(filepath.Join(c.Data, "rvi", file)); err != nil {
			t.Error(err)
		}
	}
	if err := l.end(); err != nil {
		t.Error(err)
	}
}

// shows waits until operators see a link.
func (l *life) shows(peer, member string) {
	l.t.Helper()
	var body string
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); {
		if _, body = l.ask("GET", "/api/v1/links", "", ""); strings.Contains(body, peer) && strings.Contains(body, member) {
			return
		}
	}
	l.t.Fatalf("%s is not shown: %s", peer, body)
}

func TestVehiclesLeaveNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := start(t, rviConfig(t))
	if err := l.end(); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{l.RVIEdge, l.RVILink, l.RVITLS} {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			t.Errorf("%s is still open", addr)
		}
	}
}

func TestWhatProgramsRegisterAtTheEdgeOutlivesTheServer(t *testing.T) {
	c := rviConfig(t)
	c.RVILink, c.RVITLS = -1, -1
	l := start(t, c)
	call := func(text string) string {
		resp, err := http.Post("http://"+l.RVIEdge, "application/json", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		return string(answer)
	}
	if a := call(`{"jsonrpc":"2.0","id":1,"method":"register_service","params":{"network_address":"http://127.0.0.1:9","service":"/sota/more"}}`); !strings.Contains(a, "genivi.org/backend/sota/more") {
		t.Fatal(a)
	}
	if a := call(`{"jsonrpc":"2.0","id":1,"method":"register_service","params":{"network_address":"http://192.0.2.1:9","service":"/sota/far"}}`); !strings.Contains(a, "bad_network_address") {
		t.Error(a)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	l = start(t, c)
	var a struct{ Result struct{ Services []string } }
	if err := json.Unmarshal([]byte(call(`{"jsonrpc":"2.0","id":1,"method":"get_available_services","params":{}}`)), &a); err != nil || len(a.Result.Services) != 5 {
		t.Errorf("%v %v", a, err)
	}
}

// TestAServerAtAnotherProcessesNode has the server join a node that a vehicle
// was linked to before.
func TestAServerAtAnotherProcessesNode(t *testing.T) {
	n, err := node.New(node.Options{Prefix: rvi.BackendPrefix, Plain: node.Vehicles(rvi.BackendPrefix), Audit: func(e node.Event) { t.Logf("%+v", e) },
		Rights: node.Rights{{Receive: []string{rvi.BackendPrefix + "sota/"}, Invoke: []string{"genivi.org/vin/"}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	links, edge := listenLocally(t), listenLocally(t)
	go func() { _ = n.ServeLink(links) }()
	go func() { _ = n.ServeEdge(edge) }()
	first := (&life{t: t}).vehicle(rvi.Identity{VIN: "VIN1"}, nil)
	first.connect(links.Addr().String(), first.Connect)

	c := testConfig(filepath.Join(t.TempDir(), "data"))
	c.Auth, c.RVINode = AuthNone, "http://"+edge.Addr().String()
	l := start(t, c)
	if l.RVIEdge != "" || !strings.Contains(l.log.String(), "called_at=127.0.0.1:") {
		t.Errorf("%+v\n%s", l.Addresses, l.log)
	}
	for range rvi.AtBackend {
		first.next(first.news, "the backend's services")
	}
	l.shows("genivi.org/vin/VIN1/", `"protocol":"rvi"`)
	second := l.vehicle(rvi.Identity{VIN: "VIN2"}, nil)
	second.connect(links.Addr().String(), second.Connect)
	l.shows("genivi.org/vin/VIN2/", `"protocol":"rvi"`)
	if err := l.end(); err != nil {
		t.Error(err)
	}
}

func listenLocally(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheAuditDoesNotFillTheDisk(t *testing.T) {
	var lines syncBuffer
	now := time.Now()
	a := newAudit(slog.New(slog.NewTextHandler(&lines, nil)), func() time.Time { return now })
	for range 10 * auditBurst {
		a.tell(node.Event{Reason: "unauthorized", Peer: "genivi.org/vin/V/"})
	}
	now = now.Add(time.Second)
	a.tell(node.Event{Reason: "link_broken"})
	text := lines.String()
	if n := strings.Count(text, "\n"); n != auditBurst+1 {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(text, "level=INFO msg=rvi reason=link_broken") || !strings.HasSuffix(text, "untold_before=4500\n") {
		t.Error(text[len(text)-300:])
	}
}
