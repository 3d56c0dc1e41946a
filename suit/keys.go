package suit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// Key tells who vouches for a manifest: a public key, Ed25519 or P-256, or a
// secret shared with devices (HMAC-SHA-256).
type Key struct {
	ID string // key id written beside signatures, to tell keys apart; may be ""

	public crypto.PublicKey // nil for a secret
	secret []byte
}

// Signer is a key that can sign.
type Signer struct {
	Key
	private crypto.PrivateKey // nil for a secret
}

// The kinds of keys, as they are made by Generate.
const (
	KindEd25519 = "ed25519"
	KindP256    = "p256"
	KindHMAC    = "hmac"
)

const (
	maxKeyFile = 1 << 20 // bytes
	secretSize = 32      // bytes of an HMAC key, at the least
	maxSecret  = 128     // bytes
)

// Kind is one of the constants above.
func (k Key) Kind() string {
	switch k.public.(type) {
	case ed25519.PublicKey:
		return KindEd25519
	case *ecdsa.PublicKey:
		return KindP256
	}
	return KindHMAC
}

// Fingerprint tells keys apart without giving a secret away: 16 hexadecimal
// digits of the SHA-256 of the public key (PKIX), or of a MAC by the secret.
func (k Key) Fingerprint() string {
	var sum [sha256.Size]byte
	if k.public == nil {
		sum = sha256.Sum256(mac(k.secret, []byte("fingerprint")))
	} else if der, err := x509.MarshalPKIXPublicKey(k.public); err == nil {
		sum = sha256.Sum256(der)
	}
	return hex.EncodeToString(sum[:8])
}

// Generate makes a key of a kind: the private file, and the public one, which
// is nil for a secret. It fails with KindInvalid for another kind.
func Generate(kind string) (private, public []byte, err error) {
	switch kind {
	case KindEd25519:
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		return encodePair(priv, pub)
	case KindP256:
		priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		return encodePair(priv, priv.Public())
	case KindHMAC:
		secret := make([]byte, secretSize)
		_, err := rand.Read(secret)
		return fmt.Appendf(nil, "%x\n", secret), nil, err
	}
	return nil, nil, ota.Invalid("there are no keys of kind %q: it is %s, %s or %s", kind, KindEd25519, KindP256, KindHMAC)
}

func encodePair(priv crypto.PrivateKey, pub crypto.PublicKey) (private, public []byte, err error) {
	privDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, err
	}
	pubDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privDER})
	return private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pubDER}), nil
}

// ParseKeys reads a file of trusted keys: public keys in PEM, one or more, or
// one secret as hexadecimal digits. It fails with KindInvalid if there is no
// key, or if any is of another kind, a private one included.
func ParseKeys(file []byte) ([]Key, error) {
	if secret, ok, err := parseSecret(file); ok || err != nil {
		return []Key{{secret: secret}}, err
	}
	blocks, err := parsePEM(file)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, len(blocks))
	for i, b := range blocks {
		if b.Type != "PUBLIC KEY" {
			return nil, ota.Invalid("trusted key %d: found %q, expected \"PUBLIC KEY\"", i+1, b.Type)
		}
		public, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return nil, ota.Invalid("trusted key %d: %v", i+1, err)
		}
		if keys[i].public, err = supported(public); err != nil {
			return nil, within(fmt.Sprintf("trusted key %d", i+1), err)
		}
	}
	return keys, nil
}

// ParseSigner reads the file of one private key: PKCS#8 in PEM, SEC 1 for a
// P-256 key, or a secret as hexadecimal digits. It fails with KindInvalid.
func ParseSigner(file []byte) (Signer, error) {
	if secret, ok, err := parseSecret(file); ok || err != nil {
		return Signer{Key: Key{secret: secret}}, err
	}
	blocks, err := parsePEM(file)
	if err != nil {
		return Signer{}, err
	}
	// "openssl ecparam -genkey" writes the curve before the key.
	blocks = slices.DeleteFunc(blocks, func(b *pem.Block) bool { return b.Type == "EC PARAMETERS" })
	if len(blocks) != 1 {
		return Signer{}, ota.Invalid("the file of a private key must hold one key, this one holds %d", len(blocks))
	}
	private, err := parsePrivate(blocks[0])
	if err != nil {
		return Signer{}, err
	}
	public, err := supported(private.Public())
	return Signer{Key{public: public}, private}, err
}

func parsePrivate(b *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch b.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		// Some tools put PKCS#8 under this name, and openssl reads it.
		if key, err = x509.ParsePKCS8PrivateKey(b.Bytes); err != nil {
			key, err = x509.ParseECPrivateKey(b.Bytes)
		}
	case "ENCRYPTED PRIVATE KEY":
		return nil, ota.Invalid("the private key is encrypted: decrypt it first, for example with \"openssl pkey\"")
	case "PUBLIC KEY":
		return nil, ota.Invalid("this is a public key: signing needs the private one")
	default:
		return nil, ota.Invalid("private key: found %q, expected \"PRIVATE KEY\" (PKCS#8)", b.Type)
	}
	if err != nil {
		return nil, ota.Invalid("private key: %v", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, ota.Invalid("private key: a %T does not sign", key)
	}
	return signer, nil
}

func supported(public crypto.PublicKey) (crypto.PublicKey, error) {
	switch key := public.(type) {
	case ed25519.PublicKey:
		if anybodySigns(key) {
			return nil, ota.Invalid("it is no key but a point of small order, for which anybody can sign")
		}
		return key, nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return key, nil
		}
		return nil, ota.Invalid("the curve is %s, but must be P-256", key.Curve.Params().Name)
	}
	return nil, ota.Invalid("it is a %T, but must be Ed25519 or ECDSA P-256", public)
}

// anybodySigns reports whether a public key takes signatures that were made
// without a private one: zero, and the neutral point. A point of small order
// takes them for at least one message in eight, a key for none.
func anybodySigns(key ed25519.PublicKey) bool {
	signature := make([]byte, ed25519.SignatureSize)
	signature[0] = 1 // the neutral point
	for message := range 256 {
		if ed25519.Verify(key, []byte{byte(message)}, signature) {
			return true
		}
	}
	return false
}

// parseSecret reads a file of nothing but hexadecimal digits.
func parseSecret(file []byte) (secret []byte, ok bool, err error) {
	digits := bytes.TrimSpace(file)
	if len(digits) == 0 || len(digits) > 2*maxSecret {
		return nil, false, nil
	}
	secret = make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(secret, digits); err != nil {
		return nil, false, nil
	}
	if len(secret) < secretSize {
		return nil, false, ota.Invalid("a secret key of %d bytes is too short, it must have %d", len(secret), secretSize)
	}
	return secret, true, nil
}

// parsePEM finds every PEM block, at least one. Text around them is ignored,
// a block that cannot be read is not.
func parsePEM(file []byte) ([]*pem.Block, error) {
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
	if begun == 0 || len(blocks) != begun {
		return nil, ota.Invalid("the key file holds %d readable PEM blocks of %d, and is not a secret in hexadecimal digits either", len(blocks), begun)
	}
	return blocks, nil
}
