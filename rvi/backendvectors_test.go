package rvi

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
	"github.com/updraft-ota/updraft/store"
)

// TestBackendRefusesTheVectors brings every message of invalid/ that is for a
// backend to one that has the transfer they assume.
func TestBackendRefusesTheVectors(t *testing.T) {
	seen := 0
	for _, v := range vectors(t, "invalid") {
		if v.atDevice() {
			continue
		}
		seen++
		t.Run(v.name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *server) {
				c := s.register(vin)
				c.put(ghc, strings.Repeat("x", 4*ChunkSize+1))
				film := c.send(ghc)
				c.comes()
				c.accepts(in2015(film))
				c.holds(in2015(film))
				before := s.take()
				call := v.call(t)
				err := s.backend.heard(t.Context(), node.Message{Service: call.Params.Service, Params: call.Params.Parameters, Peer: node.Peer{Prefix: owner(v)}})
				r, ok := errors.AsType[*node.Refusal](err)
				if !ok || r.Code != v.Expect.Code || r.Reason != v.Expect.Reason || RefusedAtBackend(r.Err).Action.String() != v.Expect.Action {
					t.Errorf("%+v, want %+v", err, v.Expect)
				}
				if v.Expect.Code != 0 { // at another's node the answer, at once
					err := s.backend.taken(t.Context(), node.Message{Service: call.Params.Service, Params: call.Params.Parameters, Peer: node.Peer{Addr: "edge"}})
					if r, ok := errors.AsType[*node.Refusal](err); !ok || r.Code != v.Expect.Code || r.Reason != v.Expect.Reason {
						t.Errorf("%+v, want %+v", err, v.Expect)
					}
				}
				c.hears()
				c.is(film, "InFlight")
				if list := s.backend.Links(); len(before) != 3 || len(list) != 0 {
					t.Error(before, list)
				}
			})
		})
	}
	if seen < 15 {
		t.Errorf("only %d vectors", seen)
	}
}

// TestTheSessionOfSeed001 replays the recorded session, with a script in the
// place of the vehicle's client: over a data link, and with the server at the
// edge of a node that is another process.
func TestTheSessionOfSeed001(t *testing.T) {
	for _, external := range []bool{false, true} {
		name := map[bool]string{false: "link", true: "edge"}[external]
		t.Run(name, func(t *testing.T) {
			s, content := readSession(t, "2015-single-chunk.json")
			w := newWire(t, external)
			w.addVehicle(vin)
			w.put(ghc, string(content))
			film := w.send(ghc)
			v := w.vehicle(vin)
			calls, fromDevice := s.said()
			for i, c := range calls {
				if fromDevice[i] {
					if err := v.Send(t.Context(), c.Params.Service, c.Params.Parameters, time.Minute); err != nil {
						t.Fatal(err)
					}
					continue
				}
				got := v.next()
				if want := vinOwner + c.Params.Service[1:]; got.Service != want {
					t.Fatalf("%s, want %s", got.Service, want)
				}
				if d := cmp.Diff(unwrap(t, c.Params.Parameters), like(unwrap(t, c.Params.Parameters), unwrap(t, got.Params))); d != "" {
					t.Errorf("%s: %s", c.Params.Service, d)
				}
			}
			w.until("installed", func() bool {
				inv, _, err := w.Inventory(t.Context(), ota.DefaultNamespace, w.id)
				return err == nil && len(inv.Packages) == 1 && inv.Packages[0].PackageID == ghc
			})
			if got := w.status(film); got != "Finished" {
				t.Error(got)
			}
			if l := w.backend.Links(); len(l) != 1 || l[0].Device != w.id || l[0].Dialect != "2015" || l[0].Peer != vinOwner {
				t.Errorf("%+v", l)
			}
		})
	}
}

// like is got without the members that want does not have.
func like(want, got any) any {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return got
		}
		out := map[string]any{}
		for k, v := range g {
			if _, ok := w[k]; ok {
				out[k] = like(w[k], v)
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return got
		}
		out := make([]any, len(g))
		for i := range g {
			out[i] = like(w[i], g[i])
		}
		return out
	}
	return got
}

// wire is a backend at a real node, with real connections.
type wire struct {
	*car // for its helpers; nobody plays it
	node *node.Node
	addr string
}

const backendRights = "genivi.org/backend/sota/"

