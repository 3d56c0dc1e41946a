package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Options are the parts an Agent is made of.
type Options struct {
	Config    Config
	Uplink    ota.Uplink
	Auth      Authenticator // nil: no authentication is configured
	Installer Installer     // nil: the package manager is "off"
	State     *State        // stays open when Run ends; the caller closes it
	Clock     *Clock        // nil: the device's is believed
	Log       *slog.Logger  // nil: nothing is logged
}

// Authenticator gets the token the Uplink uses, and keeps it inside the
// transport: tokens never come here.
type Authenticator interface {
	// Authenticate obtains a token with a client's id and secret. It fails
	// with KindUnauthenticated or KindForbidden if they are rejected, and with
	// KindUnreachable, KindUnavailable, KindTooMany or KindInternal if it
	// could not be found out.
	Authenticate(ctx context.Context, clientID, clientSecret string) error

	// Forget drops the token.
	Forget()
}

// ErrStopped is what callers get once the client has ended.
var ErrStopped = errors.New("the client has stopped")

// Agent is the device client: commands in, events out.
type Agent struct {
	cfg       Config
	link      ota.Uplink
	auth      Authenticator
	installer Installer
	state     *State
	log       *slog.Logger
	images    *folder // packages_dir
	trust     verifier
	clock     *Clock
	zone      *time.Location // of the install windows
	free      func() (int64, error)

	bus     bus
	queue   *queue
	pace    *pace
	life    context.Context // ends with Shutdown or Run's ctx
	end     context.CancelFunc
	stopped chan struct{} // closed when Run returns

	born   time.Time    // with a monotonic reading: the clock may be set
	beatAt atomic.Int64 // nanoseconds after born, may lie ahead

	// The interpreter's own.
	now      job                   // the command being interpreted
	final    Event                 // its latest event
	failure  error                 // why it failed, if it did
	token    bool                  // a token is held (state A)
	rejected string                // command that a token did not serve, until one does
	given    *Credentials          // of an Authenticate command, for this run
	greeted  bool                  // lists went out since the start
	asked    map[ota.UpdateID]bool // for consent, since the start
	opens    time.Time             // when the window that is waited for does
	allowed  time.Time             // until then, policy.metered_hook said

	downloads downloads
}

// New makes an agent. It fails if packages_dir cannot be used safely or a
// trusted key cannot be read.
func New(o Options) (*Agent, error) {
	if o.Uplink == nil || o.State == nil {
		return nil, errors.New("agent: an uplink and a state are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = new(Clock)
	}
	trust, err := newVerifier(o.Config.Device.TrustedKeys)
	if err != nil {
		return nil, err
	}
	zone, err := o.Config.Policy.location()
	if err != nil {
		return nil, fmt.Errorf("policy.timezone: %w", err)
	}
	images, err := openFolder(o.Config.Device.PackagesDir, true)
	if err != nil {
		return nil, fmt.Errorf("device.packages_dir: %w", err)
	}
	a := &Agent{
		cfg: o.Config, link: o.Uplink, auth: o.Auth, installer: o.Installer, state: o.State, log: o.Log,
		images: images, trust: trust, queue: newQueue(), stopped: make(chan struct{}),
		asked: make(map[ota.UpdateID]bool), clock: o.Clock, zone: zone, free: images.free, born: time.Now(),
	}
	a.bus.log.last = o.State.firstEvent()
	a.pace = newPace(func(c Command) { a.queue.own(c) })
	a.life, a.end = context.WithCancel(context.Background())
	a.beat()
	return a, nil
}

// Run interprets commands until ctx ends or someone says Shutdown, and then
// returns nil. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, a.end)()
	var inbox sync.WaitGroup
	defer func() {
		a.end()
		a.pace.stop()
		inbox.Wait()
		a.bus.close()
		a.images.close()
		close(a.stopped)
	}()
	a.sweep()
	a.queue.own(append([]Command{Authenticate{}}, resume(a.resumable())...)...)
	inbox.Go(func() { a.listen(a.life) })
	for {
		j, ok := a.queue.next(a.life)
		if !ok {
			return nil
		}
		a.beat()
		a.interpret(a.life, j)
	}
}

// Do runs a command after those that wait and returns its final event. If ctx
// ends first Do gives up waiting, but the command still runs. It fails with
// ctx's error, with KindTooMany if too many commands wait, and with ErrStopped
// once the client has ended, which is also the answer to Shutdown.
func (a *Agent) Do(ctx context.Context, c Command) (Event, error) {
	if _, ok := c.(Shutdown); ok {
		a.end()
		return nil, ErrStopped
	}
	done := make(chan Event, 1)
	if err := a.queue.push(job{command: c, done: done}); err != nil {
		return nil, err
	}
	select {
	case e := <-done:
		return e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.stopped:
	}
	select {
	case e := <-done:
		return e, nil
	default:
		return nil, ErrStopped
	}
}

// Subscribe collects every event from now on, up to buffer of them unread.
// The client never waits for a subscriber; one that is too slow loses its
// oldest events and learns how many.
func (a *Agent) Subscribe(buffer int) *Subscription { return a.bus.subscribe(buffer) }

// Alive returns the last moment the client is known to have got on: a command
// ended, bytes arrived, a wait went by. What others do for it, such as a call
// to the server or an installation, counts as getting on for as long as that
// may take. An idle client is alive now.
func (a *Agent) Alive() time.Time {
	if a.queue.idle() {
		return time.Now()
	}
	return a.born.Add(min(time.Duration(a.beatAt.Load()), time.Since(a.born)))
}

// beat is a sign of life.
func (a *Agent) beat() { a.allow(0) }

// allow says that the next sign of life may take that long.
func (a *Agent) allow(d time.Duration) { a.beatAt.Store(int64(time.Since(a.born) + d)) }

// How long the work of others may take. Each has limits of its own, which end
// it earlier.
const (
	callLimit    = 10 * time.Minute
	readLimit    = 2 * time.Minute
	installLimit = 24 * time.Hour
)

// resumable is what the journal says is unfinished.
func (a *Agent) resumable() unfinished {
	return unfinished{
		downloading: a.state.at(Downloading),
		ready:       a.state.at(Ready),
		installing:  a.state.at(Installing),
		undecided:   a.state.undecided(),
		manager:     a.installer != nil,
	}
}

// sweep removes files that a crash kept from being removed, and those of
// an earlier identity.
func (a *Agent) sweep() {
	for _, id := range a.state.orphans {
		if _, known := a.state.entry(id); known || !safeName(id) {
			continue
		}
		if err := errors.Join(a.images.remove(partName(id)), a.images.remove(string(id))); err != nil {
			a.log.Warn("cannot remove an image of an earlier identity", "update", id, "err", err)
		}
	}
	defer a.dropSpare(keepSpare)
	for _, e := range a.state.entries {
		if !safeName(e.Update) || !e.Step.ended() && e.Step != Dropped {
			continue
		}
		err := a.images.remove(partName(e.Update))
		if e.Step == Dropped || e.Success && a.installer != nil {
			err = errors.Join(err, a.images.remove(string(e.Update)))
		}
		if err = errors.Join(err, a.state.dropWorkDir(e.Update)); err != nil {
			a.log.Warn("cannot remove what is left of an update", "update", e.Update, "err", err)
		}
	}
}
