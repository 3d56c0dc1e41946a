package rvi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
	"github.com/updraft-ota/updraft/store"
)

// server is a backend before a real fleet, in a bubble with its own clock. What
// it sends goes nowhere, and is remembered.
type server struct {
	*fleet.Fleet
	t       *testing.T
	backend *Backend
	options BackendOptions
	carrier Carrier // the server itself if nil
	end     func()

	mu   sync.Mutex // guards backend where there are other goroutines
	sent []letter
}

type letter struct {
	to     string
	params json.RawMessage
	life   time.Duration
}

// bubble runs a story.
func bubble(t *testing.T, story func(*testing.T, *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		blobs, err := blob.Open(t.TempDir(), blob.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := &server{t: t}
		s.Fleet = fleet.New(fleet.Options{Store: st, Blobs: blobs, Stoppable: func(id ota.DeviceID, u ota.UpdateID) bool {
			return s.backend.Sending(id, u)
		}})
		s.run()
		story(t, s)
		s.end()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// damage makes the server lose the file of an update.
func (s *server) damage(u ota.Update) {
	s.t.Helper()
	p, err := s.Package(s.t.Context(), u.Namespace, u.Package)
	if err == nil {
		others := func(d ota.Digest) (bool, error) { return d != p.Main().SHA256, nil }
		_, err = s.Blobs.Collect(s.t.Context(), time.Now().AddDate(100, 0, 0), others)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// run starts a backend.
func (s *server) run() {
	s.options.Devices, s.options.Feed = registry{s.Fleet}, s.Feed()
	b := NewBackend(s.options)
	b.carrier, b.services = s, DefaultBackend
	if s.carrier != nil {
		b.carrier = s.carrier
	}
	b.links = func() []node.LinkInfo { return nil }
	s.mu.Lock()
	s.backend = b
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	s.end = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

// restart ends the backend, and begins another that knows what was written only.
func (s *server) restart() {
	s.end()
	s.take()
	s.run()
}

// registry is the fleet as backends see it.
type registry struct{ *fleet.Fleet }

func (r registry) Vehicle(ctx context.Context, vin string) (ota.DeviceID, error) {
	return r.Fleet.Vehicle(ctx, ota.DefaultNamespace, vin)
}

func (r registry) Known(ctx context.Context, id ota.DeviceID) error {
	return r.Fleet.Known(ctx, ota.DefaultNamespace, id)
}

func (r registry) Push(id ota.DeviceID) ota.Push { return r.Uplink(id) }

func (s *server) Send(_ context.Context, to string, params json.RawMessage, life time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, letter{to, params, life})
	return nil
}

// take returns what was sent since the last call, once all is quiet.
func (s *server) take() []letter {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.sent
	s.sent = nil
	return list
}

// car is one vehicle, played by the test.
type car struct {
	*server
	prefix string
	who    Identity
	id     ota.DeviceID
}

// register makes a device that is known by a VIN, or else by its id.
func (s *server) register(vin string) *car {
	s.t.Helper()
	d, err := s.AddDevice(s.t.Context(), ota.DefaultNamespace, fleet.NewDevice{Name: "car " + vin, HardwareID: vin, Type: ota.Vehicle})
	if err != nil {
		s.t.Fatal(err)
	}
	who := Identity{VIN: vin}
	if vin == "" {
		who = Identity{Device: d.ID}
	}
	return &car{server: s, prefix: who.Prefix(), who: who, id: d.ID}
}

func (c *car) peer() node.Peer { return node.Peer{Prefix: c.prefix, Addr: "192.0.2.1:1"} }

func (c *car) announce(available bool) {
	c.backend.Announced(node.Announcement{Peer: c.peer(), Services: []string{c.prefix + "sota/notify"}, Available: available})
}

func (c *car) comes() { c.announce(true) }
func (c *car) goes()  { c.announce(false) }

// says brings a message, and returns the reason why it was not taken.
func (c *car) says(m BackendMessage) string {
	c.mu.Lock()
	b := c.backend
	c.mu.Unlock()
	err := b.heard(c.t.Context(), node.Message{Service: "genivi.org/backend" + m.Service().Local(), Params: m.AppendParams(nil), Peer: c.peer()})
	if err == nil {
		return ""
	}
	return err.(*node.Refusal).Reason
}

// refuses checks the reason why a message is not taken; "" if it is.
func (c *car) refuses(reason string, m BackendMessage) {
	c.t.Helper()
	if got := c.says(m); got != reason {
		c.t.Errorf("%s: %q, want %q", m.Service(), got, reason)
	}
}

// is checks where an update stands, and why.
func (c *car) is(u ota.Update, want string) {
	c.t.Helper()
	if got := c.status(u); got != want {
		c.t.Errorf("%s is %s, want %s", u.Package, got, want)
	}
}

func (c *car) accepts(units ...Unit) {
	c.t.Helper()
	if r := c.says(BackendStart{From: c.who, Units: units, Services: ServicesOf(c.who)}); r != "" {
		c.t.Error(r)
	}
}

func (c *car) holds(u Unit, chunks ...int) {
	c.t.Helper()
	if r := c.says(Ack{From: c.who, Unit: u, Chunks: ChunkSet(chunks...)}); r != "" {
		c.t.Error(r)
	}
}

func (c *car) reports(u Unit, code ota.ResultCode) {
	c.t.Helper()
	r := Report{From: c.who, Unit: u, Results: []ota.OperationResult{{ID: someUpdate, Code: code, Text: "that is how"}}}
	if reason := c.says(r); reason != "" {
		c.t.Error(reason)
	}
}

// update publishes a file and sends it to the car.
func (c *car) update(name string, size int) ota.Update {
	c.t.Helper()
	id := ota.PackageID{Name: name, Version: "1"}
	c.put(id, strings.Repeat(name[:1], size))
	return c.send(id)
}

func (c *car) put(id ota.PackageID, content string) {
	c.t.Helper()
	if _, err := c.PutPackage(c.t.Context(), ota.DefaultNamespace, fleet.NewPackage{ID: id}, strings.NewReader(content)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *car) send(id ota.PackageID) ota.Update {
	c.t.Helper()
	made, _, err := c.server.Fleet.Send(c.t.Context(), ota.DefaultNamespace, fleet.Request{Device: c.id, Packages: []ota.PackageID{id}})
	if err != nil {
		c.t.Fatal(err)
	}
	return made[0]
}

// status is where an update stands, and why.
func (c *car) status(u ota.Update) string {
	c.t.Helper()
	list, err := c.Updates(c.t.Context(), ota.UpdateFilter{Namespace: ota.DefaultNamespace, Device: c.id, ID: u.ID})
	if err != nil || len(list) != 1 {
		c.t.Fatal(list, err)
	}
	return strings.TrimSuffix(string(list[0].Status)+": "+list[0].Reason, ": ")
}

// hears checks what was sent to the car since the last time: "start film",
// "chunk film 3" and so on.
func (c *car) hears(want ...string) {
	c.t.Helper()
	var got []string
	for _, l := range c.take() {
		name, ok := strings.CutPrefix(l.to, c.prefix)
		if !ok {
			c.t.Errorf("%s is not the car's", l.to)
		}
		m, err := ReadAtDevice(name, l.params)
		if err != nil {
			m, err = ReadAtDevice("/"+name, l.params)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		got = append(got, inShort(m))
	}
	if !slices.Equal(got, want) {
		c.t.Errorf("heard %q, want %q", got, want)
	}
}

func inShort(m DeviceMessage) string {
	s := string(m.Service())
	name := func(u Unit) string { return u.Package.Name + string(u.Update) }
	switch m := m.(type) {
	case Notify:
		for _, p := range m.Packages {
			s += " " + p.Package.Name
		}
		if m.Update != nil {
			s += " " + string(m.Update.Update)
		}
	case Start:
		s += " " + name(m.Unit)
	case Chunk:
		s += fmt.Sprint(" ", name(m.Unit), " ", m.Index)
	case Finish:
		s += " " + name(m.Unit)
	}
	return s
}

func (s *server) wait(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func in2015(u ota.Update) Unit { return Unit{Package: u.Package} }
func in2016(u ota.Update) Unit { return Unit{Update: u.ID} }

func (l letter) String() string { return fmt.Sprintf("%s %s %v", l.to, l.params, l.life) }