func newWire(t *testing.T, external bool) *wire {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, Fleet: fleet.New(fleet.Options{Store: st, Blobs: blobs})}
	s.backend = NewBackend(BackendOptions{Devices: registry{s.Fleet}, Feed: s.Feed()})
	w := &wire{car: &car{server: s}}
	o := node.Options{Prefix: BackendPrefix, Plain: node.Vehicles(BackendPrefix), Audit: func(e node.Event) { t.Logf("%+v", e) },
		Rights: node.Rights{{Receive: []string{backendRights}, Invoke: []string{"genivi.org/vin/", "genivi.org/device/"}}}}
	if !external {
		o.Announced = s.backend.Announced
	}
	if w.node, err = node.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = w.node.Close()
		cancel()
		running.Wait()
	})
	links := listenLocally(t)
	w.addr = links.Addr().String()
	running.Go(func() { _ = w.node.ServeLink(links) })
	if !external {
		if err := s.backend.AttachNode(w.node); err != nil {
			t.Fatal(err)
		}
	} else {
		edge, mine := listenLocally(t), listenLocally(t)
		running.Go(func() { _ = w.node.ServeEdge(edge) })
		p := node.NewProgram(node.ProgramOptions{Node: "http://" + edge.Addr().String(), Address: "http://" + mine.Addr().String(), Announced: s.backend.Announced})
		s.backend.AttachProgram(p)
		running.Go(func() { _ = p.Serve(ctx, mine) })
	}
	running.Go(func() { _ = s.backend.Run(ctx) })
	return w
}

func listenLocally(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *wire) addVehicle(vin string) {
	c := w.register(vin)
	w.id, w.prefix, w.who = c.id, c.prefix, c.who
}

// until waits for something that has no other sign.
func (w *wire) until(what string, done func() bool) {
	w.t.Helper()
	for late := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(late) {
			w.t.Fatal("not " + what)
		}
	}
}

// scripted is a vehicle whose services are played by the test.
type scripted struct {
	*node.Node
	t   *testing.T
	got chan node.Message
}

// vehicle connects a vehicle, and has it announce its services once it knows
// those of the backend.
func (w *wire) vehicle(vin string) *scripted {
	w.t.Helper()
	v := &scripted{t: w.t, got: make(chan node.Message, 100)}
	prefix := Identity{VIN: vin}.Prefix()
	known := make(chan string, 100)
	n, err := node.New(node.Options{Prefix: prefix, Plain: node.Backend(BackendPrefix, prefix),
		Rights: node.Rights{{Receive: []string{prefix}, Invoke: []string{backendRights}}},
		Announced: func(a node.Announcement) {
			for _, s := range a.Services {
				known <- s
			}
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	v.Node = n
	w.t.Cleanup(func() { _ = n.Close() })
	host := func(s Service) {
		if _, err := n.Handle(s.Local(), func(_ context.Context, m node.Message) error {
			m.Params = bytes.Clone(m.Params)
			v.got <- m
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, s := range AtDevice {
		if s != ServiceNotify {
			host(s)
		}
	}
	go func() { _ = n.Connect(w.t.Context(), w.addr) }()
	for range AtBackend {
		select {
		case <-known:
		case <-time.After(20 * time.Second):
			w.t.Fatal("the backend has no services")
		}
	}
	host(ServiceNotify)
	return v
}

func (v *scripted) next() node.Message {
	v.t.Helper()
	select {
	case m := <-v.got:
		return m
	case <-time.After(20 * time.Second):
		v.t.Fatal("nothing comes")
	}
	return node.Message{}
}

func TestAWindowOverALink(t *testing.T) {
	w := newWire(t, false)
	w.addVehicle(vin)
	film := w.update("film", 9*ChunkSize)
	v := w.vehicle(vin)
	tell := func(m BackendMessage) {
		t.Helper()
		if err := v.Send(t.Context(), BackendPrefix+m.Service().Local()[1:], m.AppendParams(nil), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	v.next()
	tell(BackendStart{From: w.who, Units: []Unit{in2016(film)}, Services: ServicesOf(w.who), Window: 8})
	v.next()
	for round := range 2 {
		tell(Ack{From: w.who, Unit: in2016(film), Chunks: Upto(8 * round)})
		for i := 8*round + 1; i <= min(8*round+8, 9); i++ {
			got := v.next()
			m, err := ReadAtDevice(got.Service, got.Params)
			if c, ok := m.(Chunk); !ok || c.Index != i {
				t.Fatalf("%s, want chunk %d (%v)", got.Service, i, err)
			}
		}
	}
}
