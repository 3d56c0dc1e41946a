package suit

import (
	"fmt"

	"github.com/updraft-ota/updraft/ota"
)

// Report is what a device tells about a manifest it carried out, or did not
// (SUIT_Report, 7.7).
type Report struct {
	URI          string // reference URI of the manifest, "" if it has none
	Manifest     Digest
	Nonce        []byte
	Records      []Record
	Claims       []Claim
	Result       *Result // nil for success
	Capabilities Raw     // as they stand; nil if not told
}

// Record is a command that was done, and what was found.
type Record struct {
	Manifest   []uint64 // way to a dependency, empty for the manifest itself
	Section    SectionKey
	Offset     uint64 // of the command in its section, in bytes
	Component  uint64
	Properties Params
}

// Claim is something a device found about a component.
type Claim struct {
	Component  ComponentID
	Properties Params
}

// Result is why a manifest was not carried out. Code is the device's own.
type Result struct {
	Code   int64
	Record Record
	Reason Reason
}

// Reason is the sort of a failure.
type Reason uint64

// The reasons (7.7).
const (
	ReasonOK Reason = iota
	ReasonParse
	ReasonCOSE
	ReasonAlgorithm
	ReasonUnauthorised
	ReasonCommand
	ReasonComponent
	ReasonComponentUnauthorised
	ReasonParameter
	ReasonSevering
	ReasonCondition
	ReasonOperation
	ReasonInvokePending
)

func (r Reason) String() string {
	names := [...]string{"ok", "not readable", "COSE structure not supported", "algorithm not supported", "not authorised",
		"command not supported", "component not supported", "component not authorised", "parameter not supported",
		"severed parts not supported", "a condition does not hold", "an operation failed", "waiting to be invoked"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason %d", uint64(r))
}

// Explain tells a result to people: which command of the manifest failed, on
// what, and what was found instead. The manifest must be the one reported on.
func (r Result) Explain(m *Manifest) string {
	at := r.Record
	if at.Section == 0 {
		return r.Reason.String()
	}
	text := fmt.Sprintf("%s: %s at %d", r.Reason, at.Section, at.Offset)
	if c := m.At(at.Section, at.Offset); c != nil {
		text = fmt.Sprintf("%s: %s in %s", r.Reason, c.Code, at.Section)
	}
	if id := m.Component(at.Component); id != nil {
		text += fmt.Sprintf(", component %s", id)
	}
	for _, p := range at.Properties {
		found := valueText(p.Value)
		text += fmt.Sprintf(", found %s %s", p.Key, found)
		if wanted := m.values(p.Key); len(wanted) == 1 && wanted[0] != found { // of several it is the device that knows which
			text += " instead of " + wanted[0]
		}
	}
	return clean(text)
}

// maxRecords of one report.
const maxRecords = 256

// The keys of a report.
const (
	keyReference    = 99
	keyNonce        = 2
	keyRecords      = 3
	keyResult       = 4
	keyResultCode   = 5
	keyResultRecord = 6
	keyResultReason = 7
	keyCapabilities = 8
	keyClaim        = 0
)

// resultOf turns what Install failed with into what is reported.
func resultOf(err error) *Result {
	if err == nil {
		return nil
	}
	f, ok := err.(*Failure)
	if !ok {
		return &Result{Code: -1, Reason: ReasonOperation}
	}
	return &Result{Code: -int64(f.Reason), Record: f.At, Reason: f.Reason}
}

// Encode writes the report, not signed.
func (r Report) Encode() []byte {
	reference := appendText(appendHead(nil, majorArray, 2), r.URI)
	entries := map[int64][]byte{
		keyReference: appendDigest(reference, r.Manifest),
		keyResult:    {cborTrue},
	}
	records := appendHead(nil, majorArray, uint64(len(r.Records)+len(r.Claims)))
	for _, record := range r.Records {
		records = appendRecord(records, record)
	}
	for _, c := range r.Claims {
		records = appendHead(records, majorMap, uint64(1+len(c.Properties)))
		records = appendComponent(appendInt(records, keyClaim), c.Component)
		for _, p := range c.Properties {
			records = appendValue(appendInt(records, int64(p.Key)), p.Value)
		}
	}
	entries[keyRecords] = records
	if r.Result != nil {
		entries[keyResult] = appendEntries(nil, map[int64][]byte{
			keyResultCode:   appendInt(nil, r.Result.Code),
			keyResultRecord: appendRecord(nil, r.Result.Record),
			keyResultReason: appendHead(nil, majorUint, uint64(r.Result.Reason)),
		})
	}
	if r.Nonce != nil {
		entries[keyNonce] = appendBytes(nil, r.Nonce)
	}
	if r.Capabilities != nil {
		entries[keyCapabilities] = r.Capabilities
	}
	return appendEntries(nil, entries)
}

func appendRecord(b []byte, r Record) []byte {
	b = appendHead(b, majorArray, 5)
	b = appendHead(b, majorArray, uint64(len(r.Manifest)))
	for _, n := range r.Manifest {
		b = appendHead(b, majorUint, n)
	}
	b = appendInt(b, int64(r.Section))
	b = appendHead(b, majorUint, r.Offset)
	b = appendHead(b, majorUint, r.Component)
	return appendParams(b, r.Properties)
}

// SignReport writes the report with a signature or MAC around it.
func SignReport(r Report, s Signer) ([]byte, error) {
	b, err := sign(s, s.algorithm(), r.Encode(), true)
	return b.encode(), err
}

// ReadReport reads a report, signed or not, and tells whose signature it
// has: nobody's if signer is nil. It fails with KindInvalid.
func ReadReport(file []byte, trusted []Key) (r Report, signer *Key, err error) {
	if len(file) > MaxReport {
		return Report{}, nil, ota.Fail(ota.KindTooLarge, "too_large", "the report is %d bytes long, at most %d are read", len(file), MaxReport)
	}
	it, err := whole(file)
	if err != nil {
		return Report{}, nil, within("report", err)
	}
	if it.major() == majorTag {
		b, err := readBlock(it)
		if err == nil && b.Payload == nil {
			err = ota.Invalid("its signature carries no report")
		}
		if err == nil {
			it, err = whole(b.Payload)
		}
		if err != nil {
			return Report{}, nil, within("report", err)
		}
		for _, k := range trusted {
			if b.Verify(k, b.Payload) {
				signer = &k
				break
			}
		}
	}
	r, err = readReport(it)
	return r, signer, within("report", err)
}

// MaxReport is the longest report that is read, in bytes.
const MaxReport = 64 << 10
