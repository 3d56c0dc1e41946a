package ota

import (
	"slices"
	"strconv"
	"strings"
)

// Revision is what becomes of a package by files published for it.
type Revision struct {
	Version   string
	Artifacts []Artifact // of the version afterwards
	Opened    bool       // there was no such version
	Changed   bool       // false if all of it was there already
	Forced    bool       // updates refer to the version as it was
}

// Revise decides which version published files belong to, given the versions
// there are, the newest first. A version that is named takes them, unless that
// changes it while updates refer to it: that is KindConflict
// (conflicting_entity) without force. Otherwise versions are r1, r2, …: names
// new to the newest one join it; replacing a name, or adding to a version
// that updates refer to, opens the next one, which inherits the other files.
// Used tells whether updates refer to a version, and fails with its own error.
func Revise(newest []Package, version string, files []Artifact, force bool, used func(version string) (bool, error)) (Revision, error) {
	if version != "" {
		return reviseNamed(newest, version, files, force, used)
	}
	last, n := lastRevision(newest)
	merged, added, replaced := merge(last.Artifacts, files)
	current := n > 0 && !hidden(newest, last.ID, files)
	if current && !added && !replaced {
		return Revision{Version: last.ID.Version, Artifacts: merged}, nil
	}
	if current && !replaced {
		if taken, err := used(last.ID.Version); err != nil || !taken {
			return Revision{Version: last.ID.Version, Artifacts: merged, Changed: true}, err
		}
	}
	for {
		n++
		next := revision(n)
		if slices.ContainsFunc(newest, func(p Package) bool { return p.ID.Version == next }) {
			continue
		}
		// One that was removed may still be what devices have.
		if taken, err := used(next); err != nil || !taken {
			return Revision{Version: next, Artifacts: merged, Opened: true, Changed: true}, err
		}
	}
}

// hidden reports whether a version newer than id has files of these names: it
// is those that would be found.
func hidden(newest []Package, id PackageID, files []Artifact) bool {
	for _, p := range newest {
		if p.ID == id {
			return false
		}
		for _, f := range files {
			if _, there := p.Artifact(f.Name); there {
				return true
			}
		}
	}
	return false
}

func reviseNamed(newest []Package, version string, files []Artifact, force bool, used func(string) (bool, error)) (Revision, error) {
	i := slices.IndexFunc(newest, func(p Package) bool { return p.ID.Version == version })
	if i < 0 {
		merged, _, _ := merge(nil, files)
		return Revision{Version: version, Artifacts: merged, Opened: true, Changed: true}, nil
	}
	merged, added, replaced := merge(newest[i].Artifacts, files)
	r := Revision{Version: version, Artifacts: merged, Changed: added || replaced}
	if !r.Changed {
		return r, nil
	}
	taken, err := used(version)
	r.Forced = taken && force
	if err == nil && taken && !force {
		err = Fail(KindConflict, "conflicting_entity", "%s has other files and updates refer to it: publish a new version, or force it", newest[i].ID)
	}
	return r, err
}

func revision(n int) string { return "r" + strconv.Itoa(n) }

// maxRevision is the last revision counted from; what is named beyond it was
// named by hand.
const maxRevision = 1_000_000_000

// lastRevision finds the highest of the versions r1, r2, …; n is 0 if there is
// none.
func lastRevision(packages []Package) (last Package, n int) {
	for _, p := range packages {
		digits, ok := strings.CutPrefix(p.ID.Version, "r")
		if i, err := strconv.Atoi(digits); ok && err == nil && i > n && i <= maxRevision && revision(i) == p.ID.Version {
			last, n = p, i
		}
	}
	return last, n
}

// merge puts files among those there are. The same bytes under the same name
// are neither added nor replaced.
func merge(have, files []Artifact) (merged []Artifact, added, replaced bool) {
	merged = slices.Clone(have)
	for _, f := range files {
		i := slices.IndexFunc(merged, func(a Artifact) bool { return a.Name == f.Name })
		switch {
		case i < 0:
			merged, added = append(merged, f), true
		case merged[i].SHA256 != f.SHA256:
			merged[i], replaced = f, true
		}
	}
	return merged, added, replaced
}
