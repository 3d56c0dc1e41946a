package store

import (
	"errors"
	"math"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

func (t *readTx) CountActivated(ns ota.Namespace, since, until time.Time) (int, error) {
	n, err := t.q.CountActivated(t.ctx, query.CountActivatedParams{Namespace: string(ns), Since: micros(since), Until: micros(until)})
	return int(n), t.fail("count activated devices", err)
}

func (t *readTx) InstalledPackages(ns ota.Namespace, p ota.Page) ([]ota.PackageID, int, error) {
	limit, offset := piece(p)
	rows, err := t.q.InstalledPackages(t.ctx, query.InstalledPackagesParams{Namespace: string(ns), Max: limit, Skip: offset})
	list := make([]ota.PackageID, len(rows))
	for i, row := range rows {
		list[i] = ota.PackageID{Name: row.Name, Version: row.Version}
	}
	total, e := t.q.CountInstalledPackages(t.ctx, string(ns))
	return list, int(total), t.fail("list installed packages", errors.Join(err, e))
}

func (t *readTx) InstalledVersions(ns ota.Namespace, name string, p ota.Page) ([]ota.VersionCount, int, error) {
	limit, offset := piece(p)
	rows, err := t.q.InstalledVersions(t.ctx, query.InstalledVersionsParams{Namespace: string(ns), Name: name, Max: limit, Skip: offset})
	list := make([]ota.VersionCount, len(rows))
	for i, row := range rows {
		list[i] = ota.VersionCount{Version: row.Version, Devices: int(row.Devices)}
	}
	total, e := t.q.CountInstalledVersions(t.ctx, query.CountInstalledVersionsParams{Namespace: string(ns), Name: name})
	return list, int(total), t.fail("list installed versions", errors.Join(err, e))
}

func (t *readTx) ConstrainedClasses(ns ota.Namespace) ([]ota.Constrained, error) {
	rows, err := t.q.ConstrainedClasses(t.ctx, string(ns))
	list := make([]ota.Constrained, len(rows))
	for i, row := range rows {
		list[i] = ota.Constrained{Vendor: row.Vendor, Class: row.Class, Sequence: uint64(row.Sequence)}
	}
	return list, t.fail("list classes of constrained devices", err)
}

func (t *readTx) InstalledOn(ns ota.Namespace, id ota.PackageID) ([]ota.DeviceID, error) {
	rows, err := t.q.InstalledOn(t.ctx, query.InstalledOnParams{Namespace: string(ns), Name: id.Name, Version: id.Version})
	list := make([]ota.DeviceID, len(rows))
	for i, row := range rows {
		list[i] = ota.DeviceID(row)
	}
	return list, t.fail("list devices that have a package", err)
}

// piece is a page as SQL counts.
func piece(p ota.Page) (limit, offset int32) {
	limit = int32(min(max(0, p.Limit), math.MaxInt32))
	if limit == 0 {
		limit = math.MaxInt32
	}
	return limit, int32(min(max(0, p.Offset), math.MaxInt32))
}
