package rvi

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// edgeWindow is how many chunks of a file are handed to a node in another
// process without waiting for an ack: those of Transfers files together must fit
// into its queue for one peer, as whole messages.
const edgeWindow = 3

// maxWindow is how many chunks of a file are sent without waiting for an ack. Our
// own node makes their messages one at a time.
func (b *Backend) maxWindow() int {
	if _, ok := b.carrier.(lateCarrier); ok {
		return MaxWindow
	}
	return edgeWindow
}

// sending is a file on its way to a vehicle.
type sending struct {
	update ota.UpdateID
	pkg    ota.PackageID
	file   ota.Artifact
	window int
	sent   time.Time // when finish was; zero before that
	pace   pace

	mu       sync.Mutex   // taken last
	body     *ota.Content // nil if it is not open
	openings int          // times it was opened; guarded by the talk's mu, too
}

// resume goes on with what was begun before the server, or the vehicle, went
// away. Of a vehicle that never spoke RVI nothing is known.
func (t *talk) resume(ctx context.Context, queue []ota.QueueEntry) {
	d := t.last()
	if d == Unknown {
		return
	}
	var begun []ota.QueueEntry
	for _, e := range queue {
		if e.Update.Status != ota.InFlight || t.files[unitIn(d, e.Update)] != nil {
			continue
		}
		if e.Update.SentAt.IsZero() {
			begun = append(begun, e)
		} else {
			t.await(e, d)
		}
	}
	t.begin(ctx, begun, d)
}

// await waits for the report of a file that was sent.
func (t *talk) await(e ota.QueueEntry, d Dialect) {
	f, ok := t.add(e, d)
	if !ok {
		return
	}
	f.sent = e.Update.SentAt
	u := unitIn(d, e.Update)
	t.vehicle.Await(File{Unit: u, Chunks: ChunkCount(f.file.Size), Window: f.window}, f.sent)
}

// begin starts transfers.
func (t *talk) begin(ctx context.Context, entries []ota.QueueEntry, d Dialect) {
	var files []File
	for _, e := range entries {
		u := unitIn(d, e.Update)
		if f, ok := t.add(e, d); ok {
			files = append(files, File{Unit: u, Chunks: ChunkCount(f.file.Size), Window: f.window})
		}
	}
	if len(files) > 0 {
		t.act(ctx, t.vehicle.Begin(files, t.b.opt.Now()))
	}
}

// add makes the file of an update one of the talk's, or finds it there. One that
// the vehicle had asked for in another dialect is dropped.
func (t *talk) add(e ota.QueueEntry, d Dialect) (*sending, bool) {
	file := e.Package.Main()
	if ChunkCount(file.Size) > MaxChunks {
		t.b.grumble(t, "a file is too large for RVI", fmt.Errorf("%s has %d bytes", e.Update.Package, file.Size))
		return nil, false
	}
	if t.vehicle == nil {
		t.vehicle, t.files = NewVehicle(), map[Unit]*sending{}
		if !t.here {
			t.vehicle.Gone()
		}
	}
	unit := unitIn(d, e.Update)
	for u, f := range t.files {
		if f.update == e.Update.ID && u != unit {
			t.forget(u)
		}
	}
	f := t.files[unit]
	if f == nil || f.update != e.Update.ID || f.file.SHA256 != file.SHA256 {
		if f != nil {
			t.forget(unit)
		}
		f = &sending{update: e.Update.ID, pkg: e.Update.Package, file: file, window: max(t.contact.Window, 1)}
		t.files[unit] = f
	}
	return f, true
}

// forget drops one file. What waited for its place starts with the next turn.
func (t *talk) forget(u Unit) Turn {
	t.discard(u)
	return t.vehicle.Forget(u, t.b.opt.Now())
}

func (t *talk) discard(u Unit) {
	if f := t.files[u]; f != nil {
		f.close()
		delete(t.files, u)
	}
}

// act does what the rules of the transfers say, the deciding first: what is sent
// is known to be.
func (t *talk) act(ctx context.Context, turn Turn) {
	if len(turn.Returned) > 0 {
		t.unanswered(ctx, turn.Returned)
	}
	for _, u := range turn.Unreported {
		if f := t.files[u]; f != nil {
			t.discard(u)
			if err := t.push.Unreported(ctx, f.update); err != nil {
				t.failed("an update without a report cannot be ended", err)
			}
		}
	}
	for orders := turn.Send; len(orders) > 0 && t.push != nil; {
		o := orders[0]
		orders = append(orders[1:], t.obey(ctx, o)...)
	}
	if len(turn.Returned) > 0 {
		t.offer(ctx) // later: it learns when
	}
}

