package rvi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi/node"
)

func TestAnUpdateTravels(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", ChunkSize+1)
		c.comes()
		c.hears("notify film")
		u := in2015(film)
		c.accepts(u)
		c.hears("start film")
		c.is(film, "InFlight")
		c.holds(u)
		c.hears("chunk film 1")
		c.holds(u, 1)
		c.hears("chunk film 2")
		c.holds(u, 1, 2)
		c.hears("finish film")
		c.reports(u, ota.OK)
		c.hears("getpackages")
		c.is(film, "Finished")
		c.refuses("", Packages{From: c.who, Form: Dialect2015, Packages: []InstalledPackage{{PackageID: film.Package}}})
		inv, _, err := s.Inventory(t.Context(), ota.DefaultNamespace, c.id)
		if err != nil || len(inv.Packages) != 1 || inv.Packages[0].PackageID != film.Package {
			t.Error(inv, err)
		}
		c.goes()
		s.wait(time.Minute)
		c.hears()
		if n := len(s.backend.list()); n != 0 {
			t.Errorf("%d talks are left", n)
		}
	})
}

// TestDialects has a vehicle of each dialect take one update, and fail another.
func TestDialects(t *testing.T) {
	for _, d := range []struct {
		vin  string
		unit func(ota.Update) Unit
		last Dialect
	}{{"V1", in2015, Dialect2015}, {"V1", in2016, Dialect2016a}, {"", in2016, Dialect2016}} {
		t.Run(d.last.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *server) {
				s.options.Compatible = true
				s.restart()
				c := s.register(d.vin)
				c.comes()
				c.refuses("", Packages{From: c.who, Form: d.last})
				film, game := c.update("film", 10), c.update("game", 0)
				s.wait(time.Second)
				f, g := d.unit(film), d.unit(game)
				if d.last == Dialect2015 {
					c.hears("notify film", "notify game")
				} else {
					c.hears("notify "+string(film.ID), "notify "+string(game.ID))
				}
				c.accepts(f)
				c.accepts(g)
				c.holds(f)
				c.holds(f, 1)
				c.holds(g)
				letters := s.take()
				if len(letters) != 5 {
					t.Fatal(letters)
				}
				c.reports(f, ota.AlreadyProcessed)
				c.reports(g, ota.DiskFull)
				c.is(film, "Finished")
				if d.last == Dialect2015 {
					c.is(game, "Failed: GENERAL_ERROR: that is how")
				} else {
					c.is(game, "Failed: DISK_FULL: that is how")
				}
				ask := s.take()
				want := `[{"include_packages":true,"include_module_firmware":true}]`
				if d.last == Dialect2015 {
					want = "[null]"
				}
				if len(ask) != 1 || string(ask[0].params) != want {
					t.Errorf("%v", ask)
				}
			})
		})
	}
}

func TestAVehicleThatNeverSpokeIsAddressedInBothDialects(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.options.Dual = true
		s.restart()
		c := s.register("V1")
		film, game := c.update("film", 1), c.update("game", 1)
		c.comes()
		c.hears("notify film "+string(film.ID), "notify game "+string(game.ID))
		c.accepts(in2016(film))
		c.hears("start " + string(film.ID))
		c.update("radio", 1)
		list := s.take()
		if len(list) != 1 || strings.Contains(string(list[0].params), "packages\":[{") {
			t.Errorf("%v", list)
		}
		d := s.register("")
		film = d.update("movie", 1)
		d.comes()
		d.hears("notify " + string(film.ID))
	})
}

func TestHowLongMessagesAreWorthDelivering(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 1)
		c.comes()
		c.expires(30 * 24 * time.Hour)
		c.accepts(in2015(film))
		c.expires(5 * time.Minute)
	})
}

func (c *car) expires(after time.Duration) {
	c.t.Helper()
	list := c.take()
	if len(list) != 1 || list[0].life != after {
		c.t.Errorf("%v", list)
	}
}

func TestThreeAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		var all []ota.Update
		var units []Unit
		for i := range 5 {
			all = append(all, c.update(string(rune('a'+i))+"-file", 1))
			units = append(units, in2015(all[i]))
		}
		c.comes()
		c.hears("notify a-file b-file c-file d-file e-file")
		c.accepts(units[4], units[3], units[2], units[1], units[0])
		c.hears("start a-file", "start b-file", "start c-file")
		c.is(all[3], "Pending")
		if err := s.Cancel(t.Context(), ota.DefaultNamespace, c.id, all[3].ID); err != nil {
			t.Fatal(err)
		}
		c.hears()
		c.holds(units[1], 1)
		c.hears("finish b-file", "start e-file") // d was canceled while it waited
		c.is(all[4], "InFlight")
	})
}

// TestSilence has a vehicle accept and say nothing more, until it is given up.
func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 1)
		c.comes()
		c.hears("notify film")
		u := in2015(film)
		pause := 5 * time.Minute
		for round := 1; round <= ota.MaxTries; round++ {
			c.accepts(u)
			c.hears("start film")
			s.wait(4 * AckTimeout)
			c.hears("start film", "start film", "start film", "start film")
			if got := c.status(film); !strings.HasPrefix(got, "InFlight") {
				t.Error(got)
			}
			s.wait(AckTimeout)
			c.hears("abort")
			if round == ota.MaxTries {
				break
			}
			c.is(film, "Pending: the vehicle did not answer 5 sends")
			s.wait(pause - time.Second)
			c.hears()
			s.wait(time.Second)
			c.hears("notify film")
			pause = min(2*pause, time.Hour)
		}
		c.is(film, "Failed: unreachable: the vehicle did not answer 5 sends")
		s.wait(3 * time.Hour)
		c.hears()
	})
}

func TestASilentVehicleIsToldAtOnceWhenItReturns(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 3*ChunkSize)
		c.comes()
		c.accepts(in2015(film))
		c.holds(in2015(film))
		c.hears("notify film", "start film", "chunk film 1")
		s.wait(5 * AckTimeout)
		c.hears("chunk film 1", "chunk film 1", "chunk film 1", "chunk film 1", "abort")
		c.goes()
		s.wait(time.Second)
		c.comes()
		c.hears("notify film")
		c.holdsNot("unknown_transfer", in2015(film), 1)
	})
}

func (c *car) holdsNot(reason string, u Unit, chunks ...int) {
	c.t.Helper()
	c.refuses(reason, Ack{From: c.who, Unit: u, Chunks: ChunkSet(chunks...)})
}

// TestRestart cuts the server off in the middle of a transfer, and looks whether
// a chunk is sent again whose ack it had.
func TestRestart(t *testing.T) {
	for _, unit := range []func(ota.Update) Unit{in2015, in2016} {
		bubble(t, func(t *testing.T, s *server) {
			c := s.register("V1")
			film, game := c.update("film", 4*ChunkSize), c.update("game", 1)
			f, g := unit(film), unit(game)
			c.comes()
			c.accepts(f)
			c.accepts(g)
			c.holds(f)
			c.holds(f, 1)
			c.holds(f, 1, 2)
			c.holds(g)
			c.holds(g, 1)
			s.restart()
			if s.backend.list() != nil {
				t.Fatal("it knows too much")
			}
			c.comes()
			list := s.take()
			if len(list) != 2 || !strings.HasSuffix(list[0].to, "/start") || !strings.HasSuffix(list[1].to, "/notify") {
				t.Fatalf("%v", list)
			}
			c.holds(f, 1, 2)
			list = s.take()
			if len(list) != 1 || !strings.Contains(string(list[0].params), `"index":3`) {
				t.Fatalf("%v", list)
			}
			c.reports(g, ota.OK)
			c.is(game, "Finished")
			c.holds(f, 1, 2, 3)
			c.holds(f, 1, 2, 3, 4)
			c.reports(f, ota.OK)
			c.is(film, "Finished")
			if last := s.take(); !strings.HasSuffix(last[len(last)-1].to, "/getpackages") {
				t.Errorf("%v", last)
			}
		})
	}
}

func TestWhatIsInFlightWaitsForTheVehicle(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 2*ChunkSize)
		u := in2015(film)
		c.comes()
		c.accepts(u)
		c.holds(u)
		s.take()
		c.goes()
		s.wait(24 * time.Hour)
		c.hears()
		c.is(film, "InFlight")
		c.comes()
		c.hears("start film")
		c.holds(u, 1)
		c.hears("chunk film 2")
	})
}

