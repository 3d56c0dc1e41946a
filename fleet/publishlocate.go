package fleet

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
)

// Locate finds the file that the path <publish id>/<name> means: that of the
// newest version holding it, see ota.LocateFile. OpenBlob gives its bytes. It
// fails with KindNotFound (missing_entity), also for an id that cannot be.
func (f *Fleet) Locate(ctx context.Context, ns ota.Namespace, publishID, name string) (ota.Package, ota.Artifact, error) {
	id, err := ota.CleanPublishID(publishID)
	var newest []ota.Package
	if err == nil {
		if newest, err = f.knownVersions(ctx, ns, id); err != nil {
			return ota.Package{}, ota.Artifact{}, err
		}
	}
	p, a, ok := ota.LocateFile(newest, name)
	if !ok {
		return p, a, ota.Fail(ota.KindNotFound, "missing_entity", "nothing named %.100q is published as %.100q", name, publishID)
	}
	return p, a, nil
}

// LocateDigest finds a file of a namespace by the beginning of its digest, in
// hex. It fails with KindNotFound (missing_entity).
func (f *Fleet) LocateDigest(ctx context.Context, ns ota.Namespace, prefix string) (a ota.Artifact, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		a, err = tx.ArtifactByDigest(ns, prefix)
		return err
	})
	return a, err
}

// Edition counts the changes of packages: what Locate found is right while it
// stays the same.
func (f *Fleet) Edition() uint64 { return f.edition.Load() }

// Versions lists the versions of a publish id, the newest first. It fails with
// KindInvalid, or KindNotFound (missing_entity) if there is none.
func (f *Fleet) Versions(ctx context.Context, ns ota.Namespace, publishID string) (id string, newest []ota.Package, err error) {
	if id, err = ota.CleanPublishID(publishID); err != nil {
		return "", nil, err
	}
	newest, err = f.Packages(ctx, ota.PackageFilter{Namespace: ns, Name: id, Newest: true})
	if err == nil && len(newest) == 0 {
		err = ota.Fail(ota.KindNotFound, "missing_entity", "nothing is published as %q", publishID)
	}
	return id, newest, err
}

// OpenBlob opens the bytes of an artifact. It fails with KindCorrupt.
func (f *Fleet) OpenBlob(ctx context.Context, d ota.Digest) (ota.Blob, error) {
	return f.open(ctx, ota.Artifact{Sums: ota.Sums{SHA256: d}})
}

// FileURL is where devices find a file of a publish id: the CoAP URL of
// <publish id>/<name>, or only its path if CoAPRoot knows no more.
func (f *Fleet) FileURL(id, name string) string { return ota.FileURL(f.CoAPRoot(), id, name) }
