package agent

import (
	"context"
	"errors"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// notice is a command of the client's own: to act on what the server said
// unasked. Going through the queue, it never meets a half-done command.
type notice struct{ ota.Notice }

func (notice) Name() string { return "notice" }
func (notice) command()     {}

// listen takes notices until ctx ends.
func (a *Agent) listen(ctx context.Context) {
	wait := newDelays(firstDelay, lastDelay)
	for {
		n, err := a.link.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d := wait.next()
			a.log.Warn("the server's notices do not arrive", "err", err, "again_in", d)
			if !pause(ctx, d) {
				return
			}
			continue
		}
		wait.reset()
		a.take(ctx, n)
	}
}

// take passes a notice on. A poll of an idle client is waited for, so that a
// transport that polls begins its interval afterwards; a busy client polls
// when it is idle again, and meanwhile hears what else the server has to say.
func (a *Agent) take(ctx context.Context, n ota.Notice) {
	switch n := n.(type) {
	case ota.Offered:
		if len(n.Offers) > 0 {
			a.queue.own(notice{n})
			return
		}
		if done := a.queue.poll(); done != nil {
			select {
			case <-done:
			case <-ctx.Done():
			}
		}
	case ota.Withdrawn:
		a.downloads.withdraw(n.Update)
		a.queue.first(notice{n})
	default:
		a.queue.own(notice{n})
	}
}

// noticed acts on a notice.
func (a *Agent) noticed(ctx context.Context, n ota.Notice) {
	switch n := n.(type) {
	case ota.Offered:
		a.announce(ctx, n.Offers)
	case ota.Withdrawn:
		a.withdrawn(ctx, n.Update)
	case ota.ListWanted:
		a.listWanted(ctx)
	}
}

// announce tells of updates the server spoke of, each time it does, and begins
// those that nobody has to agree to.
func (a *Agent) announce(ctx context.Context, offers []ota.Offer) {
	var begin []ota.Offer
	for _, o := range offers {
		over, err := a.again(ctx, o)
		if err == nil && !over {
			err = a.state.offered(o)
		}
		if err != nil {
			a.emit(ctx, Error{ioError + ": " + err.Error()})
			return
		}
		if over {
			continue
		}
		a.asked[o.Update] = true
		a.emit(ctx, UpdateAvailable{available(o)})
		begin = append(begin, o)
	}
	a.follow(a.facts(ctx, UpdatesReceived{begin}).begin(begin))
}

// again looks at what the server speaks of once more. A package that is
// installed is not offered (rvi.md 4.7), unless the update has an id of its own,
// which somebody waits for; one of ours is reported, as the report was lost. An
// update that failed begins anew: its server may have no other name for another
// try.
func (a *Agent) again(ctx context.Context, o ota.Offer) (over bool, err error) {
	e, known := a.state.entry(o.Update)
	there := o.Package != (ota.PackageID{}) && a.installer != nil && a.has(ctx, o.Package)
	switch {
	case !known && there:
		_, err := ota.ParseUpdateID(string(o.Update))
		a.log.Info("what the server offers is installed", "update", o.Update, "ignored", err != nil)
		return err != nil, nil
	case !known || !e.Step.ended():
		return false, nil
	case len(e.Reports) > 0:
		return true, nil // they are under way
	case e.Success && (there || o.Package == (ota.PackageID{})):
		a.queue.own(SendUpdateReport{ota.Outcome(o.Update, ota.OK, "")})
		return true, nil
	}
	return false, a.state.put(Entry{Update: o.Update, Package: o.Package, Step: Known, Size: -1})
}

func (a *Agent) has(ctx context.Context, p ota.PackageID) bool {
	list, ok := a.installed(ctx)
	return ok && slices.Contains(list, p)
}

// withdrawn drops an update unless it is being installed or has ended.
func (a *Agent) withdrawn(ctx context.Context, id ota.UpdateID) {
	defer a.downloads.forget(id)
	e, known := a.state.entry(id)
	if !known || e.Step == Installing || e.Step == Dropped || e.Step.ended() {
		return
	}
	if err := a.drop(id); err != nil {
		a.emit(ctx, Error{ioError + ": " + err.Error()})
	}
	a.installNext()
}

// drop forgets what is on disk of an update the server took back.
func (a *Agent) drop(id ota.UpdateID) error {
	e, _ := a.state.entry(id)
	e.Step = Dropped
	if err := a.state.put(e); err != nil {
		return err
	}
	a.log.Info("the server took an update back", "update", id)
	delete(a.asked, id)
	if !safeName(id) {
		return nil
	}
	return errors.Join(a.images.remove(partName(id)), a.images.remove(string(id)), a.images.sync())
}

// listWanted answers a server that wants to know what is installed.
func (a *Agent) listWanted(ctx context.Context) {
	if a.installer == nil {
		a.emit(ctx, InstalledSoftwareNeeded{})
		return
	}
	if list, ok := a.installed(ctx); ok {
		a.queue.own(SendInstalledPackages{list})
	}
}
