package fleet

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// ManifestsOf tells of the manifests of a version, as they would be judged
// now. It fails with KindInvalid, KindNotFound or KindCorrupt.
func (f *Fleet) ManifestsOf(ctx context.Context, ns ota.Namespace, id ota.PackageID) (list []Manifest, err error) {
	p, err := f.Package(ctx, ns, id)
	if err != nil {
		return nil, err
	}
	newest, err := f.Packages(ctx, ota.PackageFilter{Namespace: ns, Name: id.Name, Newest: true})
	if err != nil {
		return nil, err
	}
	known, err := f.classes(ctx, ns)
	if err != nil {
		return nil, err
	}
	for _, a := range p.Artifacts {
		m, ok, err := f.check(ctx, ns, a, suit.Rules{Trusted: f.SUITKeys, Stored: shelf{f, ctx, ns, id.Name, newest}.stored, Known: known.known})
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, m)
		}
	}
	return list, nil
}

// ManifestListing makes a stored manifest readable. It fails with KindInvalid
// if the file is none, KindNotFound or KindCorrupt.
func (f *Fleet) ManifestListing(ctx context.Context, ns ota.Namespace, id ota.PackageID, name string) (suit.Listing, error) {
	p, err := f.Package(ctx, ns, id)
	if err != nil {
		return suit.Listing{}, err
	}
	a, ok := p.Artifact(name)
	if !ok {
		return suit.Listing{}, ota.Fail(ota.KindNotFound, "missing_entity", "%s has no file %q", id, name)
	}
	text, err := f.suitFile(ctx, a)
	if err != nil {
		return suit.Listing{}, err
	}
	if text == nil {
		return suit.Listing{}, ota.Invalid("%s of %s is not a SUIT manifest", name, id)
	}
	e, err := suit.Open(text)
	if err != nil {
		return suit.Listing{}, err
	}
	return suit.List(e, f.SUITKeys), nil
}
