package suit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/veraison/go-cose"

	"github.com/updraft-ota/updraft/ota"
)

// TestAnotherImplementationReadsOurSignatures, where it knows the algorithm.
func TestAnotherImplementationReadsOurSignatures(t *testing.T) {
	payload := []byte("a digest")
	for _, c := range []struct {
		key       string
		algorithm Algorithm
		theirs    cose.Algorithm
	}{
		{"keys/own-ed25519-private.pem", EdDSA, cose.AlgorithmEdDSA},
		{"keys/own-p256-private.pem", ES256, cose.AlgorithmES256},
	} {
		s := signerFrom(t, c.key)
		s.ID = "somebody"
		b, err := sign(s, c.algorithm, payload, false)
		if err != nil {
			t.Fatal(err)
		}
		var theirs cose.Sign1Message
		if err := theirs.UnmarshalCBOR(b.encode()); err != nil {
			t.Fatal(err)
		}
		theirs.Payload = payload
		verifier, err := cose.NewVerifier(c.theirs, s.public)
		if err != nil {
			t.Fatal(err)
		}
		if err := theirs.Verify(nil, verifier); err != nil {
			t.Errorf("%s: %v", c.algorithm, err)
		}
		if kid, _ := theirs.Headers.Unprotected[cose.HeaderLabelKeyID].([]byte); string(kid) != "somebody" {
			t.Errorf("key id %q", kid)
		}
	}
}

// TestWeReadTheirs, with the payload attached and detached.
func TestWeReadTheirs(t *testing.T) {
	payload := []byte("a digest")
	for file, algorithm := range map[string]cose.Algorithm{"keys/own-ed25519-private.pem": cose.AlgorithmEdDSA, "keys/own-p256-private.pem": cose.AlgorithmES256} {
		s := signerFrom(t, file)
		signer, err := cose.NewSigner(algorithm, s.private.(crypto.Signer))
		if err != nil {
			t.Fatal(err)
		}
		for _, attached := range []bool{true, false} {
			m := cose.NewSign1Message()
			m.Headers.Protected.SetAlgorithm(algorithm)
			m.Payload = payload
			if err := m.Sign(rand.Reader, nil, signer); err != nil {
				t.Fatal(err)
			}
			if !attached {
				m.Payload = nil
			}
			wire, err := m.MarshalCBOR()
			if err != nil {
				t.Fatal(err)
			}
			b, err := readBlock(mustWhole(t, wire))
			if err != nil || !b.Verify(s.Key, payload) || attached != (b.Payload != nil) {
				t.Errorf("%+v, %v", b, err)
			}
			if b.Verify(s.Key, []byte("another digest")) {
				t.Error("it vouches for anything")
			}
		}
	}
}

