package ota

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A publish id names a set of files on the server of seed 003. Here it is a
// package's name, its files are artifacts, and each revision of them is a
// version of the package.

// notPublishable are the first segments of paths with a meaning of their own
// where files are fetched.
var notPublishable = []string{"b", "m", "u", "r", "e", "rd", "fw", "rd-lookup", ".well-known"}

// CleanPublishID makes a publish id the name of a package: "raw/id" is
// "raw_id", as the original makes a folder of it (ota-server.md 2). It fails
// with KindInvalid (invalid_publish_id) for an id that is empty, longer than
// 200 bytes or not UTF-8, that holds spaces or control characters, or a
// segment that is empty, "." or "..", and for one that would hide a path of
// the server's own.
func CleanPublishID(raw string) (string, error) {
	if err := checkSegments("publish id", "invalid_publish_id", raw); err != nil {
		return "", err
	}
	id := strings.Map(func(r rune) rune {
		if isSlash(r) {
			return '_'
		}
		return r
	}, raw)
	if slices.Contains(notPublishable, id) {
		return "", Fail(KindInvalid, "invalid_publish_id", "publish id %q is reserved: paths below /%s have a meaning of their own", raw, id)
	}
	return id, nil
}

// FilesField is the field of an upload whose parts are stored under their file
// names, so that a form in a browser can send several.
const FilesField = "files"

// StoredName is the name a part of an upload is stored under: the base name of
// its field's name, or of its file name in FilesField (ota-server.md 2). It
// fails with KindInvalid (invalid_file_name) as CleanPublishID does.
func StoredName(field, filename string) (string, error) {
	name := field
	if field == FilesField {
		name = filename
	}
	name = name[strings.LastIndexFunc(name, isSlash)+1:]
	return name, checkSegments("file name", "invalid_file_name", name)
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// checkSegments checks a name whose segments will be parts of paths.
func checkSegments(what, code, s string) error {
	switch {
	case s == "":
		return Fail(KindInvalid, code, "the %s is empty", what)
	case len(s) > maxName:
		return Fail(KindInvalid, code, "the %s is %d bytes long, at most %d are allowed", what, len(s), maxName)
	case !utf8.ValidString(s):
		return Fail(KindInvalid, code, "the %s is not valid UTF-8", what)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return Fail(KindInvalid, code, "%s %q holds spaces or control characters", what, s)
	}
	for start := 0; start <= len(s); {
		end := len(s)
		if i := strings.IndexFunc(s[start:], isSlash); i >= 0 {
			end = start + i
		}
		if segment := s[start:end]; segment == "" || segment == "." || segment == ".." {
			return Fail(KindInvalid, code, "%s %q has a segment %q, which no path can carry", what, s, segment)
		}
		start = end + 1
	}
	return nil
}

// LocateFile finds the file that the path <publish id>/<name> means, in the
// versions of a package, the newest first: the one of the newest version that
// holds it, where a manifest also answers to its name with "latest" for the
// version (ota-server.md 3.3).
func LocateFile(newest []Package, name string) (Package, Artifact, bool) {
	alias, riot := ParseRIOTName(name)
	riot = riot && alias.Manifest && alias.Version == Latest
	for _, p := range newest {
		for _, a := range p.Artifacts {
			if a.Name == name {
				return p, a, true
			}
		}
		for _, a := range p.Artifacts {
			if riot && alias.isOf(a.Name) {
				return p, a, true
			}
		}
	}
	return Package{}, Artifact{}, false
}
