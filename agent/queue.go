package agent

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// job is a command in the queue.
type job struct {
	command Command
	own     bool       // the client's own idea: a reaction, a poll, a resumed step
	done    chan Event // gets the final event; nil if nobody waits
}

// queue holds commands until the interpreter takes them, first come first
// served, one at a time.
type queue struct {
	mu   sync.Mutex
	jobs []job
	busy bool // a command is being interpreted
	due  bool // a poll came while the client was busy
	wake chan struct{}
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// maxQueue bounds what gateways may pile up.
const maxQueue = 1000

// push adds a command of a gateway. It fails with KindTooMany if the queue is full.
func (q *queue) push(j job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) >= maxQueue {
		return ota.Fail(ota.KindTooMany, "queue_full", "%d commands are waiting already, try later", len(q.jobs))
	}
	q.add(j)
	return nil
}

// own adds commands of the client itself. One that waits already is not added
// again, and a new list of packages takes the place of one that waits.
func (q *queue) own(commands ...Command) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range commands {
		if i := slices.IndexFunc(q.jobs, func(j job) bool { return j.own && replaces(c, j.command) }); i >= 0 {
			q.jobs[i].command = c
			continue
		}
		q.add(job{command: c, own: true})
	}
}

func replaces(c, waiting Command) bool {
	if _, ok := c.(SendInstalledPackages); ok && c.Name() == waiting.Name() {
		return true
	}
	return reflect.DeepEqual(c, waiting)
}

// first adds a command before all others.
func (q *queue) first(c Command) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = slices.Insert(q.jobs, 0, job{command: c, own: true})
	q.nudge()
}

// poll asks for updates now if the client is idle, and returns the channel
// that tells when that is done. A busy client polls once it is idle, and poll
// returns nil.
func (q *queue) poll() <-chan Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy || len(q.jobs) > 0 {
		q.due = true
		return nil
	}
	done := make(chan Event, 1)
	q.add(job{command: GetUpdateRequests{}, own: true, done: done})
	return done
}

func (q *queue) add(j job) {
	q.jobs = append(q.jobs, j)
	q.nudge()
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for a command; taking it ends the one before. It reports false
// when ctx ends.
func (q *queue) next(ctx context.Context) (job, bool) {
	for ctx.Err() == nil {
		if j, ok := q.take(); ok {
			return j, true
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
	return job{}, false
}

// idle reports whether there is nothing to do.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.busy && len(q.jobs) == 0
}

func (q *queue) take() (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	if len(q.jobs) == 0 && q.due {
		q.due = false
		q.jobs = []job{{command: GetUpdateRequests{}, own: true}}
	}
	if len(q.jobs) == 0 {
		return job{}, false
	}
	j := q.jobs[0]
	q.jobs = q.jobs[1:]
	q.busy = true
	return j, true
}
