package agent

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Told is an event with its number and when it was told.
//
// Numbers grow by one from event to event and, unless the state directory is
// lost, never come again: the first of the client's n-th start is
// n·1 000 000 000 + 1. JSON's numbers hold them for nine million starts.
type Told struct {
	Seq   uint64
	At    time.Time
	Event Event
}

// What the log of events keeps for those who come late.
const (
	maxTold      = 1000
	maxToldBytes = 256 << 10 // roughly: see weight
)

// eventLog is the latest events, oldest first.
type eventLog struct {
	mu    sync.Mutex
	last  uint64 // number of the newest event, or what comes before the first
	told  []Told
	bytes int
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.told = append(l.told, Told{l.last, time.Now(), e})
	l.bytes += weight(e)
	for len(l.told) > 1 && (len(l.told) > maxTold || l.bytes > maxToldBytes) {
		l.bytes -= weight(l.told[0].Event)
		l.told[0] = Told{} // let go of what it holds
		l.told = l.told[1:]
	}
}

func (l *eventLog) since(n uint64) []Told {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.last {
		n = 0
	}
	i, _ := slices.BinarySearchFunc(l.told, n, func(t Told, n uint64) int {
		if t.Seq <= n {
			return -1
		}
		return 1
	})
	return slices.Clone(l.told[i:])
}

// Since returns the events after number n, oldest first, as far as they are
// still known: the last 1000, fewer if they are long. A first number above n+1
// means that events are lost. An n above all numbers is from a state directory
// that is gone, and asks for everything.
func (a *Agent) Since(n uint64) []Told { return a.bus.log.since(n) }

// weight is about how many bytes an event holds.
func weight(e Event) int {
	n := 100
	switch e := e.(type) {
	case Error:
		n += len(e.Text)
	case FoundSystemInfo:
		n += len(e.Info)
	case FoundInstalledPackages:
		for _, p := range e.Packages {
			n += 32 + len(p.Name) + len(p.Version)
		}
	case UpdatesReceived:
		for _, o := range e.Updates {
			n += 500 + len(o.Description)
		}
	case UpdateAvailable:
		n += len(e.Update.Description) + len(e.Update.Signature)
	case DownloadFailed:
		n += len(e.Reason)
	case InstallComplete:
		n += len(e.Report.Results) * 100
		for _, r := range e.Report.Results {
			n += len(r.Text)
		}
	case InstallFailed:
		n += weight(InstallComplete(e))
	}
	return n
}

const (
	startsFile     = "starts"
	eventsPerStart = 1_000_000_000
)

// countStart counts the starts with this state directory, so that events keep
// their order over restarts.
func (s *State) countStart() error {
	data, err := s.dir.read(startsFile, 64)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
	if err != nil && len(data) > 0 {
		s.log.Warn("the number of starts is not readable: events are numbered from the beginning", "err", err)
	}
	s.starts = n + 1
	return s.dir.write(startsFile, strconv.AppendUint(nil, s.starts, 10))
}

// firstEvent is the number before the first event of this start.
func (s *State) firstEvent() uint64 { return s.starts * eventsPerStart }
