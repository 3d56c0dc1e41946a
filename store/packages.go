package store

import (
	"encoding/json"
	"fmt"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

func (t *readTx) Package(ns ota.Namespace, id ota.PackageID) (ota.Package, error) {
	row, err := t.q.PackageByID(t.ctx, query.PackageByIDParams{Namespace: string(ns), Name: id.Name, Version: id.Version})
	if err != nil {
		return ota.Package{}, t.found("read package", err, ota.MissingPackage(id))
	}
	return t.packageOf(row)
}

func (t *readTx) Packages(f ota.PackageFilter) ([]ota.Package, error) {
	tail := t.narrow()
	tail.equal("p.name", f.Name)
	order := "p.name, p.created_at, p.version"
	if f.Newest {
		order = "p.name, p.created_at DESC, p.version DESC"
	}
	tail.page(order, f.Offset, f.Limit)
	rows, err := tail.queries().Packages(t.ctx, string(f.Namespace))
	if err != nil {
		return nil, t.fail("list packages", err)
	}
	list := make([]ota.Package, len(rows))
	for i, row := range rows {
		if list[i], err = t.packageOf(row); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// packageOf fetches the artifacts that belong to the row.
func (t *readTx) packageOf(row query.Package) (ota.Package, error) {
	p := ota.Package{
		Namespace:   ota.Namespace(row.Namespace),
		UUID:        row.Uuid,
		ID:          ota.PackageID{Name: row.Name, Version: row.Version},
		Description: row.Description,
		Vendor:      row.Vendor,
		CreatedAt:   instant(row.CreatedAt),
	}
	var err error
	if p.Forced, err = forcedOf(row.Forced); err != nil {
		return p, err
	}
	rows, err := t.q.Artifacts(t.ctx, query.ArtifactsParams{Namespace: row.Namespace, Package: row.Name, Version: row.Version})
	for _, a := range rows {
		p.Artifacts = append(p.Artifacts, ota.Artifact{
			Name:      a.Name,
			Sums:      ota.Sums{Size: a.Size, SHA256: ota.Digest(a.Sha256), SHA1: a.Sha1, MD5: a.Md5},
			Signature: a.Signature,
		})
	}
	return p, t.fail("read artifacts", err)
}

// forcedOf reads what textOf wrote.
func forcedOf(text string) (list []ota.Forced, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("read what was forced: %w", err)
	}
	return list, nil
}

func textOf(forced []ota.Forced) (string, error) {
	if len(forced) == 0 {
		return "", nil
	}
	text, err := json.Marshal(forced)
	return string(text), err
}

func (t *readTx) ArtifactByDigest(ns ota.Namespace, prefix string) (ota.Artifact, error) {
	row, err := t.q.ArtifactByDigest(t.ctx, query.ArtifactByDigestParams{Sha256: prefix, Sha256_2: prefix + "g", Namespace: string(ns)}) // g comes after all digits
	if err != nil {
		return ota.Artifact{}, t.found("find a digest", err, ota.Fail(ota.KindNotFound, "missing_entity", "no file has such a digest"))
	}
	return ota.Artifact{Name: row.Name, Signature: row.Signature, Sums: ota.Sums{Size: row.Size, SHA256: ota.Digest(row.Sha256), SHA1: row.Sha1, MD5: row.Md5}}, nil
}

func (t *readTx) BlobInUse(d ota.Digest) (bool, error) {
	used, err := t.q.BlobInUse(t.ctx, string(d))
	return used, t.fail("look for a blob's use", err)
}

func (t *writeTx) PutPackage(p ota.Package) error {
	const doing = "put package"
	ns, id := string(p.Namespace), p.ID
	forced, err := textOf(p.Forced)
	if err != nil {
		return t.fail(doing, err)
	}
	if err := t.q.PutPackage(t.ctx, query.PutPackageParams{Namespace: ns, Name: id.Name, Version: id.Version,
		Uuid: p.UUID, Description: p.Description, Vendor: p.Vendor, CreatedAt: micros(p.CreatedAt), Forced: forced}); err != nil {
		return t.fail(doing, err)
	}
	if err := t.q.ClearArtifacts(t.ctx, query.ClearArtifactsParams{Namespace: ns, Package: id.Name, Version: id.Version}); err != nil {
		return t.fail(doing, err)
	}
	for i, a := range p.Artifacts {
		if err := t.q.AddArtifact(t.ctx, query.AddArtifactParams{Namespace: ns, Package: id.Name, Version: id.Version, Pos: int64(i),
			Name: a.Name, Size: a.Size, Sha256: string(a.SHA256), Sha1: a.SHA1, Md5: a.MD5, Signature: a.Signature}); err != nil {
			return t.fail(doing, err)
		}
	}
	return nil
}

func (t *writeTx) DeletePackage(ns ota.Namespace, id ota.PackageID) error {
	n, err := t.q.DeletePackage(t.ctx, query.DeletePackageParams{Namespace: string(ns), Name: id.Name, Version: id.Version})
	return t.changed("delete package", n, err, ota.MissingPackage(id))
}
