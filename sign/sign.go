// Package sign says who vouches for the bytes of an artifact.
//
//	publisher's private key -(signs)-> name, version, size and SHA-256 of a file
//	trusted public keys -(verify)-> on the server at upload, on the device before an installer sees the file
//
// There are two parties. The publisher holds a private key, off the server,
// and signs each file under the package id it is meant for. Whoever verifies
// holds public keys, each as good as any other. The server between them
// passes signatures on and holds no private key, so that breaking into it
// gives nobody the power to make a device install something.
//
// A signature is Ed25519 over these bytes, every line ended by one newline:
//
//	updraft-package-v1
//	<name>
//	<version>
//	<size in bytes, decimal>
//	<SHA-256, lower-case hex>
//
// written in standard base64, 88 characters. What is not signed is when: a
// signed version stays valid for ever, and refusing to go back to an older
// one is the package manager's part.
//
// Nothing here reads a file or a clock; keys and signatures come in as bytes
// and go out as verdicts.
package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// The verdicts of Verify that are about the signature, each of KindInvalid
// with a code of its own.
var (
	// ErrUnsigned: there is no signature at all.
	ErrUnsigned error = ota.Fail(ota.KindInvalid, "unsigned_package", "the package is not signed, but trusted keys are configured")
	// ErrForm: the signature is not one of ours; see Recognised.
	ErrForm error = ota.Fail(ota.KindInvalid, "unknown_signature", "the signature is not 64 bytes in base64, as Updraft's are")
	// ErrUntrusted: no trusted key made it for this package and these bytes.
	ErrUntrusted error = ota.Fail(ota.KindInvalid, "untrusted_signature", "the signature is not by a trusted key for this name, version, size and SHA-256")
)

// message is what is signed.
func message(id ota.PackageID, s ota.Sums) []byte {
	return fmt.Appendf(nil, "updraft-package-v1\n%s\n%s\n%d\n%s\n", id.Name, id.Version, s.Size, s.SHA256)
}

// plain fails with KindInvalid unless each value fills its own line of the
// message and no other, so that nothing signed can be read in two ways.
func plain(id ota.PackageID, s ota.Sums) error {
	for _, line := range []string{id.Name, id.Version} {
		if line == "" || strings.ContainsAny(line, "\r\n") {
			return ota.Invalid("package %q: name and version must be one line each", id.String())
		}
	}
	if s.Size < 0 {
		return ota.Invalid("package %s: its size is unknown", id)
	}
	_, err := ota.ParseDigest(string(s.SHA256))
	return err
}

// Sign vouches for a file under a package id. Of the sums it takes the size
// and the SHA-256. For an id or sums that Verify refuses to look at, the
// signature is of no use to anyone.
func Sign(private ed25519.PrivateKey, id ota.PackageID, s ota.Sums) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(private, message(id, s)))
}

// Verify returns nil if one of the keys vouches for the file under this id.
// It fails with ErrUnsigned, ErrForm or ErrUntrusted, in this order, or with
// another error of KindInvalid if name or version are empty or of more than
// one line, the size is negative, or the digest is not one. Without keys
// nothing is trusted.
func Verify(trusted []ed25519.PublicKey, id ota.PackageID, s ota.Sums, signature string) error {
	if signature == "" {
		return ErrUnsigned
	}
	sig, ok := decode(signature)
	if !ok {
		return ErrForm
	}
	if err := plain(id, s); err != nil {
		return err
	}
	m := message(id, s)
	for _, key := range trusted {
		if ed25519.Verify(key, m, sig) {
			return nil
		}
	}
	return ErrUntrusted
}

// Recognised reports whether a signature is of the form Sign makes. Where no
// keys are configured, others are stored and passed through as they are.
func Recognised(signature string) bool {
	_, ok := decode(signature)
	return ok
}

// decode accepts one text per signature: DecodeString ignores line breaks,
// and set padding bits unless told to be strict, so that many would do.
func decode(signature string) ([]byte, bool) {
	if len(signature) != base64.StdEncoding.EncodedLen(ed25519.SignatureSize) {
		return nil, false
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(signature)
	return sig, err == nil && len(sig) == ed25519.SignatureSize
}
