package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// InstalledPackages lists what devices of a namespace reported as installed,
// each package once, ordered by name then version, and counts all of it.
func (f *Fleet) InstalledPackages(ctx context.Context, ns ota.Namespace, p ota.Page) (list []ota.PackageID, total int, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		list, total, err = tx.InstalledPackages(ns, p)
		return err
	})
	return list, total, err
}

// InstalledVersions lists a package's installed versions in a namespace, with
// how many devices have each, and counts the versions. A package nobody has
// has none.
func (f *Fleet) InstalledVersions(ctx context.Context, ns ota.Namespace, name string, p ota.Page) (list []ota.VersionCount, total int, err error) {
	if err := ota.ValidateInstalled("name", name); err != nil {
		return nil, 0, err
	}
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		list, total, err = tx.InstalledVersions(ns, name, p)
		return err
	})
	return list, total, err
}

// maxSurvey bounds the packages one question may be about.
const maxSurvey = 1000

// Affected tells which of some packages devices of a namespace have, in the
// order of name then version; devices that have none are left out. It fails
// with KindInvalid if asked about more than 1000 packages at once.
func (f *Fleet) Affected(ctx context.Context, ns ota.Namespace, ids []ota.PackageID) (map[ota.DeviceID][]ota.PackageID, error) {
	if len(ids) > maxSurvey {
		return nil, ota.Invalid("ask about at most %d packages at once, not %d", maxSurvey, len(ids))
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b ota.PackageID) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	affected := map[ota.DeviceID][]ota.PackageID{}
	err := f.Store.Read(ctx, func(tx ota.ReadTx) error {
		for _, id := range slices.Compact(ids) {
			if err := validateInstalled(id); err != nil {
				return err
			}
			devices, err := tx.InstalledOn(ns, id)
			if err != nil {
				return err
			}
			for _, d := range devices {
				affected[d] = append(affected[d], id)
			}
		}
		return nil
	})
	return affected, err
}

func validateInstalled(id ota.PackageID) error {
	if err := ota.ValidateInstalled("name", id.Name); err != nil {
		return err
	}
	return ota.ValidateInstalled("version", id.Version)
}

// CountActivated counts devices first seen at or after since and before until.
func (f *Fleet) CountActivated(ctx context.Context, ns ota.Namespace, since, until time.Time) (n int, err error) {
	f.attempt(ctx, taskSeen, f.flushSeen)
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		n, err = tx.CountActivated(ns, since, until)
		return err
	})
	return n, err
}
