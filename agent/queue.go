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
	size    int        // counts against maxQueueBytes
}

// queue holds commands until the interpreter takes them, first come first
// served, one at a time.
type queue struct {
	mu   sync.Mutex
	jobs []job
	size int  // of those jobs
	busy bool // a command is being interpreted
	due  bool // a poll came while the client was busy
	wake chan struct{}
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// What gateways may pile up while the client is busy, with a download of hours
// maybe: commands outlive the connections that brought them.
const (
	maxQueue      = 1000
	maxQueueBytes = 8 << 20 // roughly: see size
)

// push adds a command of a gateway. It fails with KindTooMany if the queue is
// full; one that no other waits before is never too long.
func (q *queue) push(j job) error {
	j.size = size(j.command)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) >= maxQueue || len(q.jobs) > 0 && q.size+j.size > maxQueueBytes {
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
	q.size += j.size
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
	q.jobs[0] = job{} // let go of what it holds
	q.jobs = q.jobs[1:]
	q.size -= j.size
	q.busy = true
	return j, true
}

// size is about how many bytes a gateway's command holds.
func size(c Command) int {
	n := 100
	switch c := c.(type) {
	case SendInstalledPackages:
		for _, p := range c.Packages {
			n += 32 + len(p.Name) + len(p.Version)
		}
	case SendInstalledSoftware:
		for _, p := range c.Software.Packages {
			n += 60 + len(p.PackageID) + len(p.Name) + len(p.Description)
		}
		for _, f := range c.Software.Firmwares {
			n += 40 + len(f.Module) + len(f.FirmwareID)
		}
	case SendUpdateReport:
		for _, r := range c.Report.Results {
			n += 48 + len(r.ID) + len(r.Text)
		}
	case StartDownload:
		n += len(c.Update)
	case StartInstall:
		n += len(c.Update)
	case Authenticate:
		if c.Credentials != nil {
			n += len(c.Credentials.ClientID) + len(c.Credentials.ClientSecret)
		}
	}
	return n
}
