package suit

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/updraft-ota/updraft/ota"
)

// The algorithms of signatures and MACs (7.5). ESP256 and Ed25519 are the
// fully specified numbers of RFC 9864; ES256 and EdDSA are read, and EdDSA is
// written for RIOT.
const (
	ES256   Algorithm = -7
	EdDSA   Algorithm = -8
	ESP256  Algorithm = -9
	Ed25519 Algorithm = -19
	HMAC256 Algorithm = 5
)

// algorithms are those that are checked here.
var algorithms = map[Algorithm]bool{ES256: true, EdDSA: true, ESP256: true, Ed25519: true, HMAC256: true}

func (a Algorithm) String() string {
	switch a {
	case SHA256, RIOTSHA256:
		return "sha-256"
	case SHA384:
		return "sha-384"
	case SHA512:
		return "sha-512"
	case ES256:
		return "ES256"
	case EdDSA:
		return "EdDSA"
	case ESP256:
		return "ESP256"
	case Ed25519:
		return "Ed25519"
	case HMAC256:
		return "HMAC 256/256"
	}
	return fmt.Sprintf("algorithm %d", int64(a))
}

// Structure is the CBOR tag of a COSE structure.
type Structure uint64

// Those that are read; Sign (98) and Mac (97) are recognised and vouch for
// nothing.
const (
	Mac0  Structure = 17
	Sign1 Structure = 18
)

func (s Structure) String() string {
	switch s {
	case Mac0:
		return "COSE_Mac0"
	case Sign1:
		return "COSE_Sign1"
	}
	return fmt.Sprintf("COSE structure %d", uint64(s))
}

// The labels of COSE headers (RFC 9052 3.1).
const (
	labelAlgorithm = 1
	labelCritical  = 2
	labelKeyID     = 4
)

// Block is one COSE structure: somebody vouching for a digest.
type Block struct {
	Structure Structure
	Algorithm Algorithm
	KeyID     []byte // a hint, not to be relied on; mostly absent
	Payload   []byte // nil if detached
	Problem   string // why it cannot vouch for anything, whatever the key

	protected, signature []byte
	raw                  []byte // as it was read
}

// readBlock reads a COSE structure. One that is well-formed but not
// understood is a Block with a Problem.
func readBlock(it item) (Block, error) {
	number, in, err := it.tag()
	if err != nil {
		return Block{}, err
	}
	b := Block{Structure: Structure(number), raw: it}
	if b.Structure != Sign1 && b.Structure != Mac0 {
		b.Problem = b.Structure.String() + " is not supported"
		return b, nil
	}
	parts, err := in.array()
	if err == nil && len(parts) != 4 {
		err = ota.Invalid("%s has %d parts, not 4", b.Structure, len(parts))
	}
	if err != nil {
		return Block{}, err
	}
	if err := b.readHeaders(parts[0], parts[1]); err != nil {
		return Block{}, err
	}
	if !parts[2].null() {
		if b.Payload, err = parts[2].bytes(); err != nil {
			return Block{}, err
		}
	}
	b.signature, err = parts[3].bytes()
	return b, err
}

func (b *Block) readHeaders(protected, unprotected item) (err error) {
	if b.protected, err = protected.bytes(); err != nil {
		return err
	}
	seen := map[string]bool{}
	if len(b.protected) > 0 {
		headers, err := whole(b.protected)
		if err != nil {
			return err
		}
		if err := b.readHeader(headers, true, seen); err != nil {
			return err
		}
	}
	if err := b.readHeader(unprotected, false, seen); err != nil {
		return err
	}
	if b.Algorithm == 0 && b.Problem == "" {
		b.Problem = "its protected header names no algorithm that is known"
	}
	return nil
}

