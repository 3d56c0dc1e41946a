package fleet

import (
	"context"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// Desired is what a constrained device is to install now: the first update of
// its queue.
type Desired struct {
	Update   ota.Update
	Package  ota.Package
	Manifest ota.Artifact // the main file if the package has no manifest
	Slot     string       // that the manifest is for, "" if for any
	Sequence uint64       // of the manifest; 0 if that is not SUIT
	None     bool         // the device has nothing to do
	byName   bool         // see URL
	// Withheld is why the device is not told of it now: it is under way, and
	// its files are no longer what the manifest says.
	Withheld []string
}

// Desired tells what a device is to install. Of manifests for several slots it
// is the one for slot, or the first. What cannot be delivered any more is
// passed over: it has Failed, unless it is under way. It fails with
// KindNotFound (missing_device) or KindCorrupt.
func (u *Uplink) Desired(ctx context.Context, slot string) (Desired, error) {
	for {
		queue, err := u.Queue(ctx)
		if err != nil || len(queue) == 0 {
			return Desired{None: true}, err
		}
		first := queue[0]
		why, err := u.withheld(ctx, first)
		if err != nil {
			return Desired{None: true}, err
		}
		if len(why) == 0 || first.Update.Status != ota.Pending {
			return u.desire(ctx, first, slot, why)
		}
		if err := u.undeliverable(ctx, first.Update.ID, why); err != nil {
			return Desired{None: true}, err
		}
	}
}

func (u *Uplink) desire(ctx context.Context, e ota.QueueEntry, slot string, withheld []string) (Desired, error) {
	d := Desired{Update: e.Update, Package: e.Package, Withheld: withheld}
	for i, a := range offered(e.Package) {
		if n, _ := ota.ParseRIOTName(a.Name); i == 0 || n.Slot == slot && slot != "" {
			d.Manifest, d.Slot = a, n.Slot
		}
	}
	r, err := u.f.release(ctx, d.Manifest)
	d.Sequence = r.sequence
	if err == nil && r.beside {
		newest, failed := u.f.knownVersions(ctx, e.Update.Namespace, d.Package.ID.Name)
		_, found, _ := ota.LocateFile(newest, d.Manifest.Name)
		d.byName, err = found.SHA256 == d.Manifest.SHA256, failed
	}
	return d, err
}

// URL is where the device finds the manifest, below a root such as
// "coap://[fd00::1]:5683": by its digest, so that it does not change meanwhile.
// Only one that names files beside it is found by its name, as they are.
func (d Desired) URL(root string) string {
	if d.byName {
		return ota.FileURL(root, d.Package.ID.Name, d.Manifest.Name)
	}
	return ota.ManifestURL(root, d.Manifest.SHA256)
}

// State is what a constrained device tells of itself over CoAP, at /r. What
// it does not tell is nil or "".
type State struct {
	State    *uint64 // 0 idle, 1 downloading, 2 downloaded, 3 installing
	Result   *ota.ResultCode
	Sequence *uint64
	Text     string
	Unproven bool // nobody proved to be the device

	report *suit.Report // that this was read from, nil if it was not
}

// The states of a device, as in LwM2M's firmware object.
const (
	stateIdle uint64 = iota
	stateDownloading
	stateDownloaded
	stateInstalling
)

func (s State) check() error {
	switch {
	case s.State != nil && *s.State > stateInstalling:
		return ota.Invalid("state %d: expected 0 (idle), 1 (downloading), 2 (downloaded) or 3 (installing)", *s.State)
	case s.Result != nil && !s.Result.Valid():
		return ota.Invalid("result %d: expected 0 to %d", *s.Result, ota.GeneralError)
	case s.State == nil && s.Result == nil && s.Sequence == nil:
		return ota.Invalid("it tells neither a state, nor a result, nor a sequence number")
	}
	return nil
}

func (s State) idle() bool      { return s.State == nil || *s.State == stateIdle }
func (s State) failed() bool    { return s.Result != nil && !s.Result.Success() }
func (s State) succeeded() bool { return s.Result != nil && s.Result.Success() && s.idle() }

// Tell takes what a constrained device tells of itself: how far its update is,
// how that ended, and which manifest it has installed. A failure ends the
// update whenever it comes, a success only with the device idle; one that is
// idle and has the update's manifest installed has succeeded. It fails with
// KindInvalid for a state or a result there is none of, or KindNotFound.
func (u *Uplink) Tell(ctx context.Context, s State) error {
	if err := s.check(); err != nil {
		return err
	}
	at, err := u.about(ctx, s)
	if err == nil && at.update.ID != "" {
		err = u.complete(ctx, &s, at.manifest)
	}
	if err != nil {
		return err
	}
	u.Heard()
	if s.Sequence != nil && s.idle() && !s.failed() {
		if err := u.installed(ctx, *s.Sequence); err != nil {
			return err
		}
		if at.exact && s.Result == nil {
			s = s.with(stateIdle, ota.OK)
		}
	}
	switch up := at.update; {
	case up.ID == "":
		return nil
	case s.failed() || s.succeeded():
		r := ota.Outcome(up.ID, *s.Result, s.Text)
		r.Unproven = s.Unproven
		return u.Report(ctx, r)
	case s.idle() || up.Status == ota.InFlight && !up.SentAt.IsZero():
		return nil
	default:
		if err := u.Begin(ctx, up.ID); err != nil || *s.State == stateDownloading {
			return err
		}
		return u.Sent(ctx, up.ID)
	}
}

// subject is what a device tells of.
type subject struct {
	update   ota.Update // the ID is "" if there is none
	manifest ota.Artifact
	exact    bool // it said so itself
}

// about finds the update that a device tells of: the one whose manifest it
// names by digest or sequence number, else the one it is to install now. What
// is said of a manifest that is in none of its updates is about none.
func (u *Uplink) about(ctx context.Context, s State) (subject, error) {
	queue, err := u.Queue(ctx)
	if err != nil || len(queue) == 0 {
		return subject{}, err
	}
	old := s.report != nil // if nothing says otherwise
	for i, e := range queue {
		for _, a := range e.Package.Artifacts {
			r, err := u.f.release(ctx, a)
			if err != nil {
				return subject{}, err
			}
			switch {
			case len(r.digest.Sum) == 0 && r.sequence == 0:
			case s.report != nil && s.report.Manifest.Equal(r.digest),
				s.report == nil && s.Sequence != nil && *s.Sequence == r.sequence:
				return subject{e.Update, a, true}, nil
			case i == 0 && s.Sequence != nil && s.succeeded():
				old = true // that one was another
			}
		}
	}
	if old {
		return subject{}, nil
	}
	return subject{update: queue[0].Update}, nil
}

// installed keeps the sequence number of what a device has installed.
func (u *Uplink) installed(ctx context.Context, sequence uint64) error {
	return u.change(ctx, func(c *ota.Constrained) { c.Sequence = sequence })
}

// Register keeps where a device can be told something, until some time; ""
// forgets it. It fails with KindInvalid or KindNotFound.
func (u *Uplink) Register(ctx context.Context, address string, until time.Time) error {
	if address != "" {
		if err := ota.Target(address); err != nil {
			return err
		}
	}
	u.Heard()
	return u.change(ctx, func(c *ota.Constrained) { c.Address, c.Until = address, until })
}

// change changes what is known of a constrained device, if it differs.
func (u *Uplink) change(ctx context.Context, change func(*ota.Constrained)) error {
	return u.f.writeIf(ctx, func(tx ota.Tx) error {
		d, err := tx.Device(u.id)
		if err != nil {
			return err
		}
		if d.Constrained == nil {
			return ota.MissingDevice(string(u.id))
		}
		was := *d.Constrained
		change(d.Constrained)
		if *d.Constrained == was {
			return errNoChange
		}
		if err := tx.PutDevice(d); err != nil {
			return err
		}
		return tell(tx, ota.DeviceChanged, d, "", nil)
	})
}

// Begin moves an update to InFlight: its device has begun to fetch it, or is
// being told of it. It fails as Fetch does.
func (u *Uplink) Begin(ctx context.Context, id ota.UpdateID) error { return u.begin(ctx, id) }