func TestAVehicleThatComesAndGoesIsNotGreetedEachTime(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		c.update("film", 1)
		for range 100 {
			c.comes()
			s.wait(10 * time.Millisecond)
			c.goes()
			s.wait(10 * time.Millisecond)
		}
		c.hears("notify film")
		c.comes()
		s.wait(10 * time.Second)
		c.hears("notify film")
	})
}

func TestLostDuplicatedAndLate(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 3*ChunkSize)
		u := in2015(film)
		c.comes()
		c.accepts(u)
		c.accepts(u)
		c.hears("notify film", "start film")
		c.holds(u)
		c.holds(u)
		c.hears("chunk film 1")
		s.wait(AckTimeout)
		c.hears("chunk film 1")
		c.holds(u, 1)
		c.holds(u, 1)
		c.holds(u)
		c.hears("chunk film 2")
		c.holdsNot("index_out_of_range", u, 1, 2, 9)
		c.holds(u, 1, 2, 3)
		c.holds(u, 1, 2)
		c.hears("finish film")
		s.wait(time.Minute)
		c.holds(u, 1, 2, 3) // finish was lost
		c.hears("finish film")
		c.reports(u, ota.OK)
		c.refuses("unknown_update", Report{From: c.who, Unit: u, Results: []ota.OperationResult{{Code: ota.DiskFull}}})
		c.hears("getpackages")
		c.is(film, "Finished")
	})
}

func TestWhatWasSentIsToBeReportedWithinADay(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film, game := c.update("film", 0), c.update("game", 0)
		for _, u := range []Unit{in2016(film), in2016(game)} {
			c.accepts(u)
			c.comes()
			c.holds(u)
		}
		s.take()
		s.restart()
		c.comes()
		c.hears("notify "+string(film.ID), "notify "+string(game.ID))
		s.wait(23 * time.Hour)
		c.reports(in2016(game), ota.OK)
		s.wait(time.Hour)
		c.is(game, "Finished")
		if got := c.status(film); !strings.HasPrefix(got, "Failed: no report") {
			t.Error(got)
		}
		c.reports(in2016(film), ota.OK) // kept in its history
		if got := c.status(film); !strings.HasPrefix(got, "Failed") {
			t.Error(got)
		}
	})
}

func TestOneThatAsksAgainAfterItGotEverything(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 1)
		u := in2015(film)
		c.comes()
		c.accepts(u)
		c.holds(u, 1)
		c.hears("notify film", "start film", "finish film")
		s.wait(time.Minute)
		c.accepts(u)
		c.hears("start film")
		c.holds(u) // it had lost the file
		c.hears("chunk film 1")
		s.wait(5 * AckTimeout)
		c.is(film, "Pending: the vehicle did not answer 5 sends")
	})
}

func TestVehiclesDoNotDisturbEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c, d := s.register("V1"), s.register("V2")
		film := c.update("film", 2*ChunkSize)
		song := d.update("song", 1)
		c.comes()
		c.accepts(in2015(film))
		c.hears("notify film", "start film")
		d.comes()
		d.hears("notify song")

		thief := *d
		thief.who = c.who
		thief.refuses("vin_mismatch", Ack{From: thief.who, Unit: in2015(film)})
		thief.refuses("vin_mismatch", BackendStart{From: thief.who, Units: []Unit{in2015(film)}, Services: ServicesOf(d.who)})
		thief.refuses("vin_mismatch", Report{From: thief.who, Unit: in2015(film), Results: []ota.OperationResult{{}}})
		d.refuses("service_prefix_mismatch", BackendStart{From: d.who, Units: []Unit{in2015(song)}, Services: ServicesOf(c.who)})
		d.refuses("unknown_package", BackendStart{From: d.who, Units: []Unit{in2015(film)}, Services: ServicesOf(d.who)})
		d.refuses("unknown_transfer", Ack{From: d.who, Unit: in2015(film)})
		d.refuses("unknown_update", Report{From: d.who, Unit: in2016(film), Results: []ota.OperationResult{{}}})
		d.hears()
		c.is(film, "InFlight")
		d.is(song, "Pending")

		s.wait(5 * AckTimeout)
		c.hears("start film", "start film", "start film", "start film", "abort")
		d.accepts(in2015(song))
		d.hears("start song")
	})
}