func (b *Block) readHeader(headers item, protected bool, seen map[string]bool) error {
	pairs, err := headers.pairs()
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if key := string(p.key); seen[key] { // RFC 9052 3
			b.Problem = "a header is both protected and not"
		} else {
			seen[key] = true
		}
		label, err := p.key.int()
		if err != nil {
			continue // labels may be texts, which say nothing to us
		}
		switch label {
		case labelAlgorithm:
			if n, err := p.value.int(); err == nil && protected {
				b.Algorithm = Algorithm(n)
			}
		case labelCritical:
			b.Problem = "it has critical headers, of which none is supported"
		case labelKeyID:
			if b.KeyID, err = p.value.bytes(); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode writes the structure, or gives back what was read.
func (b Block) encode() []byte {
	if b.raw != nil {
		return b.raw
	}
	out := appendHead(appendHead(nil, majorTag, uint64(b.Structure)), majorArray, 4)
	out = appendBytes(out, b.protected)
	if len(b.KeyID) == 0 {
		out = appendHead(out, majorMap, 0)
	} else {
		out = appendBytes(appendInt(appendHead(out, majorMap, 1), labelKeyID), b.KeyID)
	}
	if b.Payload == nil {
		out = append(out, cborNull)
	} else {
		out = appendBytes(out, b.Payload)
	}
	return appendBytes(out, b.signature)
}

// message is what is signed: Sig_structure or MAC_structure (RFC 9052 4.4 and
// 6.3), with no external data.
func (b Block) message(payload []byte) []byte {
	context := "Signature1"
	if b.Structure == Mac0 {
		context = "MAC0"
	}
	out := appendText(appendHead(nil, majorArray, 4), context)
	out = appendBytes(out, b.protected)
	out = appendBytes(out, nil)
	return appendBytes(out, payload)
}

// Verify reports whether the key vouches for the payload by this block. A
// payload that the block carries itself must be the same.
func (b Block) Verify(k Key, payload []byte) bool {
	if b.Problem != "" || b.Payload != nil && string(b.Payload) != string(payload) {
		return false
	}
	m := b.message(payload)
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		return b.Structure == Sign1 && (b.Algorithm == EdDSA || b.Algorithm == Ed25519) && ed25519.Verify(public, m, b.signature)
	case *ecdsa.PublicKey:
		return b.Structure == Sign1 && (b.Algorithm == ES256 || b.Algorithm == ESP256) && verifyECDSA(public, m, b.signature)
	case nil:
		return b.Structure == Mac0 && b.Algorithm == HMAC256 && len(k.secret) > 0 && hmac.Equal(mac(k.secret, m), b.signature)
	}
	return false
}

// p256Size is the length of each of the two numbers of a signature.
const p256Size = 32

func verifyECDSA(public *ecdsa.PublicKey, message, signature []byte) bool {
	if len(signature) != 2*p256Size {
		return false
	}
	sum := sha256.Sum256(message)
	r, s := new(big.Int).SetBytes(signature[:p256Size]), new(big.Int).SetBytes(signature[p256Size:])
	return ecdsa.Verify(public, sum[:], r, s)
}

func mac(secret, message []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(message)
	return h.Sum(nil)
}

// sign makes a block over a payload, which it carries itself or not. It fails
// with KindInvalid if the algorithm is not one of the key's.
func sign(s Signer, a Algorithm, payload []byte, attach bool) (Block, error) {
	b := Block{Structure: Sign1, Algorithm: a, KeyID: []byte(s.ID)}
	if a == HMAC256 {
		b.Structure = Mac0
	}
	b.protected = appendInt(appendInt(appendHead(nil, majorMap, 1), labelAlgorithm), int64(a))
	m := b.message(payload)
	switch private := s.private.(type) {
	case ed25519.PrivateKey:
		b.signature = ed25519.Sign(private, m)
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(m)
		r, t, err := ecdsa.Sign(rand.Reader, private, sum[:])
		if err != nil {
			return Block{}, err
		}
		b.signature = append(r.FillBytes(make([]byte, p256Size)), t.FillBytes(make([]byte, p256Size))...)
	case nil:
		b.signature = mac(s.secret, m)
	}
	if attach {
		b.Payload = payload
	}
	if !b.Verify(s.Key, payload) {
		return Block{}, ota.Invalid("a key of kind %s does not sign with %s", s.Kind(), a)
	}
	return b, nil
}
