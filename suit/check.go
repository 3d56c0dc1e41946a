package suit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"
)

// Rules are what a server holds manifests to. Members that are nil are not
// checked.
type Rules struct {
	Trusted []Key
	// Stored finds the file that a URI names.
	Stored func(uri string) (File, error)
	// Known reports whether devices of this class are known.
	Known func(vendor, class uuid.UUID) bool
	// Last is the highest sequence number a class was given before, ok false
	// for none.
	Last func(vendor, class uuid.UUID) (sequence uint64, ok bool)
	// Delivery: devices are to be told of the manifest now, so that its files
	// must be there.
	Delivery bool
}

// Class is a vendor's class of devices; see VendorID and ClassID.
type Class struct{ Vendor, ID uuid.UUID }

// File is a stored file.
type File struct {
	Size    int64
	SHA256  []byte
	Content io.ReaderAt // nil if it is not to be looked into; to be closed after Check by whoever opened it
}

// What Rules.Stored fails with if there is no such file.
var (
	ErrNotStored = errors.New("there is no such file")         // here, or not yet
	ErrElsewhere = errors.New("the file is on another server") // and not ours to check
)

// Verdict is what Check found out.
type Verdict struct {
	Envelope *Envelope // nil if it is not readable
	Manifest *Manifest // nil if it is not readable
	Signer   *Key      // the trusted key, nil if there is none
	Classes  []Class   // of devices it is for; none if it does not check
	URIs     []string  // of files that some device will fetch, those in the envelope left out
	Findings []Finding
}

// OK reports whether nothing stops the manifest.
func (v *Verdict) OK() bool {
	return !slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Severity == SeverityError })
}

// Reasons are the texts of all errors.
func (v *Verdict) Reasons() (texts []string) {
	for _, f := range v.Findings {
		if f.Severity == SeverityError {
			texts = append(texts, f.Text)
		}
	}
	return texts
}

func (v *Verdict) fault(code, format string, args ...any) {
	v.add(SeverityError, code, format, args...)
}
func (v *Verdict) warn(code, format string, args ...any) {
	v.add(SeverityWarning, code, format, args...)
}

// add notes a finding, once, and cuts what an author could make endless.
// However many warnings there are, they leave room for errors.
func (v *Verdict) add(s Severity, code, format string, args ...any) {
	const most = 50 // of each severity
	f := Finding{s, code, clean(fmt.Sprintf(format, args...))}
	same := 0
	for _, other := range v.Findings {
		if other == f {
			return
		}
		if other.Severity == s {
			same++
		}
	}
	if same < most {
		v.Findings = append(v.Findings, f)
	}
}

