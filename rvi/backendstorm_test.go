package rvi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// weather is a carrier that loses, doubles and delays, while it is bad.
type weather struct {
	rand *rand.Rand
	mu   sync.Mutex
	bad  bool
	to   func(service string, params []byte)
}

func (w *weather) Send(_ context.Context, service string, params json.RawMessage, _ time.Duration) error {
	w.carry(func() { w.to(service, params) })
	return nil
}

func (w *weather) carry(deliver func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	times, late := 1, time.Duration(0)
	if w.bad {
		times = []int{0, 1, 1, 1, 1, 1, 1, 1, 1, 2}[w.rand.IntN(10)]
		late = time.Duration(w.rand.IntN(2000)) * time.Millisecond
	}
	for range times {
		time.AfterFunc(late, deliver)
	}
}

// sailor is a car that does what it is told, by the rules of Device, and keeps
// its files in memory.
type sailor struct {
	*car
	w         *weather
	at        sync.Mutex
	device    Device
	files     map[Unit][]byte
	starts    map[Unit]Start
	installed map[Unit]int
	content   map[Unit][]byte
}

func (s *sailor) tell(m BackendMessage) { s.w.carry(func() { s.says(m) }) }

func (s *sailor) ack(u Unit) {
	s.tell(Ack{From: s.who, Unit: u, Chunks: s.device.Held(u).Clone()})
}

func (s *sailor) hear(service string, params []byte) {
	s.at.Lock()
	defer s.at.Unlock()
	m, err := ReadAtDevice(service, params)
	if err != nil {
		s.t.Error(err)
		return
	}
	now := time.Now()
	switch m := m.(type) {
	case Notify:
		for _, p := range m.Packages {
			u := Unit{Package: p.Package}
			if s.installed[u] > 0 {
				s.report(u)
				continue
			}
			s.device.Ask(u, now)
			s.accept(u)
		}
	case Start:
		if fresh, err := s.device.Start(m, now); err == nil {
			if fresh {
				s.files[m.Unit] = make([]byte, m.Size)
			}
			s.starts[m.Unit] = m
			s.ack(m.Unit)
		}
	case Chunk:
		at, err := s.device.Chunk(m, now)
		if err != nil {
			return
		}
		if at.Write {
			copy(s.files[m.Unit][at.Offset:], m.Bytes)
			s.device.Stored(m.Unit, m.Index, now)
		}
		s.ack(m.Unit)
	case Finish:
		s.finish(m, now)
	case Abort:
		for _, u := range s.device.Abort() {
			delete(s.files, u)
		}
	}
}

func (s *sailor) accept(u Unit) {
	s.tell(BackendStart{From: s.who, Units: []Unit{u}, Services: ServicesOf(s.who)})
}

func (s *sailor) report(u Unit) {
	s.tell(Report{From: s.who, Unit: u, Results: []ota.OperationResult{{Code: ota.OK}}})
}

func (s *sailor) finish(m Finish, now time.Time) {
	switch ending, err := s.device.Finish(m, now); {
	case ota.CodeOf(err) == "incomplete_transfer":
		s.ack(m.Unit)
	case err != nil:
	case ending == Again:
		s.report(m.Unit)
	case ending == Check:
		if err := s.device.Checked(m.Unit, sumsOf(s.files[m.Unit])); err != nil {
			s.t.Error(err)
			return
		}
		s.installed[m.Unit]++
		s.content[m.Unit] = s.files[m.Unit]
		s.device.Reported(m.Unit, now)
		s.report(m.Unit)
	}
}

func (s *sailor) tick() {
	s.at.Lock()
	defer s.at.Unlock()
	due := s.device.Tick(time.Now())
	for _, u := range due.Ask {
		s.accept(u)
	}
	for _, u := range due.Ack {
		s.ack(u)
	}
}

// TestAStorm sends files to a vehicle over a bad carrier, with links that break
// and a server that restarts, and looks whether all are installed once the
// weather is fair.
func TestAStorm(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *server) {
				captain := rand.New(rand.NewPCG(seed, 2))
				w := &weather{rand: rand.New(rand.NewPCG(seed, 1)), bad: true}
				c := &sailor{car: s.register("V1"), w: w, files: map[Unit][]byte{}, starts: map[Unit]Start{},
					installed: map[Unit]int{}, content: map[Unit][]byte{}}
				w.to, s.carrier = c.hear, w
				s.restart()
				var all []ota.Update
				c.comes()
				for i := range 600 {
					if i%50 == 0 {
						all = append(all, c.update(fmt.Sprintf("%c-file", 'a'+i/50), captain.IntN(16)*ChunkSize+i%3))
					}
					s.wait(time.Second)
					c.tick()
					switch captain.IntN(60) {
					case 0:
						c.goes()
						s.wait(time.Duration(captain.IntN(40)) * time.Second)
						c.comes()
					case 1:
						s.restart()
						c.comes()
					}
				}
				w.mu.Lock()
				w.bad = false
				w.mu.Unlock()
				c.goes() // as a lost report is told again after that
				s.wait(Quiet)
				c.comes()
				for range 3 * 3600 / 10 {
					s.wait(10 * time.Second)
					c.tick()
				}
				synctest.Wait()
				for _, u := range all {
					c.is(u, "Finished")
					if got := c.content[in2015(u)]; len(got) > 0 && !bytes.Equal(got, bytes.Repeat([]byte(u.Package.Name[:1]), len(got))) {
						t.Errorf("%s came damaged", u.Package)
					}
				}
				if n := slices.Collect(maps.Values(c.installed)); len(n) != len(all) || slices.Max(n) > 1 {
					t.Errorf("installed %v", c.installed)
				}
			})
		})
	}
}