func TestAnUnknownVehicleGetsNothingUntilItIsRegistered(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := &car{server: s, prefix: "genivi.org/vin/V1/", who: Identity{VIN: "V1"}}
		c.comes()
		c.refuses("unknown_device", Packages{From: c.who, Form: Dialect2015})
		c.hears()
		real := s.register("V1")
		film := real.update("film", 1)
		s.wait(Quiet)
		real.hears("notify film")
		real.accepts(in2015(film))
		real.hears("start film")

		if err := s.RemoveDevice(t.Context(), ota.DefaultNamespace, real.id); err != nil {
			t.Fatal(err)
		}
		s.backend.Doubt(real.id)
		real.hears()
		real.refuses("unknown_device", Ack{From: real.who, Unit: in2015(film)})
		real.hears()
	})
}

func TestWhatTheOperatorWants(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		c.comes()
		c.hears()
		if err := s.WantList(t.Context(), ota.DefaultNamespace, c.id); err != nil {
			t.Fatal(err)
		}
		c.hears("getpackages")
		film := c.update("film", 1)
		c.hears("notify film")
		if err := s.Cancel(t.Context(), ota.DefaultNamespace, c.id, film.ID); err != nil {
			t.Fatal(err)
		}
		c.hears()
		c.refuses("unknown_package", BackendStart{From: c.who, Units: []Unit{in2015(film)}, Services: ServicesOf(c.who)})
		if err := s.Block(t.Context(), ota.DefaultNamespace, c.id); err != nil {
			t.Fatal(err)
		}
		c.update("game", 1)
		c.hears()
		if err := s.Unblock(t.Context(), ota.DefaultNamespace, c.id); err != nil {
			t.Fatal(err)
		}
		c.hears("notify game")
		s.wait(notifyAgain)
		c.hears("notify game")
	})
}

// TestWhatIsUnderWayCanBeStopped cancels one of three updates that have begun:
// one of the others goes on from its beginning, one was sent as a whole.
func TestWhatIsUnderWayCanBeStopped(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film, game, song := c.update("film", 2*ChunkSize), c.update("game", 2*ChunkSize), c.update("song", 1)
		cancel := func(u ota.Update) error { return s.Cancel(t.Context(), ota.DefaultNamespace, c.id, u.ID) }
		c.comes()
		c.hears("notify film game song")
		c.accepts(in2015(film), in2015(game), in2015(song))
		c.hears("start film", "start game", "start song")
		c.holds(in2015(song), 1)
		c.hears("finish song")
		c.holds(in2015(film))
		c.hears("chunk film 1")
		if err := cancel(song); ota.KindOf(err) != ota.KindConflict {
			t.Error(err) // the vehicle has it as a whole
		}
		if err := cancel(film); err != nil {
			t.Fatal(err)
		}
		c.hears("abort", "notify game")
		c.is(film, "Canceled: canceled by an operator")
		c.is(game, "Pending")
		c.is(song, "InFlight")
		c.refuses("unknown_transfer", Ack{From: c.who, Unit: in2015(film), Chunks: ChunkSet(1)}) // was on its way
		c.hears()
		c.accepts(in2015(game))
		c.hears("start game")
		c.holds(in2015(game), 1, 2)
		c.hears("finish game")
		c.reports(in2015(game), ota.OK)
		c.reports(in2015(song), ota.OK)
		c.hears("getpackages")
		c.is(game, "Finished")
		c.is(song, "Finished")
	})
}

func TestAListIsWantedUntilItComes(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		if err := s.WantList(t.Context(), ota.DefaultNamespace, c.id); err != nil {
			t.Fatal(err)
		}
		c.hears() // it is away
		s.restart()
		c.comes()
		c.hears("getpackages")
		c.goes() // before it has answered
		s.wait(Quiet)
		c.comes()
		c.hears("getpackages")
		c.refuses("", Packages{From: c.who, Form: Dialect2015})
		c.goes()
		s.wait(Quiet)
		c.comes()
		c.hears()
	})
}

func TestTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("")
		film := c.update("film", 9*ChunkSize)
		u, id := in2016(film), string(film.ID)
		c.comes()
		start := BackendStart{From: c.who, Units: []Unit{u}, Services: ServicesOf(c.who), Window: 16}
		c.refuses("", start)
		c.holds(u)
		c.hears("notify "+id, "start "+id, "chunk "+id+" 1", "chunk "+id+" 2", "chunk "+id+" 3")
		s.restart()
		c.comes()
		c.hears("start " + id)
		c.holds(u, 1, 3)
		c.hears("chunk "+id+" 2", "chunk "+id+" 4", "chunk "+id+" 5")
	})
}

func TestServicesOfOtherNames(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 1)
		c.comes()
		services := ServicesOf(c.who)
		services.Start = c.prefix + "elsewhere/start"
		c.refuses("", BackendStart{From: c.who, Units: []Unit{in2015(film)}, Services: services})
		s.take()
		s.restart()
		c.comes()
		if list := s.take(); len(list) != 1 || list[0].to != services.Start {
			t.Errorf("%v", list)
		}
	})
}

func TestWhatOperatorsSee(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		s.backend.links = nil // as at another process's node
		c := s.register("V1")
		film := c.update("film", 4*ChunkSize-1)
		u := in2015(film)
		c.comes()
		s.take()
		since := time.Now()
		c.accepts(u)
		c.holds(u, 1)
		for i := 2; i <= 3; i++ {
			s.wait(time.Second)
			c.holds(u, 1, i)
		}
		s.wait(AckTimeout)
		got := s.backend.Links()
		if len(got) != 1 || len(got[0].Transfers) != 1 {
			t.Fatalf("%+v", got)
		}
		rate := got[0].Transfers[0].Rate
		if rate < 10 || rate > 2*ChunkSize/5 {
			t.Errorf("%v bytes per second", rate)
		}
		want := ota.Link{Protocol: "rvi", Peer: c.prefix, Device: c.id, Since: since, Dialect: "2015", Transfers: []ota.Transfer{{
			Update: film.ID, Package: film.Package, State: "sending", Size: 4*ChunkSize - 1, Held: 3 * ChunkSize, Chunks: 4, Done: 3, Resends: 1, Rate: rate}}}
		if d := cmp.Diff(want, got[0]); d != "" {
			t.Error(d)
		}
		c.holds(u, 1, 2, 3, 4)
		if held := s.backend.Links()[0].Transfers[0].Held; held != 4*ChunkSize-1 {
			t.Error(held)
		}
		c.goes()
		s.take()
		if got := s.backend.Links(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestAVehicleWithoutServicesIsKnownNevertheless(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		peers := []node.LinkInfo{{Peer: c.peer(), Entitled: true}, {Peer: node.Peer{Prefix: "genivi.org/vin/V2/"}, Entitled: true}}
		s.backend.links = func() []node.LinkInfo { return peers }
		got := map[string]ota.DeviceID{}
		for _, l := range s.backend.Links() {
			got[l.Peer] = l.Device
		}
		if d := cmp.Diff(map[string]ota.DeviceID{c.prefix: c.id, "genivi.org/vin/V2/": ""}, got); d != "" {
			t.Error(d)
		}
	})
}

// TestNothingIsRememberedOfManyVehicles lets vehicles come, take something and
// go, and looks what is left.
func TestNothingIsRememberedOfManyVehicles(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		for i := range 20 {
			c := s.register(fmt.Sprint("V", i))
			film := c.update(fmt.Sprint(i, "-film"), 1)
			c.comes()
			s.take()
			c.accepts(in2015(film))
			c.holds(in2015(film), 1)
			c.reports(in2015(film), ota.OK)
			c.goes()
		}
		s.wait(2 * Quiet)
		c := &car{server: s, prefix: "genivi.org/vin/nobody/"}
		c.comes()
		s.wait(2 * Quiet)
		c.goes()
		s.wait(2 * Quiet)
		if b := s.backend; len(b.talks) != 0 || len(b.byDevice) != 0 || len(b.strangers) != 0 {
			t.Errorf("%d talks, %d devices, %d strangers", len(b.talks), len(b.byDevice), len(b.strangers))
		}
	})
}

