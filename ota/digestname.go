package ota

import (
	"encoding/base64"
	"encoding/hex"
)

// shortDigest is how many bytes of a digest are in a DigestName: with 12,
// whoever wants another file of the same name must look for 2^96 of them.
const shortDigest = 12

// DigestName names a file by the beginning of its digest, in 16 characters
// that fit where devices have little room (coap-suit.md 5).
func DigestName(d Digest) string {
	sum, _ := hex.DecodeString(string(d)) // a Digest is hex
	return base64.RawURLEncoding.EncodeToString(sum[:min(shortDigest, len(sum))])
}

// DigestPrefix reads a DigestName, or a whole digest in hex or base64url, as
// the beginning of a Digest; ok is false if it is none of them.
func DigestPrefix(name string) (prefix string, ok bool) {
	if d, err := ParseDigest(name); err == nil {
		return string(d), true
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(name)
	if err != nil || len(sum) != shortDigest && len(sum) != 32 {
		return "", false
	}
	return hex.EncodeToString(sum), true
}

// ManifestURL is where devices find a manifest by its digest, whatever is
// published later, below a root such as "coap://[fd00::1]:5683".
func ManifestURL(root string, d Digest) string { return root + "/m/" + DigestName(d) }