func mustWhole(t *testing.T, b []byte) item {
	t.Helper()
	it, err := whole(b)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// TestAKeyIsForItsOwnAlgorithms: no block is taken for another sort than it
// is.
func TestAKeyIsForItsOwnAlgorithms(t *testing.T) {
	var signers []Signer
	for _, name := range []string{"own-ed25519-private.pem", "own-p256-private.pem", "own-hmac256.hex"} {
		signers = append(signers, signerFrom(t, "keys/"+name))
	}
	fits := map[string][]Algorithm{KindEd25519: {EdDSA, Ed25519}, KindP256: {ES256, ESP256}, KindHMAC: {HMAC256}}
	for _, s := range signers {
		for _, a := range []Algorithm{ES256, EdDSA, ESP256, Ed25519, HMAC256, -35} {
			b, err := sign(s, a, []byte("x"), false)
			if want := slices.Contains(fits[s.Kind()], a); want != (err == nil) {
				t.Errorf("%s with %s: %v", s.Kind(), a, err)
			}
			for _, o := range signers {
				if err == nil && b.Verify(o.Key, []byte("x")) != (o.Kind() == s.Kind()) {
					t.Errorf("%s verifies %s", o.Kind(), s.Kind())
				}
			}
		}
	}
	if (Block{Structure: Mac0, Algorithm: HMAC256, signature: mac(nil, Block{Structure: Mac0}.message(nil))}).Verify(Key{}, nil) {
		t.Error("no key at all vouches")
	}
}

// TestABlockSpeaksOfOnePayload: one that carries another than is asked about
// does not vouch, even if its signature would fit.
func TestABlockSpeaksOfOnePayload(t *testing.T) {
	s := signerFrom(t, "keys/own-ed25519-private.pem")
	b, err := sign(s, Ed25519, []byte("this"), true)
	if err != nil {
		t.Fatal(err)
	}
	b.Payload = []byte("that")
	if b.Verify(s.Key, []byte("this")) || b.Verify(s.Key, []byte("that")) {
		t.Error("it vouches for both")
	}
}

// TestHeadersThatAreNotUnderstoodVouchForNothing.
func TestHeadersThatAreNotUnderstoodVouchForNothing(t *testing.T) {
	s := signerFrom(t, "keys/own-ed25519-private.pem")
	good, err := sign(s, Ed25519, []byte("x"), false)
	if err != nil {
		t.Fatal(err)
	}
	resigned := func(protected []byte) Block {
		b := good
		b.protected = protected
		b.signature = ed25519.Sign(s.private.(ed25519.PrivateKey), b.message([]byte("x")))
		return b
	}
	for name, c := range map[string]struct {
		wire    []byte
		problem string
	}{
		"critical headers": {resigned([]byte{0xa2, 1, 0x32, 2, 0x81, 4}).encode(), "critical"},
		"no algorithm":     {resigned(nil).encode(), "no algorithm"},
		"a text for it":    {resigned([]byte{0xa1, 1, 0x61, 'x'}).encode(), "no algorithm"},
		"a header twice":   {append([]byte{0xd2, 0x84, 0x43, 0xa1, 1, 0x32, 0xa1, 1, 0x32, 0xf6}, appendBytes(nil, good.signature)...), "both protected and not"},
		"COSE_Sign":        {[]byte{0xd8, 98, 0x80}, "not supported"},
	} {
		b, err := readBlock(mustWhole(t, c.wire))
		if err != nil || !strings.Contains(b.Problem, c.problem) || b.Verify(s.Key, []byte("x")) {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	for name, wire := range map[string][]byte{
		"three parts":        {0xd2, 0x83, 0x40, 0xa0, 0xf6},
		"a number for bytes": {0xd2, 0x84, 0x40, 0xa0, 0xf6, 1},
		"headers that break": {0xd2, 0x84, 0x41, 0xa1, 0xa0, 0xf6, 0x40},
	} {
		if _, err := readBlock(mustWhole(t, wire)); ota.KindOf(err) != ota.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestASignatureOfBigNumbers keeps its length, whatever its first bytes are.
func TestASignatureOfBigNumbers(t *testing.T) {
	s := signerFrom(t, "keys/own-p256-private.pem")
	for range 300 { // one in 256 begins with a zero byte
		b, err := sign(s, ESP256, []byte("x"), false)
		if err != nil || len(b.signature) != 2*p256Size {
			t.Fatalf("%d bytes, %v", len(b.signature), err)
		}
	}
	if verifyECDSA(s.public.(*ecdsa.PublicKey), []byte("x"), make([]byte, 64)) {
		t.Error("zero is a signature")
	}
}

// TestASecondSignatureLeavesTheFirst as it is.
func TestASecondSignatureLeavesTheFirst(t *testing.T) {
	e, err := Open(vectorFile(t, "own/eddsa.suit"))
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.Clone(e.Blocks[0].encode())
	second := signerFrom(t, "keys/own-p256-private.pem")
	second.ID = "second"
	if err := e.Sign(second); err != nil {
		t.Fatal(err)
	}
	again, err := Open(e.Encode())
	if err != nil || len(again.Blocks) != 2 || !bytes.Equal(again.Blocks[0].encode(), first) {
		t.Fatalf("%+v, %v", again, err)
	}
	for _, k := range []Key{second.Key, keysFrom(t, "keys/own-ed25519-public.pem")[0]} {
		if by, err := again.Authenticate([]Key{k}); err != nil || by.Fingerprint() != k.Fingerprint() {
			t.Errorf("%v, %v", by, err)
		}
	}
}

// TestAKeySignsOnce: again would only make the manifest longer.
func TestAKeySignsOnce(t *testing.T) {
	e, signer := riotSample(t)
	if err := e.Sign(signer); err != nil {
		t.Fatal(err)
	}
	if err := e.Sign(signer); ota.CodeOf(err) != codeSigned || len(e.Blocks) != 1 {
		t.Errorf("%d signatures, %v", len(e.Blocks), err)
	}
}

// TestNobodySignsADigestThatDoesNotFit, and RIOT knows one sort of key.
func TestNobodySignsADigestThatDoesNotFit(t *testing.T) {
	e, err := Open(vectorFile(t, "own/bad-manifest-bit.suit"))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Sign(signerFrom(t, "keys/own-p256-private.pem")); err == nil {
		t.Error("signed")
	}
	riot, err := Open(vectorFile(t, "riot-draft-09/riot.native.ram.unsigned.suit"))
	if err != nil {
		t.Fatal(err)
	}
	if err := riot.Sign(signerFrom(t, "keys/own-p256-private.pem")); err == nil || !strings.Contains(err.Error(), "EdDSA") {
		t.Errorf("RIOT with P-256: %v", err)
	}
}

// TestVectorsVerifyElsewhere as they do here, as far as the other
// implementation knows their algorithms.
func TestVectorsVerifyElsewhere(t *testing.T) {
	theirs := map[Algorithm]cose.Algorithm{ES256: cose.AlgorithmES256, EdDSA: cose.AlgorithmEdDSA}
	compared := 0
	for _, v := range suits(t) {
		e, err := Open(v.bytes(t))
		if err != nil {
			continue
		}
		for _, b := range e.Blocks {
			algorithm, known := theirs[b.Algorithm]
			for _, k := range v.trusted(t) {
				if !known || k.public == nil {
					continue
				}
				compared++
				var m cose.Sign1Message
				if err := m.UnmarshalCBOR(b.encode()); err != nil {
					t.Fatal(err)
				}
				m.Payload = e.signed
				verifier, err := cose.NewVerifier(algorithm, k.public)
				if err != nil {
					t.Fatal(err)
				}
				if good := m.Verify(nil, verifier) == nil; good != b.Verify(k, e.signed) {
					t.Errorf("%s: they say %v", v.File, good)
				}
			}
		}
	}
	if compared < 14 {
		t.Errorf("compared only %d signatures", compared)
	}
}
