package resource

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// How long a talk waits.
const (
	stalled  = time.Hour        // for a device that was told to fetch something, or for the next block
	silent   = 24 * time.Hour   // for the report of one that has everything
	asked    = time.Minute      // between two questions which slot runs
	restart  = 2 * time.Minute  // for a block, before a device that registers is told anew
	idle     = time.Hour        // for nothing in particular: it has nowhere to be told something
	again    = time.Minute      // after a fault of ours
	patience = 95 * time.Second // for an answer; CoAP itself gives up after 93 (RFC 7252 4.8.2)
)

const triggerPath = "/suit/trigger" // coap-suit.md 6.1

// look does what there is to do for a device now, and answers when to look
// again; never, if that is zero.
func (t *talks) look(ctx context.Context, k *talk, n news) time.Time {
	l := look{talks: t, talk: k, news: n, now: t.door.Fleet.Now(), up: t.door.Fleet.Uplink(k.id)}
	next, err := l.next(ctx)
	switch {
	case ctx.Err() != nil || err != nil && ota.KindOf(err) == ota.KindNotFound: // the device is gone
		return time.Time{}
	case err != nil:
		t.door.Log.Error("an update of a constrained device cannot go on", "device", k.id, "err", err)
		return l.now.Add(again)
	}
	return next
}

// look is one look at a talk.
type look struct {
	*talks
	*talk
	news
	now  time.Time
	up   *fleet.Uplink
	dev  ota.Device
	want fleet.Desired
}

func (l *look) next(ctx context.Context) (time.Time, error) {
	if err := l.read(ctx); err != nil || l.want.None {
		return time.Time{}, err
	}
	if moved, err := l.progress(ctx); err != nil {
		return time.Time{}, err
	} else if moved {
		if err := l.read(ctx); err != nil || l.want.None {
			return time.Time{}, err
		}
	}
	switch u := l.want.Update; {
	case u.Status == ota.InFlight && !u.SentAt.IsZero():
		return l.await(ctx)
	case u.Status == ota.InFlight:
		return l.watch(ctx)
	case l.address() == "":
		return l.now.Add(idle), nil // it will ask by itself
	case l.now.Before(u.RetryAt) && !l.here:
		return u.RetryAt, nil
	}
	return l.trigger(ctx)
}

// read reads what is wanted of the device.
func (l *look) read(ctx context.Context) (err error) {
	if l.dev, err = l.door.Fleet.Constrained(ctx, ota.DefaultNamespace, string(l.id)); err != nil {
		return err
	}
	if l.want, err = l.up.Desired(ctx, ""); err != nil {
		return err
	}
	l.talks.mu.RLock()
	was := l.update.ID
	l.talks.mu.RUnlock()
	if was != "" && was != l.want.Update.ID {
		defer l.observed(l.dev) // it ended here, without word from the device
	}
	if l.want.None {
		return nil
	}
	l.place(l.talk, l.address())
	l.talks.mu.Lock()
	defer l.talks.mu.Unlock()
	if l.update.ID != l.want.Update.ID {
		for sum := range l.fetches {
			if _, ok := l.file(sum); !ok {
				delete(l.fetches, sum)
			}
		}
	}
	l.update, l.open = l.want.Update, l.believes(l.dev)
	return nil
}

// address is where the device can be told something, "" if nowhere, or if there
// is nothing to be named to it as this server's files are for others to serve.
func (l *look) address() string {
	if l.door.Fleet.CoAPRoot() == "" {
		return ""
	}
	return l.dev.Constrained.AddressAt(l.now)
}

// file finds a file of the package that is wanted.
func (l *look) file(sum ota.Digest) (ota.Artifact, bool) {
	i := slices.IndexFunc(l.want.Package.Artifacts, func(a ota.Artifact) bool { return a.SHA256 == sum })
	if i < 0 {
		return ota.Artifact{}, false
	}
	return l.want.Package.Artifacts[i], true
}

// progress makes steps of the update of what the device fetched: it has begun
// with the first block, and has all once it has a whole file that is no
// manifest, or the manifest if there is nothing else.
func (l *look) progress(ctx context.Context) (moved bool, err error) {
	for _, p := range l.fetched {
		a, ok := l.file(p.file)
		if !ok {
			continue
		}
		u := l.want.Update
		if u.Status == ota.Pending && !moved {
			if err := l.up.Begin(ctx, u.ID); err != nil {
				return false, err
			}
			moved = true
		}
		if p.done && (a.SHA256 != l.want.Manifest.SHA256 && !isManifest([]byte("/"+a.Name)) || len(l.want.Package.Artifacts) == 1) {
			if err := l.up.Sent(ctx, u.ID); err != nil {
				return false, err
			}
			moved = true
		}
	}
	if len(l.fetched) > 0 {
		l.up.Heard()
	}
	return moved, nil
}

