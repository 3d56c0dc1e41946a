package fleet

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// classes are those of which there are constrained devices, each with the
// highest sequence number one of them has installed.
type classes map[suit.Class]uint64

func (f *Fleet) classes(ctx context.Context, ns ota.Namespace) (classes, error) {
	found := classes{}
	err := f.Store.Read(ctx, func(tx ota.ReadTx) error {
		list, err := tx.ConstrainedClasses(ns)
		for _, c := range list {
			found[classOf(c)] = c.Sequence
		}
		return err
	})
	return found, err
}

// known answers suit.Rules. Where nobody registers constrained devices, all
// classes are.
func (c classes) known(vendor, class uuid.UUID) bool {
	_, ok := c[suit.Class{Vendor: vendor, ID: class}]
	return ok || len(c) == 0
}

// ledger finds the highest sequence number a class of devices was given, other
// than by kin.
type ledger struct {
	f   *Fleet
	ctx context.Context
	ns  ota.Namespace
	kin []ota.Artifact
	classes

	highest map[suit.Class]uint64 // nil until asked for
	err     error
}

func (l *ledger) last(vendor, class uuid.UUID) (uint64, bool) {
	if l.highest == nil {
		l.highest = map[suit.Class]uint64{}
		for c, installed := range l.classes {
			if installed > 0 { // devices need no manifest below it, but one of its kin
				l.highest[c] = installed - 1
			}
		}
		l.err = l.read()
	}
	n, ok := l.highest[suit.Class{Vendor: vendor, ID: class}]
	return n, ok
}

func (l *ledger) read() error {
	packages, err := l.f.Packages(l.ctx, ota.PackageFilter{Namespace: l.ns})
	if err != nil {
		return err
	}
	for _, p := range packages {
		for _, a := range p.Artifacts {
			if slices.ContainsFunc(l.kin, func(k ota.Artifact) bool { return k.SHA256 == a.SHA256 }) {
				continue
			}
			r, err := l.f.release(l.ctx, a)
			if err != nil && ota.KindOf(err) != ota.KindCorrupt { // that one is told of elsewhere
				return err
			}
			if !r.sound {
				continue
			}
			for _, c := range r.classes {
				l.highest[c] = max(l.highest[c], r.sequence)
			}
		}
	}
	return nil
}

// release is what a manifest is for; it has no classes if it is none.
type release struct {
	// sound: devices would take it, if its files are there. One that is not was
	// forced, or is signed by a key of old, and does not count as given to a
	// class: what devices have of it, they tell.
	sound    bool
	classes  []suit.Class
	sequence uint64
	digest   suit.Digest // of the manifest inside; it has no sum if there is none
	beside   bool        // it names files by where they lie beside it
}

// manifests remembers what stored files are for: bytes do not change.
type manifests struct {
	mu    sync.Mutex
	known map[ota.Digest]release
}

// maxKnown bounds what is remembered, in files.
const maxKnown = 50_000

func (f *Fleet) release(ctx context.Context, a ota.Artifact) (r release, err error) {
	f.manifests.mu.Lock()
	defer f.manifests.mu.Unlock()
	if r, ok := f.manifests.known[a.SHA256]; ok {
		return r, nil
	}
	text, err := f.suitFile(ctx, a)
	if err != nil {
		return r, err
	}
	if text != nil {
		v, err := suit.Check(text, suit.Rules{Trusted: f.SUITKeys})
		if err != nil {
			return r, err
		}
		r.classes, r.sound = v.Classes, v.OK()
		r.beside = slices.ContainsFunc(v.URIs, beside)
		if v.Manifest != nil {
			r.sequence = v.Manifest.Sequence
		}
		if e, err := suit.Open(text); err == nil {
			r.digest = e.Digest
		}
	}
	if f.manifests.known == nil || len(f.manifests.known) >= maxKnown {
		f.manifests.known = map[ota.Digest]release{}
	}
	f.manifests.known[a.SHA256] = r
	return r, nil
}
