// Package suit reads, checks, lists, writes and signs manifests for
// constrained devices: SUIT (draft-ietf-suit-manifest-37) and RIOT's older
// form of it (draft-09).
//
//	author's key -(signs)-> digest of the manifest -(covers)-> manifest
//	manifest -(names)-> for whom, which version, and of each file where it is, its size and digest
//
// A manifest is a small program. An Envelope carries it together with the
// blocks that vouch for it; the Manifest lists components, the places of a
// device where images go, and sequences of commands: conditions, which ask
// something of the device, and directives, which do something. Open reads an
// envelope without looking into the manifest, so that it can be
// authenticated first, and Envelope.Manifest reads the rest.
//
// Four things are done with manifests here. Check finds every reason why a
// server should not hand one out. List makes one readable. A Recipe writes
// one, in either dialect. A Processor carries one out on a Device, and tells
// what happened in a Report.
//
// Everything that comes in may be hostile: sizes, depth and numbers have
// limits, indefinite lengths and a key given twice are refused. Nothing here
// opens a file or a connection; bytes, readers and functions are handed in.
//
// Sections named in comments are those of coap-suit.md unless they say
// otherwise.
package suit
