package suit

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"

	"github.com/updraft-ota/updraft/ota"
)

// Algorithm is a number of the COSE registry, or RIOT's for SHA-256.
type Algorithm int64

// The algorithms of digests (7.5).
const (
	SHA256     Algorithm = -16
	SHA384     Algorithm = -43
	SHA512     Algorithm = -44
	RIOTSHA256 Algorithm = 2 // SHA-256 as draft-09 numbered it
)

// Digest names content (SUIT_Digest).
type Digest struct {
	Algorithm Algorithm
	Sum       []byte
}

// String writes the digest as ALGORITHM:HEX.
func (d Digest) String() string { return d.Algorithm.String() + ":" + hex.EncodeToString(d.Sum) }

// Equal reports whether both name the same content; both numbers of SHA-256
// are one algorithm.
func (d Digest) Equal(o Digest) bool {
	return d.Algorithm.plain() == o.Algorithm.plain() && bytes.Equal(d.Sum, o.Sum)
}

func (a Algorithm) plain() Algorithm {
	if a == RIOTSHA256 {
		return SHA256
	}
	return a
}

// hasher is nil for an algorithm that is not known here.
func (a Algorithm) hasher() hash.Hash {
	switch a.plain() {
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	case SHA512:
		return sha512.New()
	}
	return nil
}

// MatchImage reports whether everything r holds has the digest, and the size
// unless that is negative. It fails with KindInvalid for an algorithm that is
// not known, and with the reader's error.
func MatchImage(r io.Reader, d Digest, size int64) (bool, error) {
	h := d.Algorithm.hasher()
	if h == nil {
		return false, ota.Invalid("digest algorithm %d is not known", int64(d.Algorithm))
	}
	n, err := io.Copy(h, r)
	if err != nil {
		return false, err
	}
	return bytes.Equal(h.Sum(nil), d.Sum) && (size < 0 || n == size), nil
}

// readDigest reads a SUIT_Digest: algorithm, sum and what may follow.
func readDigest(it item) (Digest, error) {
	parts, err := it.array()
	if err != nil {
		return Digest{}, err
	}
	if len(parts) < 2 {
		return Digest{}, ota.Invalid("a digest has %d parts, not 2", len(parts))
	}
	alg, err := parts[0].int()
	if err != nil {
		return Digest{}, err
	}
	sum, err := parts[1].bytes()
	if err != nil {
		return Digest{}, err
	}
	d := Digest{Algorithm(alg), sum}
	if h := d.Algorithm.hasher(); h != nil && h.Size() != len(sum) {
		return Digest{}, ota.Invalid("a %s digest is %d bytes long, not %d", d.Algorithm, len(sum), h.Size())
	}
	return d, nil
}

// appendDigest writes a SUIT_Digest.
func appendDigest(b []byte, d Digest) []byte {
	return appendBytes(appendInt(appendHead(b, majorArray, 2), int64(d.Algorithm)), d.Sum)
}

// sumWrapped is the digest of bytes as they lie in a byte string, its header
// included: what covers manifests and severable members (7.2, rule 1).
func sumWrapped(a Algorithm, content []byte) (Digest, error) {
	h := a.hasher()
	if h == nil {
		return Digest{}, ota.Invalid("digest algorithm %d is not known", int64(a))
	}
	h.Write(appendHead(nil, majorBytes, uint64(len(content))))
	h.Write(content)
	return Digest{a, h.Sum(nil)}, nil
}
