package fleet

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// Manifest is what is known of a stored file that is a manifest, by what it
// holds or by its name.
type Manifest struct {
	Name     string
	SUIT     bool // else it is not, and was not checked
	Sequence uint64
	Signer   string       // fingerprint of the trusted key; "" if it is nobody's
	Classes  []suit.Class // of devices it is for; none if it is for any
	Findings []suit.Finding
}

// State tells in a few words what was found.
func (m Manifest) State() string {
	has := func(match func(suit.Finding) bool) bool { return slices.ContainsFunc(m.Findings, match) }
	switch {
	case has(func(f suit.Finding) bool { return f.Severity == suit.SeverityError }):
		return "with errors" // forced, or files have changed since
	case !m.SUIT:
		return "not SUIT, unchecked"
	case has(func(f suit.Finding) bool { return f.Code == suit.FoundUnchecked }):
		return "SUIT, signature unchecked"
	}
	return "SUIT, checked"
}

// Refusal is why manifests are refused: all reasons, not only the first. It is
// KindInvalid (refused_manifest).
type Refusal struct{ Reasons []string }

func (r *Refusal) Error() string { return "the manifest is refused: " + strings.Join(r.Reasons, "; ") }

// Unwrap makes it an ota.Error.
func (r *Refusal) Unwrap() error {
	return ota.Fail(ota.KindInvalid, "refused_manifest", "%s", r.Error())
}

// foundNotSUIT is the code of what RequireSUIT finds.
const foundNotSUIT = "not_suit"

// examine checks the manifests of a version that is about to be. What is
// wrong with those that come with the publication refuses it, unless it is
// forced; of those that were there before it is told. With TrustedKeys, one
// that no trusted key signed is refused by force as well.
func (f *Fleet) examine(ctx context.Context, ns ota.Namespace, id string, before []ota.Package, r ota.Revision, n Publication) (list []Manifest, forced []string, err error) {
	p := ota.Package{ID: ota.PackageID{Name: id, Version: r.Version}, Artifacts: r.Artifacts}
	kin := slices.Clone(p.Artifacts) // of the same release: they share a sequence number
	if i := indexVersion(before, r.Version); i >= 0 {
		kin = append(kin, before[i].Artifacts...)
		before = slices.Clone(before)
		before[i] = p
	} else {
		before = slices.Insert(slices.Clone(before), 0, p)
	}
	known, err := f.classes(ctx, ns)
	if err != nil {
		return nil, nil, err
	}
	l := &ledger{f: f, ctx: ctx, ns: ns, kin: kin, classes: known}
	unvouched := false
	for _, a := range p.Artifacts {
		comes := r.Changed && slices.ContainsFunc(n.Files, func(b ota.Artifact) bool { return a.Name == b.Name })
		rules := suit.Rules{Trusted: f.SUITKeys, Stored: shelf{f, ctx, ns, id, before}.stored, Known: known.known}
		if comes { // others were above the last when they came
			rules.Last = l.last
		}
		m, ok, err := f.check(ctx, ns, a, rules)
		if err = errors.Join(err, l.err); err != nil {
			return nil, nil, err
		}
		if !ok {
			continue
		}
		list = append(list, m)
		if comes {
			forced = append(forced, f.against(m, a)...)
			unvouched = unvouched || !f.vouched(m, a)
		}
	}
	if len(forced) > 0 && !n.Force || unvouched {
		return nil, nil, &Refusal{forced}
	}
	return list, forced, nil
}

// vouched reports whether a file may be a manifest where TrustedKeys must have
// signed whatever is uploaded: those of RIOT and others carry their signature,
// and one of no known form has it beside it, as any package's file.
func (f *Fleet) vouched(m Manifest, a ota.Artifact) bool {
	return len(f.TrustedKeys) == 0 || m.Signer != "" || a.Signature != ""
}

// against are the reasons why a manifest is refused; there is one at least if
// it is not vouched for.
func (f *Fleet) against(m Manifest, a ota.Artifact) []string {
	reasons := m.reasons()
	if len(reasons) == 0 && !f.vouched(m, a) {
		reasons = append(reasons, a.Name+": no trusted key signed it")
	}
	return reasons
}

func (m Manifest) reasons() (texts []string) {
	for _, f := range m.Findings {
		if f.Severity == suit.SeverityError {
			texts = append(texts, m.Name+": "+f.Text)
		}
	}
	return texts
}

// check looks at a file; ok is false if it is no manifest at all.
func (f *Fleet) check(ctx context.Context, ns ota.Namespace, a ota.Artifact, rules suit.Rules) (m Manifest, ok bool, err error) {
	text, err := f.suitFile(ctx, a)
	if err != nil {
		return m, false, err
	}
	m.Name, m.SUIT = a.Name, text != nil
	if !m.SUIT {
		_, named := ota.SchemeOf(a.Name)
		switch {
		case named && f.RequireSUIT:
			m.Findings = []suit.Finding{{Severity: suit.SeverityError, Code: foundNotSUIT, Text: "it is not a SUIT manifest, and this server takes no others"}}
		case named && !f.vouched(m, a):
			m.Findings = []suit.Finding{{Severity: suit.SeverityError, Code: suit.FoundUntrusted, Text: "it is not a SUIT manifest signed by a trusted key"}}
		}
		return m, named, nil
	}
	// Files that are looked into stay open until all of the manifest is checked.
	var open []io.Closer
	defer func() {
		for _, b := range open {
			b.Close()
		}
	}()
	if find := rules.Stored; find != nil {
		rules.Stored = func(uri string) (suit.File, error) {
			file, err := find(uri)
			if c, ok := file.Content.(io.Closer); ok {
				open = append(open, c)
			}
			return file, err
		}
	}
	v, err := suit.Check(text, rules)
	if err != nil {
		return m, false, err
	}
	m.Classes, m.Findings = v.Classes, v.Findings
	if v.Manifest != nil {
		m.Sequence = v.Manifest.Sequence
	}
	if v.Signer != nil {
		m.Signer = v.Signer.Fingerprint()
	}
	return m, true, nil
}

// suitFile reads a file that counts as SUIT, nil if it does not.
func (f *Fleet) suitFile(ctx context.Context, a ota.Artifact) ([]byte, error) {
	if a.Size == 0 || a.Size > suit.MaxEnvelope {
		return nil, nil
	}
	b, err := f.open(ctx, a)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var first [1]byte
	if _, err := io.ReadFull(b, first[:]); err != nil {
		return nil, err
	}
	if major := first[0] >> 5; major != 5 && major != 6 { // neither a map nor a tag of CBOR
		return nil, nil
	}
	text := make([]byte, a.Size)
	text[0] = first[0]
	if _, err := io.ReadFull(b, text[1:]); err != nil {
		return nil, err
	}
	if !suit.IsSUIT(text) {
		return nil, nil
	}
	return text, nil
}
