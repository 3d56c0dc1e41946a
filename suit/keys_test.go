package suit

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

func TestGeneratedKeysWork(t *testing.T) {
	for _, kind := range []string{KindEd25519, KindP256, KindHMAC} {
		private, public, err := Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		if kind == KindHMAC {
			if public != nil {
				t.Error("a secret has a public half")
			}
			public = private
		}
		keys, err := ParseKeys(public)
		if err != nil || len(keys) != 1 || keys[0].Kind() != kind || keys[0].Fingerprint() != s.Fingerprint() {
			t.Fatalf("%v, %v", keys, err)
		}
		e := &Envelope{manifest: manifestOf(4, []byte{0x61, 'u'})}
		if err := e.Sign(s); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Authenticate(keys); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := Generate("rsa"); ota.KindOf(err) != ota.KindInvalid {
		t.Errorf("got %v", err)
	}
}

// TestAKeyForWhichAnybodySigns is none: the points of small order, in every
// way they are written.
func TestAKeyForWhichAnybodySigns(t *testing.T) {
	for _, point := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000", // the neutral one
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // of order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // of order 4
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // of order 8
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // the neutral one, in a longer form
	} {
		b, err := hex.DecodeString(point)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(b))
		if err != nil {
			t.Fatal(err)
		}
		file := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if _, err := ParseKeys(file); ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), "anybody can sign") {
			t.Errorf("%s: %v", point, err)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	ed, p256 := string(vectorFile(t, "keys/own-ed25519-public.pem")), string(vectorFile(t, "keys/own-p256-public.pem"))
	private := string(vectorFile(t, "keys/own-ed25519-private.pem"))
	if keys, err := ParseKeys([]byte("# both\n" + ed + p256)); err != nil || len(keys) != 2 {
		t.Errorf("%v, %v", keys, err)
	}
	if s, err := ParseSigner(vectorFile(t, "keys/libcsuit-es256.pem")); err != nil || s.Kind() != KindP256 {
		t.Errorf("openssl: %v", err) // with EC PARAMETERS before it, as openssl writes them
	}
	fresh, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, _ := x509.MarshalECPrivateKey(fresh)
	if s, err := ParseSigner(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})); err != nil || s.Kind() != KindP256 {
		t.Errorf("SEC 1: %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKIXPublicKey(p384.Public())
	other := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	keys := func(b []byte) error { _, err := ParseKeys(b); return err }
	signer := func(b []byte) error { _, err := ParseSigner(b); return err }
	for _, c := range []struct {
		name  string
		parse func([]byte) error
		file  string
		text  string
	}{
		{"nothing", keys, "", "0 readable"},
		{"a private key among the trusted", keys, private, `found "PRIVATE KEY"`},
		{"another curve", keys, other, "P-256"},
		{"half a key", keys, strings.Replace(ed, "MCow", "", 1), "trusted key 1"},
		{"a broken key after a good one", keys, ed + strings.Replace(ed, "MCow", "M!ow", 1), "1 readable PEM blocks of 2"},
		{"a short secret", keys, "00112233", "too short"},
		{"a long file", keys, strings.Repeat("x", maxKeyFile+1), "at most"},
		{"a public key for signing", signer, ed, "this is a public key"},
		{"two private keys", signer, private + private, "holds 2"},
		{"an encrypted key", signer, strings.ReplaceAll(private, "PRIVATE", "ENCRYPTED PRIVATE"), "decrypt it first"},
		{"a short secret for signing", signer, "00112233", "too short"},
	} {
		if err := c.parse([]byte(c.file)); ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
