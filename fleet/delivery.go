package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// objection is what there is against telling a device of something.
type objection struct {
	reasons []string
	firm    bool // no operator may insist: no trusted key signed it
}

// deliverable finds every reason why devices should not be told of manifests:
// they are checked once more, now with all their files. A device takes only
// what is for its class; if it is nobody in particular (nil), some device must
// be of the class.
func (f *Fleet) deliverable(ctx context.Context, ns ota.Namespace, id string, newest []ota.Package, manifests []ota.Artifact, to *ota.Constrained) (o objection, err error) {
	rules := suit.Rules{Trusted: f.SUITKeys, Stored: shelf{f, ctx, ns, id, newest}.stored, Delivery: true}
	if to == nil {
		known, err := f.classes(ctx, ns)
		if err != nil {
			return o, err
		}
		rules.Known = known.known
	}
	for _, a := range manifests {
		m, _, err := f.check(ctx, ns, a, rules)
		if err != nil {
			return objection{}, err
		}
		o.reasons = append(o.reasons, f.against(m, a)...)
		o.firm = o.firm || !f.vouched(m, a)
		if to != nil && len(m.Classes) > 0 && !slices.Contains(m.Classes, classOf(*to)) {
			o.reasons = append(o.reasons, fmt.Sprintf("%s: it is for other devices than those of vendor %s and class %s", a.Name, to.Vendor, to.Class))
		}
	}
	return o, nil
}

// offered are the manifests that a device is told of, one for each slot; the
// main file if the package has none.
func offered(p ota.Package) []ota.Artifact {
	if _, manifests, _ := ota.Notifiable([]ota.Package{p}, ota.SchemeAuto); len(manifests) > 0 {
		return manifests
	}
	return []ota.Artifact{p.Main()}
}

// againstSending finds every reason why a device should not be told of a
// package. It is asked each time the device is told, so that what was found is
// remembered for as long as no package changes.
func (f *Fleet) againstSending(ctx context.Context, d ota.Device, p ota.Package) (objection, error) {
	if d.Constrained == nil {
		if f.vouched(Manifest{}, p.Main()) {
			return objection{}, nil
		}
		return objection{[]string{"no trusted key signed it"}, true}, nil
	}
	edition, key := f.Edition(), deliveryKey{d.Namespace, p.ID, d.Constrained.Vendor, d.Constrained.Class} // the edition before the look
	if o, ok := f.deliveries.find(edition, key); ok {
		return o, nil
	}
	newest, err := f.knownVersions(ctx, d.Namespace, p.ID.Name)
	if err != nil {
		return objection{}, err
	}
	o, err := f.deliverable(ctx, d.Namespace, p.ID.Name, newest, offered(p), d.Constrained)
	if err == nil {
		f.deliveries.keep(edition, key, o, 1+len(o.reasons))
	}
	return o, err
}

type deliveryKey struct {
	ns            ota.Namespace
	id            ota.PackageID
	vendor, class string
}

// refused finds out what is against sending packages to a device, each with
// its reasons. Against any for a device that is not constrained is only that no
// trusted key signed it, if there are any.
// It fails with KindNotFound (missing_device, missing_package) or KindInvalid.
func (f *Fleet) refused(ctx context.Context, ns ota.Namespace, r Request) (objections, error) {
	var d ota.Device
	var packages []ota.Package
	err := f.Store.Read(ctx, func(tx ota.ReadTx) (err error) {
		packages = nil
		if d, err = device(tx, ns, r.Device); err != nil || d.Constrained == nil && len(f.TrustedKeys) == 0 {
			return err
		}
		for _, id := range r.Packages {
			p, err := managed(tx, ns, id)
			if err != nil {
				return err
			}
			packages = append(packages, p)
		}
		return nil
	})
	against := objections{}
	for _, p := range packages {
		o, err := f.againstSending(ctx, d, p)
		if err != nil {
			return nil, err
		}
		older, err := f.older(ctx, d, p)
		if err != nil {
			return nil, err
		}
		if o.reasons = slices.Concat(o.reasons, older); len(o.reasons) > 0 {
			against[p.ID] = o
		}
	}
	return against, err
}

// older finds the manifests of a package that a device would refuse, as what it
// has installed is newer. What it has may change with every report, so that this
// is asked when an update is sent only: one that waits is told as it is.
func (f *Fleet) older(ctx context.Context, d ota.Device, p ota.Package) (reasons []string, err error) {
	if d.Constrained == nil || d.Constrained.Sequence == 0 {
		return nil, nil
	}
	for _, a := range offered(p) {
		r, err := f.release(ctx, a)
		if err != nil {
			return nil, err
		}
		if isManifest := len(r.digest.Sum) > 0; isManifest && r.sequence < d.Constrained.Sequence {
			reasons = append(reasons, fmt.Sprintf("%s: its sequence number %d is below %d, which %s has installed", a.Name, r.sequence, d.Constrained.Sequence, d.Name))
		}
	}
	return reasons, nil
}

// objections are those against packages; there is none for the others.
type objections map[ota.PackageID]objection

func (against objections) firm() bool {
	for _, o := range against {
		if o.firm {
			return true
		}
	}
	return false
}

// refusal tells all of them, in the order of the request.
func (against objections) refusal(order []ota.PackageID) *Refusal {
	all := &Refusal{}
	for i, id := range order {
		if slices.Contains(order[:i], id) {
			continue
		}
		for _, reason := range against[id].reasons {
			all.Reasons = append(all.Reasons, id.String()+": "+reason)
		}
	}
	return all
}

// withheld finds out why a device is not to be told of an update it waits for.
// One that it has all of is not looked at; of one that an operator insisted on
// only what is firm counts.
func (u *Uplink) withheld(ctx context.Context, e ota.QueueEntry) (reasons []string, err error) {
	if !e.Update.SentAt.IsZero() {
		return nil, nil
	}
	var d ota.Device
	err = u.f.Store.Read(ctx, func(tx ota.ReadTx) error {
		d, err = tx.Device(u.id)
		return err
	})
	if err != nil || d.Constrained == nil {
		return nil, err
	}
	o, err := u.f.againstSending(ctx, d, e.Package)
	if e.Update.Forced != "" && !o.firm {
		return nil, err
	}
	return o.reasons, err
}

// undeliverable ends an update that waits as Failed. Its device is not blocked,
// as it did nothing.
func (u *Uplink) undeliverable(ctx context.Context, id ota.UpdateID, reasons []string) error {
	return u.transit(ctx, []ota.UpdateID{id}, func(up *ota.Update, now time.Time) bool {
		return up.Undeliverable(strings.Join(reasons, "; "), now)
	})
}
