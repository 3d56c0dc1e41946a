package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Publication is a set of files published under a publish id (seed 003).
type Publication struct {
	ID      string // as it was given; see ota.CleanPublishID
	Version string // "": of the names of the files, else the next revision; see ota.Revise
	Files   []ota.Artifact
	// Force takes manifests that are refused, and changes a version that was
	// named although updates refer to it. It is noted (see ota.Forced).
	Force bool
}

// Published is what became of a publication.
type Published struct {
	Package   ota.Package    // the version the files belong to, as it is now
	Files     []ota.Artifact // those that were published, each once
	Changed   bool           // false if all of it was there already
	Manifests []Manifest     // of the version
	Forced    []string       // why it would have been refused
}

// maxFiles bounds the files of a version.
const maxFiles = 1000

// PutFile stores the bytes of a file that is to be published. Nothing refers
// to them until Publish does, and if that never happens they are collected.
// It fails with KindTooLarge beyond max bytes, KindNoSpace, or r's own error.
func (f *Fleet) PutFile(ctx context.Context, name string, r io.Reader, max int64) (ota.Artifact, error) {
	sums, err := f.Blobs.Put(ctx, r, max)
	return ota.Artifact{Name: name, Sums: sums}, err
}

// Publish makes files, whose bytes are stored by PutFile, a version of the
// package that a publish id names. Files that count as SUIT manifests are
// checked first. Publishing the same again is harmless. It fails with
//   - KindInvalid: the id, the version or a file's name break a rule, or
//     manifests are refused (a Refusal with every reason);
//   - KindConflict (conflicting_entity): the version is named, updates refer
//     to it, and it would change;
//   - KindUnavailable (upload_expired): the upload took so long that its first
//     files were collected meanwhile.
func (f *Fleet) Publish(ctx context.Context, ns ota.Namespace, n Publication) (Published, error) {
	id, err := ota.CleanPublishID(n.ID)
	if err != nil {
		return Published{}, err
	}
	if n.Files, err = distinct(n.Files); err != nil {
		return Published{}, err
	}
	if n.Version, err = n.version(); err != nil {
		return Published{}, err
	}
	if err := f.whole(ctx, n.Files); err != nil {
		return Published{}, err
	}
	f.publishing.Lock()
	defer f.publishing.Unlock()
	out := Published{Files: n.Files}
	// First on paper: what manifests must be held to is what there will be.
	var before []ota.Package
	var r ota.Revision
	err = f.Store.Read(ctx, func(tx ota.ReadTx) (err error) {
		before, r, err = f.revise(tx, ns, id, n)
		return err
	})
	if err != nil {
		return Published{}, err
	}
	var refused []string
	if out.Manifests, refused, err = f.examine(ctx, ns, id, before, r, n); err != nil {
		return Published{}, err
	}
	out.Forced = refused
	err = f.writeIf(ctx, func(tx ota.Tx) error {
		before, r, err := f.revise(tx, ns, id, n)
		if err != nil {
			return err
		}
		out.Package, out.Changed = f.revised(tx, ns, id, before, r), r.Changed
		if !r.Changed {
			return errNoChange
		}
		if r.Forced {
			out.Forced = append(slices.Clip(refused), fmt.Sprintf("updates refer to %s, which had other files", out.Package.ID))
		}
		if len(out.Forced) > 0 {
			out.Package.NoteForced(forced(ctx, tx, "publish", out.Forced))
		}
		if err := putRevision(tx, out, r); err != nil || !r.Forced {
			return err
		}
		return offerAnew(tx, out.Package)
	})
	if err != nil {
		return Published{}, err
	}
	f.warnForced(ctx, "publish", out.Package.ID, out.Forced)
	return out, nil
}

// offerAnew tells devices that wait for a version that it has other files now.
func offerAnew(tx ota.Tx, p ota.Package) error {
	wait, err := tx.Updates(ota.UpdateFilter{Namespace: p.Namespace, Package: p.ID, Statuses: []ota.Status{ota.Pending}})
	if err != nil {
		return err
	}
	for _, u := range wait {
		if err := putUpdate(tx, u); err != nil {
			return err
		}
	}
	return nil
}

// whole makes sure that the bytes are still there: nothing refers to them yet,
// and uploads may take longer than Collect spares what it does not know. It
// may take as long as reading them, which checks them as well.
func (f *Fleet) whole(ctx context.Context, files []ota.Artifact) error {
	for _, a := range files {
		b, err := f.Blobs.Open(ctx, a.SHA256)
		if ota.KindOf(err) == ota.KindNotFound {
			err = ota.Fail(ota.KindUnavailable, "upload_expired", "the upload took too long, and %s is not kept any more: send it again", a.Name)
		}
		if err != nil {
			return err
		}
		b.Close()
	}
	return nil
}

