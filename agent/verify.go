package agent

import (
	"crypto/ed25519"
	"fmt"
	"io"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/sign"
)

// verifier holds the keys that must have signed every image. Without keys
// nothing needs a signature.
type verifier struct{ keys []ed25519.PublicKey }

// newVerifier reads device.trusted_keys. It fails, naming the file, if one
// cannot be read or is no file of public keys.
func newVerifier(paths Paths) (verifier, error) {
	var v verifier
	for _, path := range paths {
		keys, err := readKeys(path)
		if err != nil {
			return v, fmt.Errorf("device.trusted_keys: %s: %w", path, err)
		}
		v.keys = append(v.keys, keys...)
	}
	return v, nil
}

func readKeys(path string) ([]ed25519.PublicKey, error) {
	f, err := openInput(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 2<<20))
	if err != nil {
		return nil, err
	}
	return sign.ParsePublic(data)
}

// check verifies the signature of an image whose size and digest are known
// to be right.
func (v verifier) check(e Entry) error {
	if len(v.keys) == 0 {
		return nil
	}
	return sign.Verify(v.keys, e.Package, ota.Sums{Size: e.Size, SHA256: e.Digest}, e.Signature)
}
