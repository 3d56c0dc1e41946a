package agent

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Delays of tries that repeat: the first, and the cap (client.md 2.5).
const (
	firstDelay = time.Second
	lastDelay  = 5 * time.Minute
)

// delays doubles from first up to last, each time half as long again or half
// as short by chance, so that a fleet does not come back in one moment.
type delays struct {
	exp  backoff.ExponentialBackOff
	last time.Duration
}

func newDelays(first, last time.Duration) *delays {
	d := &delays{last: last, exp: backoff.ExponentialBackOff{
		InitialInterval: first, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: last}}
	d.exp.Reset()
	return d
}

func (d *delays) next() time.Duration { return min(d.exp.NextBackOff(), d.last) }
func (d *delays) reset()              { d.exp.Reset() }

// later is a command that should run, but not now: after the delay its kind
// has earned by failing.
type later struct{ Command }

// pace keeps the commands that wait for their time, one of each name.
type pace struct {
	due   func(Command) // called from another goroutine
	mu    sync.Mutex
	waits map[string]*waiting
}

type waiting struct {
	delays  *delays
	command Command // nil: none waits now
	timer   *time.Timer
}

func newPace(due func(Command)) *pace {
	return &pace{due: due, waits: make(map[string]*waiting)}
}

// wait runs c after the next delay of its name. If one of that name waits
// already c takes its place and its time: else a client that is refused often
// would put off its next try for ever.
func (p *pace) wait(c Command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.of(c)
	if w.command == nil {
		w.timer = time.AfterFunc(w.delays.next(), func() { p.release(w) })
	}
	w.command = c
}

// waitFor runs c after d, instead of one of that name that waits.
func (p *pace) waitFor(c Command, d time.Duration) {
	p.cancel(c.Name())
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.of(c)
	w.timer = time.AfterFunc(d, func() { p.release(w) })
	w.command = c
}

func (p *pace) of(c Command) *waiting {
	w := p.waits[c.Name()]
	if w == nil {
		w = &waiting{delays: newDelays(firstDelay, lastDelay)}
		p.waits[c.Name()] = w
	}
	return w
}

func (p *pace) release(w *waiting) {
	p.mu.Lock()
	c := w.command
	w.command = nil
	p.mu.Unlock()
	if c != nil {
		p.due(c)
	}
}

// cancel forgets the command of that name that waits.
func (p *pace) cancel(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waits[name]; w != nil && w.command != nil {
		w.timer.Stop()
		w.command = nil
	}
}

// worked makes the next delay of that name a short one again.
func (p *pace) worked(name string) {
	p.cancel(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waits, name)
}

// ease makes the next delay of that name a short one again, but leaves what
// waits alone.
func (p *pace) ease(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waits[name]; w != nil {
		w.delays.reset()
	}
}

func (p *pace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waits {
		w.command = nil
		w.timer.Stop()
	}
}

// pause waits. It reports false when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case <-end.C:
		return true
	case <-ctx.Done():
		return false
	}
}