// distinct drops files that were sent twice. The same name with other bytes
// is KindInvalid: one of them would be lost.
func distinct(files []ota.Artifact) (list []ota.Artifact, err error) {
	if len(files) == 0 || len(files) > maxFiles {
		return nil, ota.Invalid("publish 1 to %d files, not %d", maxFiles, len(files))
	}
	for _, a := range files {
		i := slices.IndexFunc(list, func(b ota.Artifact) bool { return a.Name == b.Name })
		switch {
		case i < 0:
			list = append(list, a)
		case list[i].SHA256 != a.SHA256:
			return nil, ota.Invalid("there are two files named %s: give one of them another name", a.Name)
		}
	}
	return list, nil
}

// version is the one that is said, by the operator or by the names of files.
func (n Publication) version() (string, error) {
	if n.Version == ota.Latest {
		return "", ota.Invalid("a version cannot be named %s, which stands for the newest", ota.Latest)
	}
	if n.Version != "" {
		return n.Version, nil
	}
	names := make([]string, len(n.Files))
	for i, a := range n.Files {
		names[i] = a.Name
	}
	return ota.NamedVersion(names)
}

// revise asks ota.Revise, and holds the answer to the rules of packages.
func (f *Fleet) revise(tx ota.ReadTx, ns ota.Namespace, id string, n Publication) (before []ota.Package, r ota.Revision, err error) {
	before, err = tx.Packages(ota.PackageFilter{Namespace: ns, Name: id, Newest: true})
	if err != nil {
		return nil, r, err
	}
	r, err = ota.Revise(before, n.Version, n.Files, n.Force, func(version string) (bool, error) {
		refer, err := tx.Updates(ota.UpdateFilter{Namespace: ns, Package: ota.PackageID{Name: id, Version: version}, Limit: 1})
		return len(refer) > 0, err
	})
	if err == nil {
		err = f.checkPackage(NewPackage{ID: ota.PackageID{Name: id, Version: r.Version}})
	}
	if err == nil && len(r.Artifacts) > maxFiles {
		err = ota.Invalid("%s=%s would hold more than %d files", id, r.Version, maxFiles)
	}
	return before, r, err
}

// revised is the package as the revision makes it.
func (f *Fleet) revised(tx ota.ReadTx, ns ota.Namespace, id string, before []ota.Package, r ota.Revision) ota.Package {
	p := ota.Package{Namespace: ns, ID: ota.PackageID{Name: id, Version: r.Version}, CreatedAt: tx.Now()}
	if i := indexVersion(before, r.Version); i >= 0 {
		p = before[i]
	} else {
		p.UUID = f.NewID()
		// The order of versions is that of their creation, whatever the clock does.
		if len(before) > 0 && !p.CreatedAt.After(before[0].CreatedAt) {
			p.CreatedAt = before[0].CreatedAt.Add(time.Microsecond)
		}
	}
	p.Artifacts = r.Artifacts
	return p
}

func indexVersion(packages []ota.Package, version string) int {
	return slices.IndexFunc(packages, func(p ota.Package) bool { return p.ID.Version == version })
}

// putRevision writes a version that is new or changed, and tells of it.
func putRevision(tx ota.Tx, out Published, r ota.Revision) error {
	p := out.Package
	if err := tx.PutPackage(p); err != nil {
		return err
	}
	event, data := ota.PackageChanged, map[string]any{"files": names(out.Files)}
	if r.Opened {
		event, data = ota.PackageCreated, nil
	}
	if err := tellPackage(tx, ota.Event{Namespace: p.Namespace, Type: event}, p.ID, data); err != nil || len(out.Forced) == 0 {
		return err
	}
	return tellForced(tx, ota.Event{Namespace: p.Namespace}, p.ID, p.Forced[len(p.Forced)-1], out.Forced)
}

// tellPackage appends an event about a package.
func tellPackage(tx ota.Tx, e ota.Event, id ota.PackageID, more map[string]any) error {
	data := map[string]any{"name": id.Name, "version": id.Version}
	for k, v := range more {
		data[k] = v
	}
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("tell of %s: %w", id, err)
	}
	e.Data = text
	return tx.Append(e)
}

func names(artifacts []ota.Artifact) []string {
	list := make([]string, len(artifacts))
	for i, a := range artifacts {
		list[i] = a.Name
	}
	return list
}

// Unpublish removes exactly that version of a publish id; an alias with
// "latest" then means the one before. It fails with KindInvalid, KindNotFound,
// or KindConflict while updates to the version have not ended.
func (f *Fleet) Unpublish(ctx context.Context, ns ota.Namespace, publishID, version string) error {
	id, err := ota.CleanPublishID(publishID)
	if err != nil {
		return err
	}
	f.publishing.Lock()
	defer f.publishing.Unlock()
	return f.RemovePackage(ctx, ns, ota.PackageID{Name: id, Version: version})
}
