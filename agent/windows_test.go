package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// windows reads what a test writes.
func windows(t *testing.T, s string) Windows {
	t.Helper()
	ws, err := parseWindows(s)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := (PolicyConfig{Timezone: name}).location()
	if err != nil {
		t.Fatal(err)
	}
	return z
}

const minutely = "Mon 2006-01-02 15:04"

// Week by the minute: every change of open to shut and back.
func TestWindowsOfAWeek(t *testing.T) {
	for text, want := range map[string][]string{
		"Mon-Fri 22:00-05:00;Sat,Sun 00:00-24:00": {"Mon 00:00 shut", "Mon 22:00 open", "Tue 05:00 shut", "Tue 22:00 open",
			"Wed 05:00 shut", "Wed 22:00 open", "Thu 05:00 shut", "Thu 22:00 open", "Fri 05:00 shut", "Fri 22:00 open"},
		"Mon-Fri 22:00-05:00": {"Mon 22:00 open", "Tue 05:00 shut", "Tue 22:00 open", "Wed 05:00 shut", "Wed 22:00 open",
			"Thu 05:00 shut", "Thu 22:00 open", "Fri 05:00 shut", "Fri 22:00 open", "Sat 05:00 shut"},
		"fri-mon 10:00-10:01": {"Mon 10:00 open", "Mon 10:01 shut", "Fri 10:00 open", "Fri 10:01 shut",
			"Sat 10:00 open", "Sat 10:01 shut", "Sun 10:00 open", "Sun 10:01 shut"},
		"Sun 23:00-01:00":                   {"Mon 01:00 shut", "Sun 23:00 open"},
		"Wed 12:00-24:00; Thu 00:00-08:00 ": {"Wed 12:00 open", "Thu 08:00 shut"},
		"00:00-24:00":                       nil,
		"":                                  nil,
	} {
		ws := windows(t, text)
		var got []string
		at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) // a Monday
		before := ws.open(at.Add(-time.Minute))
		for range 7 * 24 * 60 {
			if now := ws.open(at); now != before {
				got = append(got, at.Format("Mon 15:04 ")+map[bool]string{true: "open", false: "shut"}[now])
				before = now
			}
			at = at.Add(time.Minute)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// In Berlin the clocks went from 02:00 to 03:00 on 29 March 2026, and from
// 03:00 back to 02:00 on 25 October; on Lord Howe Island they change by half an
// hour, and Samoa skipped a whole day.
func TestWindowsWhenTheClocksChange(t *testing.T) {
	for _, c := range []struct{ zone, windows, from, want string }{
		{"Europe/Berlin", "22:00-05:00", "2026-03-28T20:00:00+01:00", "2026-03-28T22:00:00+01:00"},
		{"Europe/Berlin", "02:30-05:00", "2026-03-29T01:59:59+01:00", "2026-03-29T03:00:00+02:00"}, // its beginning is skipped
		{"Europe/Berlin", "02:10-02:50", "2026-03-29T01:00:00+01:00", "2026-03-30T02:10:00+02:00"}, // it is skipped whole
		{"Europe/Berlin", "Sun 02:10-02:50", "2026-03-29T01:00:00+01:00", "2026-04-05T02:10:00+02:00"},
		{"Europe/Berlin", "02:10-02:50", "2026-10-25T02:20:00+02:00", "2026-10-25T02:20:00+02:00"},
		{"Europe/Berlin", "02:10-02:50", "2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00"}, // it comes twice
		{"Europe/Berlin", "02:10-02:50", "2026-10-25T02:50:00+01:00", "2026-10-26T02:10:00+01:00"},
		{"Australia/Lord_Howe", "02:10-02:20", "2026-10-04T01:00:00+10:30", "2026-10-05T02:10:00+11:00"},
		{"Pacific/Apia", "Fri 10:00-11:00", "2011-12-29T12:00:00-10:00", "2012-01-06T10:00:00+14:00"},
		{"UTC", "Mon 10:00-11:00", "2026-03-02T10:59:59.999Z", "2026-03-02T10:59:59.999Z"},
		{"UTC", "Mon 10:00-11:00", "2026-03-02T11:00:00.001Z", "2026-03-09T10:00:00Z"},
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		got := windows(t, c.windows).next(from.In(zone(t, c.zone)))
		if got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%s in %s after %s: %s, want %s", c.windows, c.zone, c.from, got.Format(time.RFC3339Nano), c.want)
		}
	}
}

func TestTextsThatAreNoWindow(t *testing.T) {
	for text, want := range map[string]string{
		"Mon": "expected a window", "Mon-Fri": "expected a time", "22:00": "expected a window", "22:00-": "expected a time",
		"24:00-01:00": "expected a time", "22:00-24:01": "expected a time", "9:00-10:00": "expected a time", "09:60-10:00": "expected a time",
		"+9:00-10:00": "expected a time", "09:00-10:00-11:00": "expected a time", "09:00-09:00": "no length",
		"Mo 09:00-10:00": "expected a day", "Mon-Tue-Wed 09:00-10:00": "expected a day", "Mon, Tue 09:00-10:00": "expected a day",
		"09:00-10:00;": "expected a window", "Montag 09:00-10:00": "expected a day", "Mon Tue 09:00-10:00": "expected a time",
		strings.Repeat("x", 1000): "expected a window",
	} {
		if _, err := parseWindows(text); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.80q: %v, want %q", text, err, want)
		}
	}
	var many []any
	for range maxWindows + 1 {
		many = append(many, "09:00-10:00")
	}
	if err := new(Windows).put(many); err == nil {
		t.Error("any number of windows")
	}
}

// What is read is written as it was, and there is always a next time, unless
// the clocks skip it.
func FuzzWindows(f *testing.F) {
	for _, s := range []string{"Mon-Fri 22:00-05:00;Sat,Sun 00:00-24:00", "00:00-00:01", "Fri-Mon,Wed 23:59-00:00", " ; ", "Mon  01:00-02:00"} {
		f.Add(s, int64(1774746000))
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		ws, err := parseWindows(s)
		if err != nil {
			return
		}
		again, err := parseWindows(ws.String())
		if diff := cmp.Diff(ws, again, cmp.AllowUnexported(Window{})); err != nil || diff != "" {
			t.Fatalf("%q read again: %v %s", ws, err, diff)
		}
		from := time.Unix(unix%(1<<33), 0).In(berlin)
		next := ws.next(from)
		if next.IsZero() || next.Before(from) || !ws.open(next) || next.After(from) && ws.open(next.Add(-time.Minute)) {
			t.Fatalf("%q after %s: %s", s, from.Format(minutely), next)
		}
	})
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1B": 1, "500MB": 500e6, "500 MB": 500e6, "2GiB": 2 << 30, "1kB": 1000, "8388607TiB": 8388607 << 40,
		"": -1, "MB": -1, "-1": -1, "+1": -1, "1.5GiB": -1, "8388608TiB": -1, "2gib": -1, "1 ": -1, "1  MB": -1, "99999999999999999999": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
