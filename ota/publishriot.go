package ota

import (
	"regexp"
	"strings"
)

// Latest stands for a version in the names of RIOT's manifests: the newest.
const Latest = "latest"

// Scheme is how a device is told of a manifest (ota-server.md 4).
type Scheme string

// The schemes. The first finds out by itself which of the others is meant.
const (
	SchemeAuto   Scheme = "auto"
	SchemeDirect Scheme = "direct" // POST to the very address given
	SchemeSlot   Scheme = "slot"   // ask for the free slot, then POST its manifest's URL to suit/trigger
	SchemeV4     Scheme = "v4"     // POST to suit/trigger
)

// ParseScheme reads a scheme, "" as SchemeAuto. It fails with KindInvalid.
func ParseScheme(s string) (Scheme, error) {
	switch sc := Scheme(s); sc {
	case "":
		return SchemeAuto, nil
	case SchemeAuto, SchemeDirect, SchemeSlot, SchemeV4:
		return sc, nil
	}
	return "", Invalid("scheme %q: expected %s, %s, %s or %s", clip(s), SchemeAuto, SchemeDirect, SchemeSlot, SchemeV4)
}

// ManifestName is the name of manifests in the scheme SchemeDirect.
const ManifestName = "manifest"

// RIOTName is a file name as RIOT's build makes them, old and new
// (ota-server.md 3.1, coap-suit.md 6.2).
type RIOTName struct {
	Version  string // may be Latest
	Manifest bool   // else it is an image
	Slot     string // "0" or "1", "" if it is for both or for none

	before, after string // around the version
}

var (
	riotSlotManifest = regexp.MustCompile(`^((?:.+-)?slot([01])\.riot\.suit\.)([^.]+)(\.bin)$`)
	riotManifest     = regexp.MustCompile(`^((?:.+-)?riot\.suit(?:v4)?(?:_signed)?\.())([^.]+)(\.bin)$`)
	riotSlotImage    = regexp.MustCompile(`^((?:.+-)?slot([01])\.)([^.]+)((?:\.riot)?\.bin)$`)
	riotImage        = regexp.MustCompile(`^(fw\.())([^.]+)(\.bin)$`)
)

// ParseRIOTName reads such a name; ok is false if it is none.
func ParseRIOTName(s string) (n RIOTName, ok bool) {
	for _, form := range []struct {
		re       *regexp.Regexp
		manifest bool
	}{{riotSlotManifest, true}, {riotManifest, true}, {riotSlotImage, false}, {riotImage, false}} {
		if m := form.re.FindStringSubmatch(s); m != nil && m[3] != "riot" {
			return RIOTName{Version: m[3], Manifest: form.manifest, Slot: m[2], before: m[1], after: m[4]}, true
		}
	}
	return RIOTName{}, false
}

// Alias is the name under which the newest of these files is found.
func (n RIOTName) Alias() RIOTName {
	n.Version = Latest
	return n
}

// isOf reports whether n is the alias of a file.
func (n RIOTName) isOf(name string) bool {
	if !strings.HasPrefix(name, n.before) || !strings.HasSuffix(name, n.after) { // which is cheap to see
		return false
	}
	of, ok := ParseRIOTName(name)
	return ok && of.Alias() == n
}

func (n RIOTName) String() string { return n.before + n.Version + n.after }

// SchemeOf tells by which scheme devices are told of a file, ok false if its
// name is not a manifest's.
func SchemeOf(name string) (s Scheme, ok bool) {
	if name == ManifestName {
		return SchemeDirect, true
	}
	n, riot := ParseRIOTName(name)
	switch {
	case !riot || !n.Manifest:
		return "", false
	case n.Slot != "":
		return SchemeSlot, true
	}
	return SchemeV4, true
}

// NamedVersion is the version that the names of files carry, "" if none does.
// It fails with KindInvalid if they carry several.
func NamedVersion(names []string) (version string, err error) {
	for _, name := range names {
		n, ok := ParseRIOTName(name)
		if !ok || n.Version == Latest || n.Version == version {
			continue
		}
		if version != "" {
			return "", Invalid("the files are of several versions, %s and %s: publish them one by one, or say which version they are", version, n.Version)
		}
		version = n.Version
	}
	return version, nil
}

// Notifiable finds the manifests that devices are told of, in the versions of
// a package, the newest first: those of the newest version that has any. If
// the scheme is SchemeAuto it says which it is.
func Notifiable(newest []Package, s Scheme) (p Package, manifests []Artifact, found Scheme) {
	for _, p := range newest {
		for _, try := range []Scheme{SchemeDirect, SchemeSlot, SchemeV4} {
			if s != SchemeAuto && s != try {
				continue
			}
			for _, a := range p.Artifacts {
				if of, ok := SchemeOf(a.Name); ok && of == try {
					manifests = append(manifests, a)
				}
			}
			if len(manifests) > 0 {
				return p, manifests, try
			}
		}
	}
	return Package{}, nil, ""
}
