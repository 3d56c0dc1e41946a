package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

// Clock tells the time on a device whose own clock may be wrong: without a
// battery it starts in 1970. The device's clock is believed from the day on
// that the client was built. Before, the time is that day or, if that is
// later, what a server that proved itself said last, and time goes on from
// there. The zero Clock believes the device.
//
// Intervals have no use for it: they are measured by the monotonic clock.
type Clock struct {
	wall  func() time.Time // nil: time.Now
	built time.Time
	state *State // remembers what servers said; nil: nobody does
	log   *slog.Logger

	mu    sync.Mutex
	told  time.Time // by a server, last
	since time.Time // when it was told, or read, by the monotonic clock
	kept  time.Time // what the state remembers
}

// NewClock makes a clock that believes the device's from built on, always if
// that is zero, and remembers in state what servers say.
func NewClock(built time.Time, state *State, log *slog.Logger) *Clock {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Clock{built: built, state: state, log: log, since: time.Now()}
	told, err := state.serverTime()
	if err != nil {
		log.Warn("what a server said of the time is forgotten", "err", err)
	}
	c.told, c.kept = told, told
	if now := c.device(); now.Before(built) {
		log.Warn("this device's clock is before the client was built, and not believed", "clock", now, "taken_for", c.Now())
	}
	return c
}

func (c *Clock) device() time.Time {
	if c.wall != nil {
		return c.wall()
	}
	return time.Now()
}

// Now is the time, as far as it is known.
func (c *Clock) Now() time.Time {
	now := c.device()
	if !now.Before(c.built) {
		return now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	best := c.built
	if c.told.After(best) {
		best = c.told
	}
	return best.Add(time.Since(c.since))
}

// keepTimeEvery is how far the time a server tells must be from what is on
// disk to be worth writing down: flash wears out.
const keepTimeEvery = time.Hour

// Learn hears the time from a server that proved who it is. It may be called
// from any goroutine.
func (c *Clock) Learn(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.since = t, time.Now()
	if c.state == nil || t.Sub(c.kept).Abs() < keepTimeEvery {
		return
	}
	if err := c.state.keepServerTime(t); err != nil {
		c.log.Warn("the server's time is not remembered", "err", err)
		return
	}
	c.kept = t
}

// clockFile is the state's memory of what servers say of the time.
const clockFile = "clock.json"

type clockMemory struct{ Server time.Time }

// serverTime returns what was kept last, zero if nothing was.
func (s *State) serverTime() (time.Time, error) {
	data, err := s.dir.read(clockFile, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	var m clockMemory
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	return m.Server, err
}

func (s *State) keepServerTime(t time.Time) error {
	data, err := json.Marshal(clockMemory{t.UTC()})
	if err != nil {
		return err
	}
	return s.dir.write(clockFile, data)
}