// Check finds every reason why a file should not be handed out as a manifest,
// not only the first. It fails only with what Rules.Stored or a File's
// content fails with.
func Check(file []byte, r Rules) (*Verdict, error) {
	v := &Verdict{}
	e, err := Open(file)
	if err != nil {
		v.fault(FoundUnreadable, "%v", err)
		return v, nil
	}
	v.Envelope = e
	v.checkSignatures(r.Trusted)
	m, err := e.Manifest()
	if err != nil {
		v.fault(FoundUnreadable, "%v", err)
		return v, nil
	}
	v.Manifest = m
	v.checkManifest()
	v.checkStyle()
	if m.Dialect == RIOT {
		v.checkRIOT(len(file))
	}
	s := surveyOf(m)
	v.checkCommands(s)
	v.Classes = s.classes
	v.checkClasses(r, s.anybody)
	for _, f := range s.files {
		if _, inside := e.Payload(f.uri); !inside && !slices.Contains(v.URIs, f.uri) {
			v.URIs = append(v.URIs, f.uri)
		}
		if err := v.checkFile(f, r); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (v *Verdict) checkSignatures(trusted []Key) {
	e := v.Envelope
	if len(e.Blocks) == 0 {
		v.fault(FoundUnsigned, "the manifest is not signed")
	}
	switch {
	case e.Digest.Sum == nil || e.Covered():
	case e.Digest.Algorithm.hasher() == nil:
		v.fault(FoundDigest, "the manifest's digest is by %s, which is not known", e.Digest.Algorithm)
	default:
		v.fault(FoundDigest, "what is signed is the digest of another manifest")
	}
	found := false
	for _, b := range e.Blocks {
		if b.Problem != "" {
			v.warn(FoundForm, "a signature is passed over: %s", b.Problem)
			continue
		}
		key, ok := e.signerOf(b, trusted)
		switch {
		case !ok && len(trusted) > 0:
			continue
		case e.Dialect == Standard && b.Payload != nil:
			v.fault(FoundForm, "a signature carries the digest itself: devices expect it to be detached")
		case e.Dialect == RIOT && !riotBlock(b):
			v.fault(FoundForm, "RIOT needs a COSE_Sign1 signature by EdDSA that carries the digest, not %s by %s", b.Structure, b.Algorithm)
		}
		if ok && v.Signer == nil {
			v.Signer = &key
		}
		found = found || ok
	}
	switch {
	case len(e.Blocks) == 0 || found:
	case len(trusted) == 0:
		v.warn(FoundUnchecked, "no keys are trusted yet: whose the signature is was not checked")
	default:
		v.fault(FoundUntrusted, "no signature is by a trusted key")
	}
}

func (v *Verdict) checkManifest() {
	m := v.Manifest
	if m.Version != Version {
		v.fault(FoundVersion, "version %d of manifests is not known", m.Version)
	}
	var covered []int64
	member := func(key int64, name string, w Where, intact bool) {
		switch {
		case w == Severed:
			v.warn(FoundSevered, "the %s was taken away: devices that do not have it cannot go on", name)
		case w == InEnvelope && !intact:
			v.fault(FoundMember, "the %s beside the manifest is not what was signed", name)
		}
		if w != Inline {
			covered = append(covered, key)
		}
	}
	for _, s := range m.Sections {
		member(m.Dialect.keyOf(s.Key), s.Key.String()+" section", s.Where, s.Intact)
	}
	if m.Text != nil && m.Text.Where == InEnvelope { // text may be missing
		member(keyText, "text", m.Text.Where, m.Text.Intact)
	}
	if m.SBOM != nil {
		member(keySBOM, "bill of materials", m.SBOM.Where, m.SBOM.Intact)
	}
	for _, x := range v.Envelope.Members {
		if !slices.Contains(covered, x.Key) {
			v.fault(FoundStray, "the envelope holds a part %d that nothing signed covers", x.Key)
		}
	}
}

// checkStyle warns of what some devices refuse, and others do not: maps that
// are not in order, and sequences that do not say first which of several
// components they are about (draft-37, 6.2 and 8.1).
func (v *Verdict) checkStyle() {
	m := v.Manifest
	if !bytes.Equal(m.encode(), v.Envelope.manifest) {
		v.warn(FoundStyle, "the manifest is not written in the order devices may expect")
	}
	if len(m.Components) < 2 {
		return
	}
	first := func(name SectionKey, seq Sequence) {
		if len(seq) > 0 && seq[0].Code != SetComponent && seq[0].Code != OverrideMultiple {
			v.warn(FoundStyle, "the %s sequence does not say first which of the %d components it is about", name, len(m.Components))
		}
	}
	first(Shared, m.Shared)
	for _, s := range m.Sections {
		first(s.Key, s.Sequence)
	}
}

// checkCommands tells what no device could do, and what was not understood.
func (v *Verdict) checkCommands(s survey) {
	if !v.Manifest.asks(installation) {
		v.fault(FoundBroken, "%v", errIdle)
	}
	for _, problem := range s.problems {
		v.fault(FoundBroken, "no device can carry it out: %v", problem)
	}
	for _, p := range v.Envelope.Payloads {
		if !slices.ContainsFunc(s.files, func(f wanted) bool { return f.uri == p.Name }) {
			v.warn(FoundStray, "the envelope holds a file %s that no command fetches", p.Name)
		}
	}
	if s.capped {
		v.warn(FoundNotAll, "the manifest is for more than %d sorts of devices: not all of them were looked at", maxRuns)
	}
	v.Manifest.walk(func(c Command) {
		if _, known := commandNames[c.Code]; !known {
			v.warn(FoundUnknown, "%s is not known here", c.Code)
		}
	})
}

func (v *Verdict) checkClasses(r Rules, anybody bool) {
	switch {
	case len(v.Classes) == 0:
		v.warn(FoundAnyClass, "the manifest checks no vendor and class: any device would take it")
	case anybody:
		v.warn(FoundAnyClass, "the manifest is not only for the vendor and class it checks: others would take it as well")
	}
	for _, c := range v.Classes {
		if r.Known != nil && !r.Known(c.Vendor, c.ID) {
			v.fault(FoundClass, "no device is known of vendor %s and class %s", c.Vendor, c.ID)
		}
		if r.Last == nil {
			continue
		}
		if last, ok := r.Last(c.Vendor, c.ID); ok && v.Manifest.Sequence <= last {
			v.fault(FoundSequence, "sequence number %d is not above %d, which class %s was given before", v.Manifest.Sequence, last, c.ID)
		}
	}
}
