package fleet

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
)

// locatePage is how many versions are looked at at once: a file is mostly in
// the newest.
const locatePage = 8

// Locate finds the file that the path <publish id>/<name> means: that of the
// newest version holding it, see ota.LocateFile. OpenBlob gives its bytes. It
// fails with KindNotFound (missing_entity), also for an id that cannot be.
func (f *Fleet) Locate(ctx context.Context, ns ota.Namespace, publishID, name string) (p ota.Package, a ota.Artifact, err error) {
	missing := ota.Fail(ota.KindNotFound, "missing_entity", "nothing named %.100q is published as %.100q", name, publishID)
	id, err := ota.CleanPublishID(publishID)
	if err != nil {
		return p, a, missing
	}
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		for offset := 0; ; offset += locatePage {
			page, err := tx.Packages(ota.PackageFilter{Namespace: ns, Name: id, Newest: true, Offset: offset, Limit: locatePage})
			if err != nil {
				return err
			}
			var ok bool
			if p, a, ok = ota.LocateFile(page, name); ok {
				return nil
			}
			if len(page) < locatePage {
				return missing
			}
		}
	})
	return p, a, err
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
