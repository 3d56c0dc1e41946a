package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"

	"github.com/updraft-ota/updraft/ota"
)

const (
	privateType = "PRIVATE KEY" // PKCS#8, RFC 5958 and RFC 8410
	publicType  = "PUBLIC KEY"  // PKIX, RFC 5280 and RFC 8410
	maxKeyFile  = 1 << 20       // bytes; about 9000 public keys
)

// Generate makes a key pair, as PEM: PKCS#8 for the private key, PKIX for the
// public one. It fails only if the system has no randomness.
func Generate() (private, public []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	privDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, err
	}
	pubDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	private = pem.EncodeToMemory(&pem.Block{Type: privateType, Bytes: privDER})
	public = pem.EncodeToMemory(&pem.Block{Type: publicType, Bytes: pubDER})
	return private, public, nil
}

// ParsePrivate reads the file of one private key. Text around the PEM block
// is ignored. It fails with KindInvalid unless there is exactly one block and
// it is an unencrypted Ed25519 private key in PKCS#8.
func ParsePrivate(file []byte) (ed25519.PrivateKey, error) {
	blocks, err := parseBlocks(file)
	if err != nil {
		return nil, err
	}
	if len(blocks) != 1 {
		return nil, ota.Invalid("the file of a private key must hold one key, this one holds %d", len(blocks))
	}
	switch b := blocks[0]; b.Type {
	case privateType:
		key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
		if err != nil {
			return nil, ota.Invalid("private key: %v", err)
		}
		if private, ok := key.(ed25519.PrivateKey); ok {
			return private, nil
		}
		return nil, ota.Invalid("private key: it is a %T, but must be Ed25519: make one with \"updraft key new\"", key)
	case publicType:
		return nil, ota.Invalid("this is a public key: signing needs the private one")
	case "ENCRYPTED PRIVATE KEY":
		return nil, ota.Invalid("the private key is encrypted: decrypt it first, for example with \"openssl pkey\"")
	default:
		return nil, ota.Invalid("private key: found %q, expected %q (PKCS#8)", b.Type, privateType)
	}
}

// ParsePublic reads a file of trusted keys, one or more. Text around the PEM
// blocks is ignored. It fails with KindInvalid if there is none, or if any
// block is not an Ed25519 public key: passing over a key someone meant to
// trust, or taking a private one as harmless, would be guessing.
func ParsePublic(file []byte) ([]ed25519.PublicKey, error) {
	blocks, err := parseBlocks(file)
	if err != nil {
		return nil, err
	}
	keys := make([]ed25519.PublicKey, 0, len(blocks))
	for i, b := range blocks {
		if b.Type != publicType {
			return nil, ota.Invalid("trusted key %d: found %q, expected %q and nothing else in this file", i+1, b.Type, publicType)
		}
		key, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return nil, ota.Invalid("trusted key %d: %v", i+1, err)
		}
		public, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, ota.Invalid("trusted key %d: it is a %T, but must be Ed25519", i+1, key)
		}
		keys = append(keys, public)
	}
	return keys, nil
}

// parseBlocks finds every PEM block, at least one. pem.Decode walks past what
// it cannot read as if it were text; here that is an error.
func parseBlocks(file []byte) ([]*pem.Block, error) {
	if len(file) > maxKeyFile {
		return nil, ota.Invalid("the key file is %d bytes long, at most %d are allowed", len(file), maxKeyFile)
	}
	begun := bytes.Count(file, []byte("-----BEGIN"))
	var blocks []*pem.Block
	for {
		var b *pem.Block
		if b, file = pem.Decode(file); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	switch {
	case begun == 0:
		return nil, ota.Invalid("the key file holds no PEM block, no line \"-----BEGIN …\"")
	case len(blocks) != begun:
		return nil, ota.Invalid("the key file has %d lines \"-----BEGIN …\", but only %d readable keys", begun, len(blocks))
	}
	return blocks, nil
}
