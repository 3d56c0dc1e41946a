package rvi

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

const (
	// longestNotify is how long a notify may wait for its vehicle.
	longestNotify = 30 * 24 * time.Hour
	// notifyAgain is when something is offered again that the vehicle, though it
	// is there, has not asked for: the message may be lost (rvi.md Q22).
	notifyAgain = time.Hour
)

// offer tells the vehicle of what is new.
func (t *talk) offer(ctx context.Context) {
	if !t.here {
		return // it is told everything when it comes
	}
	if t.device == "" {
		if soon := t.greeted.Add(Quiet); t.b.opt.Now().Before(soon) {
			t.greet, t.tellAt = true, soon
		} else {
			t.greeting(ctx)
		}
		return
	}
	queue, err := t.push.Queue(ctx)
	if err != nil {
		t.tellAt = t.b.opt.Now().Add(AckTimeout)
		t.failed("the queue cannot be read", err)
		return
	}
	t.offerOf(ctx, queue, false)
}

// offerOf tells the vehicle of what there is in its queue, and was not told
// since it came. To one that has just come everything is told: what it did not
// answer and is to be left alone, and what it was sent and did not report, too.
func (t *talk) offerOf(ctx context.Context, queue []ota.QueueEntry, arrived bool) {
	now := t.b.opt.Now()
	t.tellAt = time.Time{}
	t.prune(queue)
	at := func(d time.Time) {
		if t.tellAt.IsZero() || d.Before(t.tellAt) {
			t.tellAt = d
		}
	}
	var fresh []ota.QueueEntry
	for _, e := range queue {
		switch f := t.files[unitIn(t.dialect(), e.Update)]; {
		case f != nil && f.update == e.Update.ID && f.sent.IsZero():
			continue // it is under way
		case e.Update.Status == ota.InFlight && !arrived:
			continue
		case !arrived && e.Update.RetryAt.After(now):
			at(e.Update.RetryAt)
			continue
		}
		at(now.Add(notifyAgain))
		if !t.offered[e.Update.ID] {
			fresh = append(fresh, e)
		}
	}
	t.notify(ctx, fresh)
}

// prune forgets that something was offered which is not in the queue any more:
// should it come back, as after a block, it is offered anew.
func (t *talk) prune(queue []ota.QueueEntry) {
	there := make(map[ota.UpdateID]bool, len(queue))
	for _, e := range queue {
		there[e.Update.ID] = true
	}
	maps.DeleteFunc(t.offered, func(id ota.UpdateID, _ bool) bool { return !there[id] })
}

// notify sends the notifies of updates, as its dialect has them: all in one
// message, or one in each (rvi.md 4.4, 5.1, 5.6).
func (t *talk) notify(ctx context.Context, entries []ota.QueueEntry) {
	for len(entries) > 0 {
		m, n := t.notice(entries)
		t.sayFor(ctx, t.prefix+ServiceNotify.Local()[1:], m.AppendParams(nil), t.validity(entries[:n]))
		for _, e := range entries[:n] {
			if t.offered == nil {
				t.offered = map[ota.UpdateID]bool{}
			}
			t.offered[e.Update.ID] = true
		}
		entries = entries[n:]
	}
}

// notice makes a notify of the first n of the updates.
func (t *talk) notice(entries []ota.QueueEntry) (m Notify, n int) {
	m.Services = t.b.services()
	d := t.dialect()
	dual := t.b.opt.Dual && t.last() == Unknown && t.b.opt.Dialect == Unknown && d == Dialect2015
	n = 1
	if d == Dialect2015 && !dual {
		n = min(len(entries), maxListed)
	}
	if d == Dialect2015 {
		for _, e := range entries[:n] {
			file := e.Package.Main()
			m.Packages = append(m.Packages, OfferedPackage{Package: e.Update.Package, Size: file.Size, SHA256: file.SHA256, Confirm: e.Update.Confirm})
		}
	}
	if d != Dialect2015 || dual {
		u, file := entries[0].Update, entries[0].Package.Main()
		m.Update = &OfferedUpdate{Update: u.ID, Signature: file.Signature, Description: u.Description, Confirm: u.Confirm, Size: file.Size, Package: u.Package}
	}
	return m, n
}

// validity is how long a notify is worth delivering: until the last of its
// updates expires, and 30 days at most.
func (t *talk) validity(entries []ota.QueueEntry) time.Duration {
	left := func(e ota.QueueEntry) time.Duration {
		if e.Update.Until.IsZero() || e.Update.Status == ota.InFlight {
			return longestNotify
		}
		return e.Update.Until.Sub(t.b.opt.Now())
	}
	last := slices.MaxFunc(entries, func(a, b ota.QueueEntry) int { return int(left(a) - left(b)) })
	return min(max(left(last), time.Second), longestNotify)
}
