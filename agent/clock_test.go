package agent

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	built := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	synctest.Test(t, func(t *testing.T) {
		var wall time.Time
		start := func() (*Clock, func()) {
			s := open(t, dir, me)
			c := NewClock(built, s, nil)
			c.wall = func() time.Time { return wall }
			return c, func() { s.Close() }
		}
		expect := func(c *Clock, want time.Time) {
			t.Helper()
			if got := c.Now(); !got.Equal(want) {
				t.Errorf("it is taken for %s, want %s", got, want)
			}
		}
		c, stop := start()
		wall = time.Unix(0, 0)
		expect(c, built)
		time.Sleep(time.Hour)
		expect(c, built.Add(time.Hour)) // time goes on
		c.Learn(built.Add(48 * time.Hour))
		time.Sleep(time.Minute)
		expect(c, built.Add(48*time.Hour+time.Minute))
		c.Learn(built.Add(48*time.Hour + 2*time.Minute)) // not worth writing down
		stop()
		c, stop = start()
		expect(c, built.Add(48*time.Hour))
		wall = built // as early as can be believed
		expect(c, built)
		wall = built.Add(1000 * time.Hour)
		expect(c, wall)
		c.Learn(built.Add(-1000 * time.Hour)) // a server that is wrong
		expect(c, wall)
		wall = time.Unix(0, 0)
		expect(c, built)
		stop()
		if err := os.WriteFile(filepath.Join(dir, clockFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, stop = start()
		defer stop()
		expect(c, built)
	})
}

func TestZeroClockBelievesTheDevice(t *testing.T) {
	var c Clock
	if d := time.Since(c.Now()).Abs(); d > time.Minute {
		t.Errorf("off by %s", d)
	}
	c.Learn(time.Unix(0, 0))
}
