package rvi

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

var unit = Unit{Package: ghc}

func orders(of Service, indices ...int) []Order {
	if len(indices) == 0 {
		return []Order{{Service: of, Unit: unit}}
	}
	var list []Order
	for _, i := range indices {
		list = append(list, Order{Service: of, Unit: unit, Index: i})
	}
	return list
}

func expect(t *testing.T, got, want []Order) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// started is a sender of so many chunks, started at noon.
func started(t *testing.T, chunks, window int) *Sender {
	t.Helper()
	s := NewSender(unit, chunks, window)
	expect(t, s.Start(noon), orders(ServiceStart))
	return s
}

func ack(t *testing.T, s *Sender, now time.Time, indices ...int) []Order {
	t.Helper()
	o, err := s.Ack(ChunkSet(indices...), now)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheFifthUnansweredStartEndsIt(t *testing.T) {
	s := started(t, 3, 1)
	for i := range Sends - 1 {
		expect(t, s.Tick(at(30*i+29)), nil)
		expect(t, s.Tick(at(30*i+30)), orders(ServiceStart))
	}
	expect(t, s.Tick(at(149)), nil)
	expect(t, s.Tick(at(150)), []Order{{Service: ServiceAbort}})
	if s.State() != GivenUp || !s.Deadline().IsZero() {
		t.Error(s.State(), s.Deadline())
	}
	expect(t, s.Tick(at(1000)), nil)
	expect(t, ack(t, s, at(1001), 1), nil)
}

func TestTheFifthUnansweredChunkEndsIt(t *testing.T) {
	s := started(t, 3, 1)
	expect(t, s.Tick(at(30)), orders(ServiceStart))
	expect(t, ack(t, s, at(40)), orders(ServiceChunk, 1))
	for i := range Sends - 1 {
		expect(t, s.Tick(at(70+30*i)), orders(ServiceChunk, 1))
	}
	expect(t, s.Tick(at(190)), []Order{{Service: ServiceAbort}})
	if p := s.Progress(); p.Resends != 5 || p.Held != 0 {
		t.Errorf("%+v", p)
	}
}

func TestAWindowIsKeptFull(t *testing.T) {
	s := started(t, 6, 3)
	expect(t, ack(t, s, at(1), 2), orders(ServiceChunk, 1, 3, 4))
	expect(t, ack(t, s, at(2), 2, 3), orders(ServiceChunk, 5))
	expect(t, ack(t, s, at(2), 2), nil) // overtaken
	expect(t, s.Tick(at(32)), orders(ServiceChunk, 1, 4, 5))
	expect(t, ack(t, s, at(33), 1, 2, 3, 4), orders(ServiceChunk, 6))
	expect(t, ack(t, s, at(34), 1, 2, 3, 4, 5, 6), orders(ServiceFinish))
}

func TestADuplicateAckIsNoReasonToSendAgain(t *testing.T) {
	s := started(t, 2, 1)
	expect(t, ack(t, s, at(1)), orders(ServiceChunk, 1))
	expect(t, ack(t, s, at(2)), nil)
	expect(t, ack(t, s, at(6)), orders(ServiceChunk, 1)) // the chunk was lost
	expect(t, ack(t, s, at(7), 1), orders(ServiceChunk, 2))
	expect(t, ack(t, s, at(8), 1, 2), orders(ServiceFinish))
	expect(t, ack(t, s, at(9), 1, 2), nil)
	expect(t, s.Tick(at(3600)), nil) // never by timer
	expect(t, ack(t, s, at(3601), 1, 2), orders(ServiceFinish))
}

func TestADeviceThatAcksForEverAndTakesNothing(t *testing.T) {
	s := started(t, 2, 1)
	expect(t, ack(t, s, at(0)), orders(ServiceChunk, 1))
	sent := 1
	for i := 1; s.State() != GivenUp; i++ {
		sent += len(ack(t, s, at(6*i)))
		s.Tick(at(6 * i))
		if i > 100 {
			t.Fatal("no end")
		}
	}
	if sent != Sends {
		t.Errorf("sent %d times", sent)
	}
}

func TestADeviceThatLostChunksStartsAgain(t *testing.T) {
	s := started(t, 3, 1)
	expect(t, ack(t, s, at(1), 1, 2, 3), orders(ServiceFinish))
	expect(t, ack(t, s, at(10), 1), nil) // may have been overtaken
	expect(t, ack(t, s, at(40), 1), orders(ServiceStart))
	expect(t, ack(t, s, at(41), 1), orders(ServiceChunk, 2))
}

func TestAnAckOfChunksThatAreNone(t *testing.T) {
	s := started(t, 2, 1)
	for _, list := range [][]int{{0}, {0, 1, 2}, {3}, {1, 2, 99}, {MaxChunks + 1}} {
		if o, err := s.Ack(ChunkSet(list...), noon); o != nil || ota.CodeOf(err) != "index_out_of_range" || s.State() != AwaitingAck {
			t.Errorf("%v: %v %v", list, o, err)
		}
	}
}

func TestNoReportWithinADay(t *testing.T) {
	v := NewVehicle()
	v.Begin([]File{{Unit: unit}}, noon)
	turn, err := v.Ack(unit, Chunks{}, at(1))
	expect(t, turn.Send, orders(ServiceFinish))
	if d := v.Deadline(); err != nil || !d.Equal(at(1).Add(ReportLimit)) {
		t.Error(d, err)
	}
	if d := cmp.Diff(Turn{Unreported: []Unit{unit}}, v.Tick(at(1).Add(ReportLimit))); d != "" || !v.Idle() {
		t.Error(d)
	}
}

func TestAReportIsAwaitedAcrossARestart(t *testing.T) {
	v := NewVehicle()
	v.Await(File{Unit: unit, Chunks: 3}, noon)
	expect(t, v.Back(at(1)).Send, nil)
	turn, err := v.Ack(unit, Upto(3), at(2))
	if turn.Send != nil || err != nil {
		t.Error(turn, err)
	}
	if d := v.Deadline(); !d.Equal(noon.Add(ReportLimit)) {
		t.Error(d)
	}
	expect(t, v.Report(unit, at(3)).Send, []Order{{Service: ServiceGetPackages}})
}

// files are of one chunk each.
func files(names ...string) (list []File) {
	for _, n := range names {
		list = append(list, File{Unit: Unit{Package: ota.PackageID{Name: n, Version: "1"}}, Chunks: 1})
	}
	return list
}

func names(turn Turn) (list []string) {
	for _, o := range turn.Send {
		list = append(list, string(o.Service)+" "+o.Unit.Package.Name)
	}
	return list
}

func TestThreeTransfersAtATime(t *testing.T) {
	v := NewVehicle()
	story := func(turn Turn, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, names(turn)); d != "" {
			t.Error(d)
		}
	}
	f := files("a", "b", "c", "d", "e")
	story(v.Begin(f, noon), "start a", "start b", "start c")
	story(v.Begin(f, at(1)))
	story(v.Begin(f[:1], at(6)), "start a")
	turn, _ := v.Ack(f[1].Unit, ChunkSet(1), at(7))
	story(turn, "finish b", "start d")
	story(v.Report(f[1].Unit, at(8)))
	story(v.Report(f[0].Unit, at(8)), "start e")
	if _, err := v.Ack(f[0].Unit, Chunks{}, at(9)); ota.CodeOf(err) != "unknown_transfer" {
		t.Error(err)
	}
	story(v.Report(f[2].Unit, at(9)))
	story(v.Report(f[3].Unit, at(9)))
	story(v.Report(f[4].Unit, at(9)), "getpackages ")
	story(v.Report(f[4].Unit, at(9)))
}