// watch gives a device time to fetch what it was told of.
func (l *look) watch(ctx context.Context) (time.Time, error) {
	last := l.want.Update.UpdatedAt
	if moved := time.Unix(0, l.moved.Load()); moved.After(last) {
		last = moved
	}
	if l.here && l.address() != "" && len(l.want.Withheld) == 0 && l.now.After(last.Add(restart)) {
		return l.trigger(ctx) // it has restarted, and knows of nothing
	}
	if until := last.Add(stalled); l.now.Before(until) {
		return until, nil
	}
	return l.returned(ctx, "it was told, and then fetched nothing for "+stalled.String())
}

// returned takes the update back, to be tried again later.
func (l *look) returned(ctx context.Context, why string) (time.Time, error) {
	if err := l.up.Unanswered(ctx, []ota.UpdateID{l.want.Update.ID}, why); err != nil {
		return time.Time{}, err
	}
	if err := l.read(ctx); err != nil || l.want.None {
		return time.Time{}, err
	}
	if u := l.want.Update; u.Status == ota.Pending && l.now.Before(u.RetryAt) {
		return u.RetryAt, nil
	}
	return l.now.Add(time.Second), nil // another update is the first now
}

// toldOf is kept of a device that was told of an update, as its Contact.
type toldOf struct {
	Update   ota.UpdateID `json:"update"`
	Slot     int          `json:"slot"`               // that was free then
	Sequence uint64       `json:"sequence,omitempty"` // of the manifest; 0 if that is not SUIT
}

const contactProtocol = "coap"

// trigger tells the device where the manifest is. Once that is under way the
// update has begun, so that it is not told again by another.
func (l *look) trigger(ctx context.Context) (time.Time, error) {
	u, base := l.want.Update, strings.TrimSuffix(l.address(), "/")
	if err := l.up.Begin(ctx, u.ID); err != nil {
		return time.Time{}, err
	}
	l.moved.Store(l.now.UnixNano())
	why := l.call(ctx, func(ctx context.Context) error { return l.post(ctx, base) })
	if ctx.Err() != nil { // the server ends; it is told again after an hour, unless it heard
		return time.Time{}, nil
	}
	if why != nil {
		return l.returned(ctx, why.Error())
	}
	l.answered.Store(true)
	l.up.Heard()
	return l.now.Add(stalled), nil
}

// post asks which slot is free, which not every device knows, and tells the
// manifest's URL.
func (l *look) post(ctx context.Context, base string) error {
	f := l.door.Fleet
	slot, err := f.Trigger.Slot(ctx, base)
	switch {
	case err != nil && ota.KindOf(err) == ota.KindUnreachable:
		return err
	case err == nil:
		want, err := l.up.Desired(ctx, strconv.Itoa(slot))
		if err != nil {
			return err
		}
		if want.Update.ID != l.want.Update.ID || len(want.Withheld) > 0 {
			return ota.Fail(ota.KindConflict, "withheld", "what it is to install changed while it was asked for its slot")
		}
		l.want = want
		state, err := json.Marshal(toldOf{l.want.Update.ID, slot, want.Sequence})
		if err == nil {
			err = l.up.PutContact(ctx, contactProtocol, state)
		}
		if err != nil {
			return err
		}
	}
	return f.Trigger.Post(ctx, base+triggerPath, l.want.URL(f.CoAPRoot()))
}

// await waits for how it ended: the device reports, registers, or is found to
// run from the slot that was free before.
func (l *look) await(ctx context.Context) (time.Time, error) {
	u := l.want.Update
	until := u.SentAt.Add(silent)
	if !l.now.Before(until) {
		if err := l.up.Unreported(ctx, u.ID); err != nil {
			return time.Time{}, err
		}
		return l.now.Add(time.Second), nil
	}
	told, known := l.toldBefore(ctx)
	if !known || l.address() == "" {
		return until, nil
	}
	ask := u.SentAt.Add(asked)
	if !l.now.Before(ask) {
		ask = l.now.Add(asked)
		now := told.Slot
		err := l.call(ctx, func(ctx context.Context) (err error) {
			now, err = l.door.Fleet.Trigger.Slot(ctx, strings.TrimSuffix(l.address(), "/"))
			return err
		})
		if err == nil && now != told.Slot {
			if err := l.runs(ctx, told); err != nil {
				return time.Time{}, err
			}
			l.observed(l.dev)
			return l.now.Add(time.Second), nil
		}
	}
	return ask, nil
}

// runs takes that the device runs what it was told of. That it has the sequence
// number installed mostly ends the update as well; the report does for sure.
func (l *look) runs(ctx context.Context, told toldOf) error {
	r := ota.Outcome(told.Update, ota.OK, "it runs from slot "+strconv.Itoa(told.Slot)+" now")
	r.Unproven = true
	if told.Sequence > 0 {
		err := l.up.Tell(ctx, fleet.State{Sequence: &told.Sequence, Text: r.Results[0].Text, Unproven: true})
		if err != nil {
			return err
		}
	}
	return l.up.Report(ctx, r)
}

// toldBefore is what the device was told of its update, and the slot that was free
// then.
func (l *look) toldBefore(ctx context.Context) (told toldOf, known bool) {
	kept, err := l.up.Contact(ctx, contactProtocol)
	if err != nil {
		return told, false
	}
	err = json.Unmarshal(kept, &told)
	return told, err == nil && told.Update == l.want.Update.ID
}
