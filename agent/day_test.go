package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// Twenty-four hours of a client's life, in which all goes wrong that can. In
// the end every update was reported once, nothing was installed twice, and
// there was no minute in which the client was busy with its troubles.
func TestADay(t *testing.T) {
	story(t, func(w *world) {
		d := newDay(w)
		for minute := range 24 * 60 {
			d.happens(fmt.Sprintf("%02d:%02d", minute/60, minute%60))
			w.pass(time.Minute)
			d.watch()
		}
		d.judge()
	})
}

// day is what happens, and what was seen of it.
type day struct {
	*world
	script []hour
	shop   *workshop
	gate   *gate

	commands tally // interpreted by the client
	seen     struct{ commands, calls int }
	busiest  struct{ commands, calls int }
	now      string
	dies     bool          // at the next write
	off      time.Duration // of the device's clock
	room     int64         // on its disk
	allow    func(bool)
}

// hour is one thing that happens.
type hour struct {
	at, what string
	happens  func()
}

func newDay(w *world) *day {
	d := &day{world: w, room: 1 << 40}
	d.shop = &workshop{before: func(img Image) {
		d.shop.outcome = Outcome{Code: ota.OK}
		if img.Update == "voice" {
			d.shop.outcome = Outcome{ota.InstallFailed, "the microphone is missing"}
		}
	}}
	w.installer = d.shop
	d.gate = w.withAuth("right")
	d.gate.life = time.Hour
	w.log = slog.New(&d.commands)
	w.wall = func() time.Time { return time.Now().Add(d.off) }
	w.built = time.Now().Add(-24 * time.Hour)
	w.free = func() (int64, error) { return d.room, nil }
	w.fault = func(string) {
		if d.dies {
			d.dies = false
			runtime.Goexit()
		}
	}
	w.cfg.Policy.MeteredHook, d.allow = hook(w.T)
	d.allow(true)
	w.cfg.Policy.Timezone, w.cfg.Policy.InstallWindows = "UTC", windows(w.T, "04:00-06:00;22:00-23:30")
	w.server.set(func(s *server) {
		s.poll = time.Minute
		s.holds = func() bool { return time.Now().Before(d.gate.until) }
		s.hook = func(method string) {
			if method == "pending" {
				w.agent.clock.Learn(time.Now())
			}
		}
	})
	d.script = []hour{
		{"00:00", "the client starts before its server does", func() { d.down(true, errAway); w.start() }},
		{"00:30", "the server is up", func() { d.down(false, nil) }},
		{"01:00", "an update is sent; it waits for 04:00", func() { w.server.add("map", someBytes(100_000)) }},
		{"03:58", "the server goes down, and the report must wait", func() { d.down(true, nil) }},
		{"06:30", "what gives tokens goes down as well", func() { d.down(true, errAway) }},
		{"07:00", "the server is back, and wants a token", func() { d.down(false, errAway) }},
		{"07:40", "there are tokens again", func() { d.down(false, nil) }},
		{"07:59", "connections break all the time", func() {
			d.expect("map")
			w.server.set(func(s *server) { s.cut, s.slow = 20_000, 10*time.Second })
		}},
		{"08:00", "a large update is sent", func() { w.server.add("radio", someBytes(2_000_000)) }},
		{"08:10", "the power fails as soon as it is fetched", func() { d.dies = true }},
		{"08:20", "the server is slow", func() { w.server.set(func(s *server) { s.cut = 0 }) }},
		{"09:00", "the power is back", func() {
			if d.dies {
				w.Error("the power did not fail")
			}
			w.stop()
			w.start()
		}},
		{"09:59", "the server is quick again, and the disk is full", func() { w.server.set(func(s *server) { s.slow = 0 }); d.room = 1000 }},
		{"10:00", "an update is sent that does not fit", func() { w.server.add("huge", someBytes(10_000)) }},
		{"11:00", "the disk has room again", func() { d.room = 1 << 40; d.expect("map", "huge") }},
		{"12:00", "the clock jumps back to 1970", func() { d.off = time.Until(time.Unix(0, 0)) }},
		{"13:00", "an update is sent", func() { w.server.add("gps", someBytes(1000)) }},
		{"14:00", "the clock is right, and then ten years ahead", func() { d.off = 0 }},
		{"14:01", "", func() { d.off = 10 * 365 * 24 * time.Hour }},
		{"14:30", "the clock is right", func() { d.off = 0 }},
		{"16:00", "two updates are sent that the user decides on", func() {
			w.server.add("browser", someBytes(1000)).Confirm = true
			w.server.add("theme", someBytes(1000)).Confirm = true
		}},
		{"16:30", "the client is restarted, and asks again", func() { w.stop(); w.start() }},
		{"17:00", "the user declines one", func() { w.do(SendUpdateReport{ota.Outcome("browser", ota.UserDeclined, "no")}) }},
		{"18:00", "and wants the other, just when the server is down", func() { d.down(true, nil); w.do(StartDownload{"theme"}) }},
		{"18:30", "the server is up", func() { d.down(false, nil) }},
		{"19:00", "the network is metered", func() { d.allow(false) }},
		{"19:10", "an update is sent", func() { w.server.add("voice", someBytes(1000)) }},
		{"19:40", "the network is free", func() {
			if w.server.count("fetch voice") > 0 {
				w.Error("the metered network was used")
			}
			d.allow(true)
		}},
		{"20:00", "the server cannot process reports", func() { w.server.failAlways("report", errBroken) }},
		{"20:10", "an external installer reports", func() { w.do(SendUpdateReport{ota.Outcome("ecu", ota.FlashFailed, "low battery")}) }},
		{"21:00", "the server can process reports", func() { w.server.failAlways("report", nil) }},
		{"21:30", "the power fails and is back", func() { w.stop(); w.start() }},
		{"21:59", "the window is about to open for radio, gps, theme and voice", func() { d.expect("map", "huge", "browser", "ecu") }},
	}
	return d
}

