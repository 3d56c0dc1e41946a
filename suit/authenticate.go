package suit

import (
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// Codes of errors of Authenticate and Sign.
const (
	codeUnsigned  = "unsigned_manifest"
	codeUntrusted = "untrusted_manifest"
	codeDigest    = "manifest_digest"
	codeAttached  = "attached_payload"
	codeSigned    = "signed_already"
)

// Authenticate finds the trusted key that vouches for the manifest, without
// looking into it. It fails with KindInvalid if the digest is not that of
// the manifest, there is no signature, none is by a trusted key, or the
// signature is not in the form its dialect asks for.
func (e *Envelope) Authenticate(trusted []Key) (Key, error) {
	switch {
	case len(e.Blocks) == 0:
		return Key{}, ota.Fail(ota.KindInvalid, codeUnsigned, "the manifest is not signed")
	case !e.Covered():
		return Key{}, ota.Fail(ota.KindInvalid, codeDigest, "what is signed is the digest of another manifest")
	}
	for _, b := range e.Blocks {
		key, ok := e.signerOf(b, trusted)
		switch {
		case !ok:
		case e.Dialect == Standard && b.Payload != nil:
			return Key{}, ota.Fail(ota.KindInvalid, codeAttached, "the signature carries the digest itself: it must be detached")
		case e.Dialect == RIOT && !riotBlock(b):
			return Key{}, ota.Fail(ota.KindInvalid, codeAttached, "RIOT needs a COSE_Sign1 signature by EdDSA that carries the digest")
		default:
			return key, nil
		}
	}
	return Key{}, ota.Fail(ota.KindInvalid, codeUntrusted, "none of the %d signatures is by a trusted key", len(e.Blocks))
}

func (e *Envelope) signerOf(b Block, trusted []Key) (Key, bool) {
	for _, k := range trusted {
		if b.Verify(k, e.signed) {
			return k, true
		}
	}
	return Key{}, false
}

// riotBlock is the one form of a signature that RIOT reads (6.4).
func riotBlock(b Block) bool {
	return b.Structure == Sign1 && b.Algorithm == EdDSA && b.Payload != nil
}

// Sign adds a signature by a key. RIOT's dialect takes Ed25519 only. It fails
// with KindInvalid if the key does not fit or has signed already, or there are
// too many signatures.
func (e *Envelope) Sign(s Signer) error {
	if len(e.Blocks) >= maxBlocks {
		return ota.Invalid("there are %d signatures already", len(e.Blocks))
	}
	algorithm, attach := s.algorithm(), false
	if e.Dialect == RIOT {
		algorithm, attach, s.ID = EdDSA, true, "" // RIOT has 180 bytes for a signature
	}
	if err := e.digest(); err != nil {
		return err
	}
	if slices.ContainsFunc(e.Blocks, func(b Block) bool { return b.Algorithm == algorithm && b.Verify(s.Key, e.signed) }) {
		return ota.Fail(ota.KindInvalid, codeSigned, "the key has signed it already")
	}
	b, err := sign(s, algorithm, e.signed, attach)
	if err != nil {
		return err
	}
	e.Blocks = append(e.Blocks, b)
	return nil
}

// algorithm is the number new signatures of a key carry.
func (k Key) algorithm() Algorithm {
	switch k.Kind() {
	case KindEd25519:
		return Ed25519
	case KindP256:
		return ESP256
	}
	return HMAC256
}

// digest fills in the digest of the manifest. One that is there already must
// be right, as others may have signed it.
func (e *Envelope) digest() error {
	if len(e.signed) > 0 {
		if !e.Covered() {
			return ota.Fail(ota.KindInvalid, codeDigest, "the envelope has the digest of another manifest")
		}
		return nil
	}
	alg := SHA256
	if e.Dialect == RIOT {
		alg = RIOTSHA256
	}
	sum, err := sumWrapped(alg, e.manifest)
	e.Digest, e.signed = sum, appendDigest(nil, sum)
	return err
}