// TestWhatCannotBeSent has files go, change or be damaged before they are sent.
func TestWhatCannotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film, game, song := c.update("film", 1), c.update("game", 2*ChunkSize), c.update("song", 1)
		c.comes()
		c.hears("notify film game song")
		s.damage(film)
		c.accepts(in2015(film), in2015(game), in2015(song))
		c.hears("start game", "start song")
		c.is(film, "Pending")
		c.holds(in2015(game))
		c.hears("chunk game 1")

		c.goes()
		s.take()
		s.damage(game)
		c.comes()
		c.hears("start song")
		if got := c.status(game); !strings.HasPrefix(got, "Pending: ") {
			t.Error(got)
		}
		s.wait(Quiet)
		c.hears("notify film game")
		c.reports(in2015(song), ota.OK)
		s.wait(59 * time.Minute)
		c.hears("getpackages")
	})
}

// TestAtAnotherProcessesNode has the server restart while a vehicle is linked to
// a node that tells neither who speaks nor, at once, who is there.
func TestAtAnotherProcessesNode(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		film := c.update("film", 3*ChunkSize)
		u := in2015(film)
		tell := func(m BackendMessage) {
			t.Helper()
			at := node.Message{Service: m.Service().Local(), Params: m.AppendParams(nil), Peer: node.Peer{Addr: "edge"}}
			if err := s.backend.taken(t.Context(), at); err != nil {
				t.Error(err)
			}
		}
		s.backend.external = true
		c.comes()
		tell(BackendStart{From: c.who, Units: []Unit{u}, Services: ServicesOf(c.who)})
		tell(Ack{From: c.who, Unit: u})
		c.hears("notify film", "start film", "chunk film 1")
		s.restart()
		s.backend.external = true
		tell(Ack{From: c.who, Unit: u, Chunks: ChunkSet(1)})
		c.hears("start film", "chunk film 2")
		c.goes()
		s.wait(time.Hour)
		c.hears()
		for range 2 * maxSaid { // one that floods loses its own
			_ = s.backend.taken(t.Context(), node.Message{Service: "/sota/ack", Params: Ack{From: c.who, Unit: u, Chunks: ChunkSet(1)}.AppendParams(nil)})
		}
		list := s.take()
		if len(list) == 0 || !strings.HasSuffix(list[0].to, "/start") {
			t.Errorf("%v", list)
		}
	})
}

// TestABlockHoldsBackWhatWasAccepted has a vehicle accept five updates, of which
// the first fails.
func TestABlockHoldsBackWhatWasAccepted(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		var units []Unit
		for i := range 5 {
			units = append(units, in2015(c.update(string(rune('a'+i))+"-file", 1)))
		}
		c.comes()
		c.accepts(units...)
		s.take()
		c.reports(units[0], ota.DiskFull)
		c.hears() // d would be next
		c.refuses("unknown_package", BackendStart{From: c.who, Units: units[4:], Services: ServicesOf(c.who)})
		c.holds(units[1], 1)
		c.reports(units[1], ota.OK)
		c.holds(units[2], 1)
		c.reports(units[2], ota.OK)
		c.hears("finish b-file", "finish c-file", "getpackages")
		if err := s.Unblock(t.Context(), ota.DefaultNamespace, c.id); err != nil {
			t.Fatal(err)
		}
		c.hears("notify d-file e-file")
	})
}

// A server that ends right after it took a report may lose the list that
// followed. It asks for it when it meets the vehicle again.
func TestTheListOfARestartedServer(t *testing.T) {
	bubble(t, func(t *testing.T, s *server) {
		c := s.register("V1")
		c.comes()
		c.refuses("", Packages{From: c.who, Form: Dialect2015})
		c.hears() // it is new, and tells its list by itself
		s.restart()
		c.comes()
		c.hears("getpackages")
		c.goes()
		s.wait(time.Minute)
		c.comes()
		c.hears()
	})
}
