package rvi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

// script is a node with a backend behind it, or the node's edge, as the test
// has written it.
type script struct {
	*testing.T
	client  *Client
	heard   chan call // what the client says
	address string    // of the client, at an edge
	tell    func(c call)
}

// next is what the client says next.
func (s *script) next() call {
	s.Helper()
	select {
	case c := <-s.heard:
		return c
	case <-time.After(20 * time.Second):
		s.Fatal("the vehicle says nothing")
	}
	return call{}
}

// run runs the client, and what else it needs, until the test ends.
func (s *script) run(serve func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.client.Run(ctx) }()
	go func() { done <- serve(ctx) }()
	s.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				s.Error(err)
			}
		}
		if err := s.client.Close(); err != nil {
			s.Error(err)
		}
	})
}

// linked is a client with a node of its own, linked to a backend's node.
func linked(t *testing.T, c *Client) *script {
	s := &script{T: t, client: c, heard: make(chan call, 10)}
	backend, err := node.New(node.Options{Prefix: BackendPrefix, Plain: node.Vehicles(BackendPrefix),
		Rights: node.Rights{{Receive: []string{BackendPrefix}, Invoke: []string{"genivi.org/"}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	for _, of := range AtBackend {
		if _, err := backend.Handle(of.Local(), func(_ context.Context, m node.Message) error {
			var c call
			c.Method, c.Params.Service, c.Params.Parameters = "message", m.Service, bytes.Clone(m.Params)
			s.heard <- c
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go backend.ServeLink(l)
	there := make(chan struct{}, 1)
	vehicle, err := node.New(node.Options{Prefix: vinOwner, Plain: node.Backend(BackendPrefix, vinOwner),
		Rights: node.Rights{{Receive: []string{vinOwner}, Invoke: []string{BackendPrefix}}},
		Announced: func(a node.Announcement) {
			c.Announced(a)
			select {
			case there <- struct{}{}:
			default:
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vehicle.Close() })
	if err := c.AttachNode(vehicle); err != nil {
		t.Fatal(err)
	}
	s.run(func(ctx context.Context) error { return vehicle.Connect(ctx, l.Addr().String()) })
	<-there
	s.tell = func(c call) {
		if err := backend.Send(t.Context(), vinOwner+strings.TrimPrefix(c.Params.Service, "/"), c.Params.Parameters, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// edged is a client at the edge of a node that is the script.
func edged(t *testing.T, c *Client) *script {
	s := &script{T: t, client: c, heard: make(chan call, 20)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	s.address = address
	var mu sync.Mutex
	var names []string // registered
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			JSONRPC string
			call
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &m); err != nil || m.JSONRPC != "2.0" || m.ID == nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", body, err)
		}
		result := map[string]any{"status": 0}
		switch m.Method {
		case "message":
			if now := time.Now().Unix(); m.Params.Timeout < now || m.Params.Timeout > now+90 {
				t.Errorf("it expires at %d", m.Params.Timeout)
			}
			result["transaction_id"] = 1
			s.heard <- m.call
		case "register_service":
			var p struct {
				Params struct {
					Address string `json:"network_address"`
					Service string
				}
			}
			json.Unmarshal(body, &p)
			if p.Params.Address != address {
				t.Errorf("%s registers at %s, not %s", p.Params.Service, p.Params.Address, address)
			}
			full := vinOwner + strings.TrimPrefix(p.Params.Service, "/")
			result["service"] = full
			mu.Lock()
			names = append(names, full)
			mu.Unlock()
		case "get_available_services":
			mu.Lock()
			result["services"] = slices.Clone(names)
			mu.Unlock()
		}
		json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": m.ID, "result": result})
	}))
	t.Cleanup(edge.Close)
	p := node.NewProgram(node.ProgramOptions{Node: edge.URL, Address: address, Audit: func(node.Event) {}, Announced: c.Announced})
	c.AttachProgram(p)
	s.run(func(ctx context.Context) error { return p.Serve(ctx, l) })
	s.tell = func(c call) {
		if answer := post(t, address, c); string(answer.Error) != "" {
			t.Errorf("%s: %s", c.Params.Service, answer.Error)
		}
	}
	for _, of := range AtDevice {
		for p.FullName(of.Local()) != vinOwner+of.Local()[1:] {
			if t.Context().Err() != nil {
				t.Fatal("not registered")
			}
			runtime.Gosched()
		}
	}
	return s
}

type answer struct{ Result, Error json.RawMessage }

// post brings a message as a node does (rvi.md 2.4).
func post(t *testing.T, address string, c call) (a answer) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "message",
		"params": map[string]any{"service_name": c.Params.Service, "parameters": c.Params.Parameters}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(address, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestRecordedSessionsAtTheClient plays the backend's half of the sessions of
// seed 001 to a client, and expects the device's half, field for field.
func TestRecordedSessionsAtTheClient(t *testing.T) {
	for _, name := range []string{"2015-single-chunk.json", "2015-resume.json"} {
		for way, attach := range map[string]func(*testing.T, *Client) *script{"link": linked, "edge": edged} {
			t.Run(name+"/"+way, func(t *testing.T) {
				s, content := readSession(t, name)
				v := newVehicle(t, Dialect2015)
				v.opt.chunkSize = s.ChunkSize
				if name == "2015-resume.json" {
					v.hold(content, s.ChunkSize, 1, 2, 5)
				}
				c, err := NewClient(v.opt)
				if err != nil {
					t.Fatal(err)
				}
				if way == "edge" {
					c.opt.Dialect = Dialect2016 // it learns better when it registers
				}
				replay(t, attach(t, c), s, content)
			})
		}
	}
}

func replay(t *testing.T, s *script, session session, content []byte) {
	calls, fromDevice := session.said()
	id := Unit{Package: ghc}.ID()
	for i, c := range calls {
		if !fromDevice[i] {
			s.tell(c)
			if ServiceOf(c.Params.Service) == ServiceNotify {
				n, err := s.client.Next(t.Context())
				if o, ok := n.(ota.Offered); err != nil || !ok || o.Offers[0].Update != id || o.Offers[0].Package != ghc {
					t.Fatalf("%+v %v", n, err)
				}
				go s.client.Fetch(t.Context(), ota.FetchRequest{Update: id})
			}
			continue
		}
		want := unwrap(t, c.Params.Parameters)
		switch ServiceOf(c.Params.Service) {
		case ServiceReport:
			body, err := s.client.Fetch(t.Context(), ota.FetchRequest{Update: id})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(body.Body); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%q, %v", got, err)
			}
			text := want.(map[string]any)["description"].(string)
			if err := s.client.Report(t.Context(), ota.Outcome(id, ota.OK, text)); err != nil {
				t.Fatal(err)
			}
		case ServicePackages:
			if n, err := s.client.Next(t.Context()); n != (ota.ListWanted{}) {
				t.Fatal(n, err)
			}
			if err := s.client.Installed(t.Context(), ota.Inventory{Packages: []ota.Installed{{PackageID: ghc}}}); err != nil {
				t.Fatal(err)
			}
		}
		got := s.next()
		if d := cmp.Diff(want, like(want, unwrap(t, got.Params.Parameters))); d != "" || got.Params.Service != c.Params.Service {
			t.Errorf("%s, want %s: %s", got.Params.Service, c.Params.Service, d)
		}
	}
}

// hold leaves some chunks of a file behind, as an earlier client does.
func (v *vehicle) hold(content []byte, chunkSize int, chunks ...int) {
	v.Helper()
	d, err := openFolder(v.opt.Dir)
	if err != nil {
		v.Fatal(err)
	}
	defer d.close()
	f := newFile(Unit{Package: ghc}, content, chunkSize)
	p, err := newPart(d, f.original(), chunkSize, d.room())
	if err != nil {
		v.Fatal(err)
	}
	defer p.Close()
	for _, i := range chunks {
		if err := p.put(i, f.chunk(i).Bytes); err != nil {
			v.Fatal(err)
		}
	}
	m := memory{Family: Dialect2015, Files: []kept{{Start: f.original()}}, Offers: []told{{Unit: f.start.Unit, Package: ghc}}}
	if err := m.write(d); err != nil {
		v.Fatal(err)
	}
}

// TestAClientRefusesTheVectors brings every message of invalid/ that is for a
// device to a client, with and without a node in between, and looks for the
// stated answer, and for what has changed.
func TestAClientRefusesTheVectors(t *testing.T) {
	seen := 0
	for _, vec := range vectors(t, "invalid") {
		if !vec.atDevice() {
			continue
		}
		seen++
		t.Run(vec.name(), func(t *testing.T) {
			v := newVehicle(t, Dialect2015)
			if u, n, ok := transferOf(t, vec, 1); ok {
				content := bytes.Repeat([]byte("x"), (n-1)*ChunkSize+40)
				if u.Package != ghc {
					t.Fatal(u)
				}
				v.hold(content, ChunkSize)
			}
			c, err := NewClient(v.opt)
			if err != nil {
				t.Fatal(err)
			}
			before := c.memory
			m := vec.call(t)
			err = c.hear(t.Context(), node.Message{Service: m.Params.Service, Params: m.Params.Parameters})
			r, ok := errors.AsType[*node.Refusal](err)
			if !ok || r.Code != vec.Expect.Code || r.Reason != vec.Expect.Reason {
				t.Errorf("%v, want %+v", err, vec.Expect)
			}
			s := edged(t, c)
			var e struct {
				Code int
				Data struct{ Reason string }
			}
			if err := json.Unmarshal(post(t, s.address, m).Error, &e); err != nil || e.Code != vec.Expect.Code || e.Data.Reason != vec.Expect.Reason {
				t.Errorf("%+v %v, want %+v", e, err, vec.Expect)
			}
			if d := cmp.Diff(before, c.memory, cmp.AllowUnexported(Chunks{})); d != "" {
				t.Error(d)
			}
			for _, in := range c.files {
				if in.held.Len() != 0 {
					t.Error("a chunk was kept")
				}
			}
			if len(c.slots) != 0 || len(c.notices) != 0 {
				t.Error("something is left", c.notices)
			}
		})
	}
	if seen < 20 {
		t.Errorf("only %d vectors", seen)
	}
}
