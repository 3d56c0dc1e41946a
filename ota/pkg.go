package ota

import (
	"encoding/hex"
	"time"
)

// Digest is a SHA-256 in lower-case hex. It names a blob.
type Digest string

// ParseDigest checks that s is 64 lower-case hex digits. It fails with KindInvalid.
func ParseDigest(s string) (Digest, error) {
	if b, err := hex.DecodeString(s); err != nil || len(b) != 32 || hex.EncodeToString(b) != s {
		return "", Invalid("digest %q is not 64 lower-case hex digits", clip(s))
	}
	return Digest(s), nil
}

// Sums is what one pass over some bytes tells about them. SHA-1 and MD5
// exist for protocols that demand them; nothing here trusts them.
type Sums struct {
	Size   int64
	SHA256 Digest
	SHA1   string // lower-case hex
	MD5    string // lower-case hex
}

// Artifact is one named file of a package.
type Artifact struct {
	Name string
	Sums
	// Signature vouches for the bytes under this package id. The form that
	// room sign makes is verified; any other is passed through.
	Signature string
}

// DefaultArtifact names the only file of a package that was uploaded as one
// file, as in the original server.
const DefaultArtifact = "image"

// Package is one version of some software: what an operator publishes.
type Package struct {
	Namespace   Namespace
	UUID        string
	ID          PackageID
	Description string
	Vendor      string
	CreatedAt   time.Time
	Artifacts   []Artifact // at least one; the first is the main one
	Forced      []Forced   // what operators insisted on, the newest last; see NoteForced
}

// Main returns the artifact a client gets that knows of one file only.
func (p Package) Main() Artifact {
	if len(p.Artifacts) == 0 {
		return Artifact{}
	}
	return p.Artifacts[0]
}

// Artifact returns the artifact of that name; "" means the main one.
func (p Package) Artifact(name string) (Artifact, bool) {
	if name == "" && len(p.Artifacts) > 0 {
		return p.Artifacts[0], true
	}
	for _, a := range p.Artifacts {
		if a.Name == name {
			return a, true
		}
	}
	return Artifact{}, false
}