// down takes the server down or up, and says why no tokens are given.
func (d *day) down(away bool, tokens error) {
	d.server.set(func(s *server) { s.down = away })
	d.gate.err = tokens
}

// happens plays what the script has for that time.
func (d *day) happens(now string) {
	d.now = now
	for _, h := range d.script {
		if h.at == now {
			if d.agent != nil {
				d.order()
			}
			h.happens()
		}
	}
}

// A busy minute is one with more than this.
const (
	manyCommands = 25
	manyCalls    = 25
)

// watch counts what the last minute held. Bytes that arrive are no trouble.
func (d *day) watch() {
	d.order()
	calls := len(d.gate.asked)
	for _, c := range d.server.calls {
		if c != "read" {
			calls++
		}
	}
	commands := int(d.commands.Load())
	if n := commands - d.seen.commands; n > manyCommands {
		d.Errorf("%s: %d commands in a minute", d.now, n)
	}
	if n := calls - d.seen.calls; n > manyCalls {
		d.Errorf("%s: %d calls in a minute", d.now, n)
	}
	d.busiest.commands = max(d.busiest.commands, commands-d.seen.commands)
	d.busiest.calls = max(d.busiest.calls, calls-d.seen.calls)
	d.seen.commands, d.seen.calls = commands, calls
}

// expect compares which updates the server has reports of, once each.
func (d *day) expect(want ...string) {
	d.Helper()
	var got []string
	for _, c := range d.server.codes() {
		got = append(got, strings.Fields(c)[0])
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		d.Errorf("%s: reports: %s", d.now, diff)
	}
}

func (d *day) judge() {
	want := []string{"map OK", "huge DISK_FULL", "browser USER_DECLINED", "ecu FLASH_FAILED",
		"radio OK", "gps OK", "theme OK", "voice INSTALL_FAILED"}
	if diff := cmp.Diff(want, d.server.codes()); diff != "" {
		d.Errorf("reports: %s", diff)
	}
	if d.shop.runs != 5 {
		d.Errorf("%d installations", d.shop.runs)
	}
	if left := d.state.unsent(); len(left) > 0 {
		d.Errorf("reports that wait: %v", left)
	}
	d.expectFiles("voice") // for whoever wants to know why
	if n := d.seen.calls; n < 24*60-6*60 || n > 2*24*60 {
		d.Errorf("%d calls in a day", n)
	}
	d.Logf("the busiest minutes had %d commands and %d calls; the day, %d and %d",
		d.busiest.commands, d.busiest.calls, d.seen.commands, d.seen.calls)
}

// tally is a log that counts commands.
type tally struct{ atomic.Int64 }

func (t *tally) Enabled(context.Context, slog.Level) bool { return true }
func (t *tally) WithAttrs([]slog.Attr) slog.Handler       { return t }
func (t *tally) WithGroup(string) slog.Handler            { return t }
func (t *tally) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "command" {
		t.Add(1)
	}
	return nil
}