func TestOneThatDoesNotAnswerEndsAllAndTheyAreReturned(t *testing.T) {
	v := NewVehicle()
	f := files("a", "b", "c", "d")
	v.Begin(f, noon)
	for i := 1; i < Sends; i++ {
		v.Ack(f[0].Unit, Chunks{}, at(30*i-29))
		if turn := v.Tick(v.Deadline()); len(turn.Send) == 0 || len(turn.Returned) > 0 {
			t.Fatal(turn)
		}
	}
	turn := v.Tick(at(150))
	want := Turn{Send: []Order{{Service: ServiceAbort}}, Returned: []Unit{f[0].Unit, f[1].Unit, f[2].Unit, f[3].Unit}}
	if d := cmp.Diff(want, turn); d != "" || !v.Idle() {
		t.Error(d)
	}
}

func TestTimeStandsStillWhileTheVehicleIsAway(t *testing.T) {
	v := NewVehicle()
	v.Begin([]File{{Unit: unit, Chunks: 9}}, noon)
	v.Ack(unit, ChunkSet(1, 2, 3), at(1))
	v.Gone()
	if turn := v.Tick(at(100_000)); len(turn.Send)+len(turn.Returned) > 0 || !v.Deadline().IsZero() {
		t.Error(turn, v.Deadline())
	}
	expect(t, v.Back(at(100_000)).Send, orders(ServiceStart))
	turn, err := v.Ack(unit, ChunkSet(1, 2, 3, 4), at(100_001))
	expect(t, turn.Send, orders(ServiceChunk, 5))
	if p := v.Progress(); err != nil || p[0].Held != 4 || p[0].State != Sending {
		t.Error(p, err)
	}
}
