package suit

import "fmt"

// Severity tells whether a finding stops a manifest.
type Severity string

// Errors stop a manifest, unless an operator insists; warnings do not.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Finding is something about a manifest that its operator should know.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"` // one of the constants below
	Text     string   `json:"text"`
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s", f.Severity, f.Text) }

// The codes of findings.
const (
	FoundUnreadable    = "not_readable"        // not a manifest that can be read
	FoundUnsigned      = "unsigned"            // no signature at all
	FoundUntrusted     = "untrusted"           // no signature by a trusted key
	FoundUnchecked     = "signature_unchecked" // there are no trusted keys
	FoundForm          = "signature_form"      // a good signature that devices refuse
	FoundDigest        = "manifest_digest"     // what is signed is another manifest
	FoundVersion       = "version"             // another version of the format
	FoundSequence      = "sequence_number"     // not above the last
	FoundAnyClass      = "any_class"           // not bound to a class of devices
	FoundClass         = "class_unknown"       // no device is of this class
	FoundMember        = "member_digest"       // a severable member is not what was signed
	FoundSevered       = "member_severed"      // a severable member is missing
	FoundStray         = "member_stray"        // something in the envelope that nothing signed covers
	FoundBroken        = "commands"            // commands no device could carry out
	FoundStyle         = "encoding"            // readable, but not as the draft asks for
	FoundUnknown       = "command_unknown"     // commands that are not known here
	FoundNotAll        = "too_many_cases"      // not everything was looked at
	FoundMissing       = "payload_missing"     // a file is not stored (yet)
	FoundElsewhere     = "payload_elsewhere"   // a file is on another server
	FoundPayloadDigest = "payload_digest"      // a stored file has another digest
	FoundPayloadSize   = "payload_size"        // a stored file has another size
	FoundNoDigest      = "payload_unchecked"   // nothing tells what the file should be
	FoundImage         = "image"               // a firmware image a device would refuse
	FoundRIOT          = "riot"                // RIOT cannot read it
)
