package rvi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// clientStorm is a backend and a client with a bad way between them, on a device
// that is switched off at the worst of times.
type clientStorm struct {
	*vehicle
	file    testFile
	backend *Vehicle
	luck    *rand.Rand // nil: nothing is lost
	crash   string     // the fault to die at
	after   int        // so many that went well

	once     sync.Mutex // over crash and after
	crashed  atomic.Bool
	acked    Chunks // by all acks the backend has received for what is not whole
	owner    context.CancelFunc
	gone     chan struct{} // the owner has ended
	image    []byte        // what the owner has got
	whole    atomic.Bool   // it has
	reported atomic.Bool
}

func (s *clientStorm) die(point string) {
	s.once.Lock()
	defer s.once.Unlock()
	if s.crashed.Load() || point != s.crash {
		return
	}
	if s.after--; s.after < 0 {
		s.crashed.Store(true)
		runtime.Goexit()
	}
}

// on switches the device on.
func (s *clientStorm) on() {
	s.start()
	s.linked(true)
	ctx, cancel := context.WithCancel(context.Background())
	s.owner, s.gone = cancel, make(chan struct{})
	go func(c *Client, gone chan struct{}) {
		defer close(gone)
		for !s.reported.Load() && s.own(ctx, c) != nil && ctx.Err() == nil {
			time.Sleep(time.Second)
		}
	}(s.client, s.gone)
}

// own is what the client's owner does: it fetches, installs and reports.
func (s *clientStorm) own(ctx context.Context, c *Client) error {
	id := s.file.start.Unit.ID()
	if s.image == nil {
		content, err := c.Fetch(ctx, ota.FetchRequest{Update: id})
		if err != nil {
			return err
		}
		defer content.Body.Close()
		got, err := io.ReadAll(content.Body)
		if err != nil {
			return err
		}
		s.image = got
		s.whole.Store(true)
		c.Release(id)
	}
	if err := c.Report(ctx, ota.Outcome(id, ota.OK, "")); err != nil {
		return err
	}
	s.reported.Store(true)
	return nil
}

func (s *clientStorm) off() {
	s.owner()
	<-s.gone
	s.stop()
}

// lucky reports whether something of so many per cent happens.
func (s *clientStorm) lucky(percent int) bool { return s.luck != nil && s.luck.IntN(100) < percent }

// hearBackend deals with what the vehicle says.
func (s *clientStorm) hearBackend(m BackendMessage) {
	if s.lucky(15) {
		return
	}
	var turn Turn
	switch m := m.(type) {
	case BackendStart:
		turn = s.backend.Begin([]File{{Unit: m.Units[0], Chunks: s.file.start.Chunks, Window: m.Window}}, time.Now())
	case Ack:
		if !s.whole.Load() {
			s.acked.Join(m.Chunks)
		}
		turn, _ = s.backend.Ack(m.Unit, m.Chunks, time.Now())
	case Report:
		turn = s.backend.Report(m.Unit, time.Now())
	}
	s.act(turn)
}

func (s *clientStorm) act(t Turn) {
	s.luckyOrder(t.Send)
	for _, o := range t.Send {
		copies := 1
		if s.lucky(15) {
			copies = 2
		}
		if s.lucky(15) {
			copies = 0
		}
		for range copies {
			s.deliver(o)
		}
	}
	if len(t.Returned) > 0 {
		s.acked = Chunks{} // the abort has them dropped
		s.tell(notify15(ghc, len(s.file.bytes)))
	}
}

func (s *clientStorm) luckyOrder(list []Order) {
	if s.luck != nil {
		s.luck.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
}

func (s *clientStorm) deliver(o Order) {
	var m DeviceMessage
	switch o.Service {
	case ServiceStart:
		m = s.file.start
	case ServiceChunk:
		if s.acked.Has(o.Index) && !s.whole.Load() {
			s.Errorf("chunk %d is sent after its ack", o.Index)
		}
		m = s.file.chunk(o.Index)
	case ServiceFinish:
		m = s.file.finish()
	case ServiceAbort:
		m = Abort{}
	case ServiceGetPackages:
		m = GetPackages{}
	}
	s.tell(m) // what is refused is not acknowledged
}

// weather lets it all happen, until the update is reported.
func (s *clientStorm) weather() {
	s.tell(notify15(ghc, len(s.file.bytes)))
	synctest.Wait()
	buried := false
	for range 3000 {
		said := s.said()
		for _, m := range said {
			s.hearBackend(m)
		}
		synctest.Wait()
		if s.crashed.Load() && !buried {
			buried = true
			s.off()
			s.on()
			s.act(s.backend.Back(time.Now()))
		}
		if s.reported.Load() && len(said) == 0 && s.backend.Idle() {
			return
		}
		if len(said) == 0 {
			time.Sleep(7 * time.Second)
			if s.reported.Load() { // it was lost, and goes out again with the next link
				s.linked(false)
				s.linked(true)
			}
			s.act(s.backend.Tick(time.Now()))
		}
	}
	s.Errorf("it does not end: reported %v, %v", s.reported.Load(), s.backend.Progress())
}

func (s *clientStorm) calm() {
	if !bytes.Equal(s.image, s.file.bytes) {
		s.Errorf("the image is %q", s.image)
	}
	s.off()
	s.on() // and nothing is left that begins again
	if offers, err := s.client.Pending(s.Context()); len(offers) != 0 || err != nil {
		s.Error(offers, err)
	}
	if left := s.left(); left != nil {
		s.Error(left)
	}
	s.off()
	s.client = nil
}

func newClientStorm(v *vehicle, size int) *clientStorm {
	v.size = 4
	content := bytes.Repeat([]byte("0123456789abcdefghij!?"), size/22+1)[:size]
	s := &clientStorm{vehicle: v, file: newFile(unit, content, 4), backend: NewVehicle()}
	v.opt.Window = 4
	v.opt.Fault = s.die
	s.on()
	return s
}

func TestAClientIsSwitchedOffAtAnyMoment(t *testing.T) {
	for _, point := range ClientFaults {
		for after := range 3 {
			t.Run(fmt.Sprint(point, " ", after), func(t *testing.T) {
				inside(t, Dialect2015, func(v *vehicle) {
					s := newClientStorm(v, 45)
					s.crash, s.after = point, after
					s.weather()
					if !s.crashed.Load() && after == 0 {
						t.Error("it was never there")
					}
					s.calm()
				})
			})
		}
	}
}

func TestAClientInAStorm(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inside(t, Dialect2015, func(v *vehicle) {
				s := newClientStorm(v, int(seed)*3)
				s.luck = rand.New(rand.NewPCG(seed, 1))
				s.crash, s.after = ClientFaults[int(seed)%len(ClientFaults)], int(seed)%5
				s.weather()
				s.calm()
			})
		})
	}
}