// unanswered takes back what the vehicle did not answer.
func (t *talk) unanswered(ctx context.Context, units []Unit) {
	t.takeBack(ctx, t.letGo(units), fmt.Sprintf("the vehicle did not answer %d sends", Sends))
}

// letGo closes the files that did not leave as a whole, and returns whose they
// are. What the vehicle has as a whole it may still report.
func (t *talk) letGo(units []Unit) (ids []ota.UpdateID) {
	for _, u := range units {
		switch f := t.files[u]; {
		case f == nil:
		case !f.sent.IsZero():
			t.vehicle.Await(File{Unit: u, Chunks: ChunkCount(f.file.Size), Window: f.window}, f.sent)
		default:
			t.discard(u)
			ids = append(ids, f.update)
		}
	}
	return ids
}

func (t *talk) takeBack(ctx context.Context, ids []ota.UpdateID, reason string) {
	if err := t.push.Unanswered(ctx, ids, reason); err != nil {
		t.failed("updates cannot be taken back", err)
	}
}

// obey does one order, and returns those that follow because a file cannot be sent.
func (t *talk) obey(ctx context.Context, o Order) []Order {
	switch o.Service {
	case ServiceAbort:
		t.say(ctx, o.Service, Abort{FormFor(t.dialect(), o.Service, t.b.opt.Compatible)}.AppendParams(nil))
		return nil
	case ServiceGetPackages:
		t.askForList(ctx)
		return nil
	}
	f := t.files[o.Unit]
	if f == nil {
		return nil
	}
	err := t.sayOf(ctx, o, f)
	switch kind := ota.KindOf(err); {
	case err == nil:
		return nil
	case kind == ota.KindInternal || kind == ota.KindUnavailable:
		t.b.grumble(t, "a file cannot be sent now", err)
		return nil // it is tried again, as if the message had been lost
	}
	if ota.KindOf(err) == ota.KindLocked {
		delete(t.offered, f.update) // it is offered again when the block ends
	}
	next := t.forget(o.Unit)
	t.failed("an update is not sent", err)
	if t.push != nil {
		t.takeBack(ctx, []ota.UpdateID{f.update}, err.Error())
		t.offer(ctx)
	}
	return next.Send
}

// sayOf sends the message about a file that an order wants. That the file is
// begun, or was sent as a whole, is written down before it is told.
func (t *talk) sayOf(ctx context.Context, o Order, f *sending) error {
	switch o.Service {
	case ServiceStart:
		f.sent = time.Time{}
		if err := t.open(ctx, f); err != nil {
			return err
		}
		t.say(ctx, o.Service, StartOf(o.Unit, f.file).AppendParams(nil))
	case ServiceChunk:
		if err := t.open(ctx, f); err != nil {
			return err
		}
		return t.sayChunk(ctx, o, f)
	default:
		f.close()
		f.sent = t.b.opt.Now()
		if err := t.push.Sent(ctx, f.update); err != nil {
			t.failed("an update cannot be noted as sent", err) // a restart sends it again
		}
		t.say(ctx, o.Service, Finish{Unit: o.Unit, Signature: f.file.Signature}.AppendParams(nil))
	}
	return nil
}

// sayChunk sends a chunk, which is read when it is written to the vehicle, if
// the carrier can do that: so that a window of them holds one in memory.
func (t *talk) sayChunk(ctx context.Context, o Order, f *sending) error {
	opening := f.openings
	params := func(b []byte) ([]byte, error) { return f.chunk(b, o, opening) }
	late, ok := t.b.carrier.(lateCarrier)
	if !ok {
		text, err := params(nil)
		if err == nil {
			t.say(ctx, o.Service, text)
		}
		return err
	}
	if err := late.SendFunc(ctx, t.service(o.Service), params, MessageLife); err != nil {
		t.b.grumble(t, "a message to the vehicle is lost", err)
	}
	return nil
}

// say sends a message to one of the vehicle's services. One that cannot be sent
// is as good as lost.
func (t *talk) say(ctx context.Context, to Service, params []byte) {
	t.sayFor(ctx, t.service(to), params, MessageLife)
}

func (t *talk) sayFor(ctx context.Context, to string, params []byte, life time.Duration) {
	if err := t.b.carrier.Send(ctx, to, params, life); err != nil {
		t.b.grumble(t, "a message to the vehicle is lost", err)
	}
}
