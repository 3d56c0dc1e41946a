package operator

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/suit"
)

// verification is what a manifest is held to, as flags say it.
type verification struct {
	keys, files   []string
	vendor, class string
	last          uint64
	above         bool // last was given
}

// check holds a manifest to what was asked for. What is told is of this
// machine: there is no server that has files or knows devices.
func (p verification) check(manifest string) (*suit.Verdict, error) {
	if p.class != "" && p.vendor == "" {
		return nil, usage.Errorf("--class needs --vendor")
	}
	trusted, err := readKeys(p.keys)
	if err != nil {
		return nil, err
	}
	given := &givenFiles{storedFiles: storedFiles{}, used: map[string]bool{}}
	defer given.close()
	if err := given.read(p.files); err != nil {
		return nil, err
	}
	file, err := readSmall(manifest, suit.MaxEnvelope)
	if err != nil {
		return nil, err
	}
	v, err := suit.Check(file, suit.Rules{Trusted: trusted, Stored: given.find})
	if err != nil || v.Manifest == nil {
		return v, err
	}
	v.Findings = slices.DeleteFunc(v.Findings, func(f suit.Finding) bool { return f.Code == suit.FoundElsewhere })
	v.Findings = slices.Concat(v.Findings, p.forOthers(v), p.old(v), given.inside(v.Envelope), given.left())
	return v, nil
}

func against(code, format string, args ...any) suit.Finding {
	return suit.Finding{Severity: suit.SeverityError, Code: code, Text: clean(fmt.Sprintf(format, args...))}
}

// forOthers finds devices that a manifest is for, and should not be.
func (p verification) forOthers(v *suit.Verdict) (found []suit.Finding) {
	if p.vendor == "" {
		return nil
	}
	vendor := identifier(p.vendor, suit.VendorID)
	class := identifier(p.class, func(text string) uuid.UUID { return suit.ClassID(vendor, text) })
	if slices.ContainsFunc(v.Findings, func(f suit.Finding) bool { return f.Code == suit.FoundAnyClass }) {
		found = append(found, against(suit.FoundAnyClass, "the manifest is for any device, not only those of %s", named(p.vendor, vendor)))
	}
	for _, c := range v.Classes {
		switch {
		case c.Vendor != vendor:
			found = append(found, against(suit.FoundClass, "the manifest is for devices of vendor %s, not of %s", c.Vendor, named(p.vendor, vendor)))
		case p.class != "" && c.ID != class:
			found = append(found, against(suit.FoundClass, "the manifest is for class %s of that vendor, not for %s", c.ID, named(p.class, class)))
		}
	}
	return found
}

// named tells a text with the identifier that was made of it.
func named(text string, id uuid.UUID) string {
	if text == id.String() {
		return text
	}
	return fmt.Sprintf("%s (%s)", text, id)
}

func (p verification) old(v *suit.Verdict) []suit.Finding {
	if !p.above || v.Manifest.Sequence > p.last {
		return nil
	}
	return []suit.Finding{against(suit.FoundSequence, "sequence number %d is not above %d", v.Manifest.Sequence, p.last)}
}

// givenFiles are found by their whole URI, or by the name it ends in.
type givenFiles struct {
	storedFiles
	used   map[string]bool // those that were asked for
	missed []string        // URIs of others that were
}

// read opens files, each FILE or URI=FILE.
func (s *givenFiles) read(files []string) error {
	for _, f := range files {
		uri, name, both := strings.Cut(f, "=")
		if !both {
			uri, name = filepath.Base(f), f
		}
		if _, err := s.add(uri, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *givenFiles) find(uri string) (suit.File, error) {
	name, err := url.PathUnescape(path.Base(uri))
	if err != nil {
		name = uri
	}
	for _, known := range []string{uri, name} {
		if f, err := s.storedFiles.find(known); err == nil {
			s.used[known] = true
			return f, nil
		}
	}
	if !slices.Contains(s.missed, uri) {
		s.missed = append(s.missed, uri)
	}
	return suit.File{}, suit.ErrElsewhere
}

// inside compares the files in the envelope with those of the same name.
func (s *givenFiles) inside(e *suit.Envelope) (found []suit.Finding) {
	for _, p := range e.Payloads {
		for _, name := range []string{p.Name, strings.TrimPrefix(p.Name, "#")} {
			f, err := s.storedFiles.find(name)
			if err != nil {
				continue
			}
			s.used[name] = true
			if sum := sha256.Sum256(p.Content); !bytes.Equal(f.SHA256, sum[:]) {
				found = append(found, against(suit.FoundPayloadDigest, "%s in the envelope is another file than %s", p.Name, name))
			}
		}
	}
	return found
}

// left are the files that were not compared with anything.
func (s *givenFiles) left() (found []suit.Finding) {
	for _, uri := range s.missed {
		f := against(suit.FoundMissing, "%s was not checked: give its file with --file", uri)
		f.Severity = suit.SeverityWarning
		found = append(found, f)
	}
	for _, name := range slices.Sorted(maps.Keys(s.storedFiles)) {
		if !s.used[name] {
			found = append(found, against(suit.FoundMissing, "the manifest names no file %s", name))
		}
	}
	return found
}
