package rvi

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
)

// Unit is what one transfer is about: a package in 2015, an update since 2016
// (rvi.md 5). One of the two is set.
type Unit struct {
	Package ota.PackageID
	Update  ota.UpdateID
}

// longestID is how long an update's id may be and still name a file everywhere.
const longestID = 200

// ID names the unit on a device, as one safe path element. A package becomes
// its name, "-" and its version, percent-encoded; hyphens of the version are
// encoded too, so that no two packages share an id (rvi.md 6.1, Q17). What
// would be too long for a file name is named by its SHA-256.
func (u Unit) ID() ota.UpdateID {
	if u.Update != "" {
		return u.Update
	}
	id := escape(u.Package.Name, "-") + "-" + escape(u.Package.Version, "")
	if id[0] == '.' { // no hidden file
		id = "%2E" + id[1:]
	}
	if len(id) > longestID {
		sum := sha256.Sum256([]byte(id))
		return ota.UpdateID(hex.EncodeToString(sum[:]))
	}
	return ota.UpdateID(id)
}

func (u Unit) String() string {
	if u.Update != "" {
		return string(u.Update)
	}
	return u.Package.String()
}

// escape percent-encodes all but letters, digits, ".", "_", "~" and what is
// given.
func escape(s, also string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._~"+also, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// checkPackage holds a package against rvi.md 4.1; the codes are
// bad_package_name and bad_package_version.
func checkPackage(p ota.PackageID) error {
	if !goodName(p.Name) {
		return ota.Fail(ota.KindInvalid, "bad_package_name", "a package name has 1 to 200 bytes, no slash and no control character")
	}
	if !goodName(p.Version) {
		return ota.Fail(ota.KindInvalid, "bad_package_version", "a package version has 1 to 200 bytes, no slash and no control character")
	}
	return nil
}

func goodName(s string) bool {
	return s != "" && len(s) <= 200 && s != "." && s != ".." && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) })
}

// ordered sorts units, so that the same input always gives the same output.
func ordered(list []Unit) []Unit {
	key := func(u Unit) []string { return []string{string(u.Update), u.Package.Name, u.Package.Version} }
	slices.SortFunc(list, func(a, b Unit) int { return slices.Compare(key(a), key(b)) })
	return list
}
