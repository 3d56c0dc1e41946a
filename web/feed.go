package web

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

const (
	maxWatchers = 512                    // pages that are watched at a time
	pace        = 200 * time.Millisecond // between two looks at the log, however much happens
	retry       = 10 * time.Second       // if the log cannot be read
)

// feed reads the event log once for all who watch. It reads only while
// somebody does.
type feed struct {
	fleet *fleet.Fleet
	log   *slog.Logger

	mu       sync.Mutex
	watchers map[*watcher]bool
	stop     context.CancelFunc // of the reader; nil if none runs
	closed   bool
}

func newFeed(f *fleet.Fleet, log *slog.Logger) feed {
	return feed{fleet: f, log: log, watchers: map[*watcher]bool{}}
}

// watcher is somebody who wants to know that something changed, and not how
// often: who is slow to hear it misses nothing.
type watcher struct {
	wants func(ota.Event) bool
	rung  chan int64    // holds the number of an event that it wants; one at most
	ended chan struct{} // closed with the feed
}

// watch adds a watcher, who is told of what happens from now on. It fails with
// KindTooMany if there is no room.
func (f *feed) watch(ctx context.Context, wants func(ota.Event) bool) (*watcher, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.watchers) >= maxWatchers {
		return nil, ota.Fail(ota.KindTooMany, "too_many_watchers", "too many pages are open; this one does not follow what changes")
	}
	if f.stop == nil {
		since, err := f.fleet.LastEvent(ctx)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		f.stop = cancel
		go f.read(ctx, since)
	}
	w := &watcher{wants: wants, rung: make(chan int64, 1), ended: make(chan struct{})}
	f.watchers[w] = true
	return w, nil
}

func (f *feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
	if len(f.watchers) == 0 {
		f.end()
	}
}

// end stops the reader; it needs mu.
func (f *feed) end() {
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed = true
	for w := range f.watchers {
		close(w.ended)
	}
	f.end()
}

// read tells of events after since, until ctx ends.
func (f *feed) read(ctx context.Context, since int64) {
	for ctx.Err() == nil {
		events, err := f.fleet.Events(ctx, since)
		for _, e := range events {
			since = e.Seq
			f.tell(e)
		}
		wait := pace
		if err != nil && ctx.Err() == nil {
			f.log.Error("events not read", "err", err)
			wait = retry
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (f *feed) tell(e ota.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		if w.wants(e) {
			w.ring(e.Seq)
		}
	}
}

// ring replaces a number that was not heard yet.
func (w *watcher) ring(seq int64) {
	select {
	case <-w.rung:
	default:
	}
	select {
	case w.rung <- seq:
	default:
	}
}
