package fleet

import (
	"context"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/sign"
)

// NewPackage is what an operator says of a package when publishing it.
type NewPackage struct {
	ID          ota.PackageID
	Description string
	Vendor      string
	Signature   string // see room sign; "" if unsigned
	// Replace allows other bytes under an id that updates already refer to.
	Replace bool
}

// maxText bounds an operator's free texts, in bytes.
const maxText = 10_000

// PutPackage publishes a package of one file. The bytes are stored and
// checked before anything refers to them; publishing the same again is
// harmless. It fails with
//   - KindInvalid: names or texts break a rule, or a trusted key is
//     configured and did not sign these bytes under this id (invalid_signature);
//   - KindConflict (conflicting_entity): the id has updates and other bytes;
//   - KindTooLarge, KindNoSpace, or r's own error.
func (f *Fleet) PutPackage(ctx context.Context, ns ota.Namespace, n NewPackage, r io.Reader) (ota.Package, error) {
	if err := f.checkPackage(n); err != nil {
		return ota.Package{}, err
	}
	if len(f.TrustedKeys) > 0 && n.Signature == "" {
		return ota.Package{}, ota.Fail(ota.KindInvalid, "invalid_signature", "%s is refused: this server takes packages signed by a trusted key only", n.ID)
	}
	sums, err := f.Blobs.Put(ctx, r, f.MaxUpload)
	if err != nil {
		return ota.Package{}, err
	}
	if len(f.TrustedKeys) > 0 {
		if err := sign.Verify(f.TrustedKeys, n.ID, sums, n.Signature); err != nil {
			return ota.Package{}, ota.Fail(ota.KindInvalid, "invalid_signature", "%s is refused: %v", n.ID, err)
		}
	}
	var p ota.Package
	err = f.write(ctx, func(tx ota.Tx) error {
		if p, err = f.mayPut(tx, ns, n, sums); err != nil {
			return err
		}
		p.Description, p.Vendor = n.Description, n.Vendor
		p.Artifacts = []ota.Artifact{{Name: ota.DefaultArtifact, Sums: sums, Signature: n.Signature}}
		if err := tx.PutPackage(p); err != nil {
			return err
		}
		return tx.Append(ota.Event{Namespace: ns, Type: ota.PackageCreated, Data: packageData(n.ID)})
	})
	return p, err
}

func (f *Fleet) checkPackage(n NewPackage) error {
	if err := n.ID.Validate(); err != nil {
		return err
	}
	for _, rule := range []struct {
		what, s string
		re      *regexp.Regexp
	}{{"name", n.ID.Name, f.PackageName}, {"version", n.ID.Version, f.PackageVersion}} {
		if rule.re != nil && !rule.re.MatchString(rule.s) {
			return ota.Invalid("package %s %q does not match the configured pattern %s", rule.what, rule.s, rule.re)
		}
	}
	for what, s := range map[string]string{"description": n.Description, "vendor": n.Vendor, "signature": n.Signature} {
		if err := checkText(what, s); err != nil {
			return err
		}
	}
	return nil
}

// checkText refuses a free text that is too long or that not every database
// can hold.
func checkText(what, s string) error {
	switch {
	case len(s) > maxText:
		return ota.Invalid("%s may hold at most %d bytes", what, maxText)
	case !utf8.ValidString(s) || strings.Contains(s, "\x00"):
		return ota.Invalid("%s is not UTF-8, or holds a NUL", what)
	}
	return nil
}

// managed reads a package an operator names. A name that none can have is
// KindInvalid rather than KindNotFound.
func managed(tx ota.ReadTx, ns ota.Namespace, id ota.PackageID) (ota.Package, error) {
	if err := id.Validate(); err != nil {
		return ota.Package{}, err
	}
	return tx.Package(ns, id)
}

// mayPut returns the package to write: a new one, or the existing one whose
// place it takes.
func (f *Fleet) mayPut(tx ota.Tx, ns ota.Namespace, n NewPackage, sums ota.Sums) (ota.Package, error) {
	p, err := tx.Package(ns, n.ID)
	switch {
	case ota.KindOf(err) == ota.KindNotFound && err != nil:
		return ota.Package{Namespace: ns, UUID: f.NewID(), ID: n.ID, CreatedAt: tx.Now()}, nil
	case err != nil:
		return ota.Package{}, err
	case p.Main().SHA256 == sums.SHA256 || n.Replace:
		return p, nil
	}
	launched, err := tx.Updates(ota.UpdateFilter{Namespace: ns, Package: n.ID, Limit: 1})
	if err == nil && len(launched) > 0 {
		err = ota.Fail(ota.KindConflict, "conflicting_entity", "%s has other bytes and updates refer to it: publish a new version, or say that you mean to replace it", n.ID)
	}
	return p, err
}

// DescribePackage changes a package's description. It fails with KindInvalid
// or KindNotFound.
func (f *Fleet) DescribePackage(ctx context.Context, ns ota.Namespace, id ota.PackageID, text string) error {
	if err := checkText("description", text); err != nil {
		return err
	}
	return f.write(ctx, func(tx ota.Tx) error {
		p, err := managed(tx, ns, id)
		if err != nil {
			return err
		}
		p.Description = text
		return tx.PutPackage(p)
	})
}

// RemovePackage deletes a package; its bytes go at the next collection. It
// fails with KindInvalid, KindNotFound, or KindConflict (conflicting_entity)
// while updates to it have not ended.
func (f *Fleet) RemovePackage(ctx context.Context, ns ota.Namespace, id ota.PackageID) error {
	return f.write(ctx, func(tx ota.Tx) error {
		if _, err := managed(tx, ns, id); err != nil {
			return err
		}
		active, err := tx.Updates(ota.UpdateFilter{Namespace: ns, Package: id, Statuses: []ota.Status{ota.Pending, ota.InFlight}, Limit: 1})
		if err != nil {
			return err
		}
		if len(active) > 0 {
			return ota.Fail(ota.KindConflict, "conflicting_entity", "%s is still to be installed on devices: cancel those updates first", id)
		}
		if err := tx.DeletePackage(ns, id); err != nil {
			return err
		}
		return tx.Append(ota.Event{Namespace: ns, Type: ota.PackageDeleted, Data: packageData(id)})
	})
}

// Package reads one package. It fails with KindInvalid (no package can have
// that id) or KindNotFound (missing_package).
func (f *Fleet) Package(ctx context.Context, ns ota.Namespace, id ota.PackageID) (p ota.Package, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		p, err = managed(tx, ns, id)
		return err
	})
	return p, err
}

// Packages lists packages.
func (f *Fleet) Packages(ctx context.Context, filter ota.PackageFilter) (list []ota.Package, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		list, err = tx.Packages(filter)
		return err
	})
	return list, err
}

// OpenArtifact opens a package's file for an operator. It fails with
// KindInvalid, KindNotFound or KindCorrupt.
func (f *Fleet) OpenArtifact(ctx context.Context, ns ota.Namespace, id ota.PackageID, name string) (ota.Blob, ota.Artifact, error) {
	p, err := f.Package(ctx, ns, id)
	if err != nil {
		return nil, ota.Artifact{}, err
	}
	a, ok := p.Artifact(name)
	if !ok {
		return nil, ota.Artifact{}, ota.Fail(ota.KindNotFound, "missing_entity", "%s has no file %q", id, name)
	}
	b, err := f.open(ctx, a)
	return b, a, err
}
