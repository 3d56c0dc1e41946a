package agent

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // many devices have no time zones of their own
)

// Windows are the times of a week at which the client installs by itself, in
// words such as "Mon-Fri 22:00-05:00":
//
//	windows = window { ";" window }
//	window  = [ days " " ] time "-" time
//	days    = span { "," span }
//	span    = day [ "-" day ]             Fri-Mon goes over Sunday
//	day     = "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun"
//	time    = HH:MM                       24:00 only as an end
//
// Without days a window is open every day. One that ends before it begins
// goes on into the next day; its day is that on which it opens. The end does
// not belong to it. No windows at all are always open.
//
// Times are those of a clock on the wall: what the clocks skip in spring does
// not come that day, and what they repeat in autumn comes twice.
type Windows []Window

// Window is one of them.
type Window struct {
	text     string
	days     [7]bool // by time.Weekday
	from, to int     // minutes from midnight
}

// String is the text it was read from.
func (w Window) String() string { return w.text }

// MarshalText writes a window as it was read.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.text), nil }

const maxWindows = 100

// String is what an option would say.
func (ws Windows) String() string {
	texts := make([]string, len(ws))
	for i, w := range ws {
		texts[i] = w.text
	}
	return strings.Join(texts, ";")
}

// put stores a value of the file, one text or a list of them.
func (ws *Windows) put(value any) error {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var read Windows
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return expected(`a window such as "Mon-Fri 22:00-05:00" or a list of them`, v)
		}
		some, err := parseWindows(s)
		if err != nil {
			return err
		}
		read = append(read, some...)
	}
	if len(read) > maxWindows {
		return fmt.Errorf("more than %d windows", maxWindows)
	}
	*ws = read
	return nil
}

// parseWindows reads any number of windows. It fails, quoting what it does not
// understand.
func parseWindows(s string) (Windows, error) {
	var ws Windows
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(s, ";") {
		w, err := parseWindow(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, nil
}

func parseWindow(s string) (Window, error) {
	w := Window{text: s}
	days, times, named := strings.Cut(s, " ")
	if !named {
		days, times = "Mon-Sun", s
	}
	from, to, ok := strings.Cut(strings.TrimSpace(times), "-")
	if !ok {
		return w, fmt.Errorf("expected a window such as Mon-Fri 22:00-05:00, not %.80q", s)
	}
	if err := w.readDays(days); err != nil {
		return w, err
	}
	var err error
	if w.from, err = minuteOf(from, 23*60+59); err != nil {
		return w, err
	}
	if w.to, err = minuteOf(to, 24*60); err != nil {
		return w, err
	}
	if w.from == w.to {
		return w, fmt.Errorf("the window %.80q has no length: a whole day is 00:00-24:00", s)
	}
	return w, nil
}

func (w *Window) readDays(s string) error {
	for span := range strings.SplitSeq(s, ",") {
		first, last, ok := strings.Cut(span, "-")
		if !ok {
			last = first
		}
		from, err := weekday(first)
		if err != nil {
			return err
		}
		to, err := weekday(last)
		if err != nil {
			return err
		}
		for d := from; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == to {
				break
			}
		}
	}
	return nil
}

func weekday(s string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(s, d.String()[:3]) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("expected a day such as Mon, not %.80q", s)
}

// minuteOf reads HH:MM.
func minuteOf(s string, most int) (int, error) {
	hh, mm, _ := strings.Cut(s, ":")
	h, herr := strconv.ParseUint(hh, 10, 8)
	m, merr := strconv.ParseUint(mm, 10, 8)
	at := int(h)*60 + int(m)
	if len(hh) != 2 || len(mm) != 2 || herr != nil || merr != nil || m > 59 || at > most {
		return 0, fmt.Errorf("expected a time such as 22:00, not %.80q", s)
	}
	return at, nil
}

// open reports whether t lies in a window, on the clocks of t's location.
func (ws Windows) open(t time.Time) bool {
	if len(ws) == 0 {
		return true
	}
	day, minute := t.Weekday(), t.Hour()*60+t.Minute()
	for _, w := range ws {
		if w.open(day, minute) {
			return true
		}
	}
	return false
}

func (w Window) open(day time.Weekday, minute int) bool {
	if w.from < w.to {
		return w.days[day] && w.from <= minute && minute < w.to
	}
	return w.days[day] && minute >= w.from || w.days[(day+6)%7] && minute < w.to
}

// next returns the first minute from t on that lies in a window. It looks, a
// minute at a time, rather than computes: no change of the clocks, whenever and
// however large, can fool it. The zero time says that there is none within
// three weeks, which only a window that the clocks skip can bring about.
func (ws Windows) next(t time.Time) time.Time {
	if ws.open(t) {
		return t
	}
	for end := t.Add(21 * 24 * time.Hour); t.Before(end); {
		t = t.Truncate(time.Minute).Add(time.Minute)
		if ws.open(t) {
			return t
		}
	}
	return time.Time{}
}
