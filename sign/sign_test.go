package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// What testdata/message says.
var (
	theID   = ota.PackageID{Name: "publicsuffix", Version: "20230209.2326-1"}
	theSums = ota.Sums{Size: 126540, SHA256: "23914a83c3c7080988b4aab957e8c1abf4a281df9cc77c7e1d43d3e81f39e94e"}
)

const otherDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func theKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	key, err := ParsePrivate(read(t, "private.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func trusted(t testing.TB, files ...string) []ed25519.PublicKey {
	t.Helper()
	var all []byte
	for _, f := range files {
		all = append(all, read(t, f)...)
	}
	keys, err := ParsePublic(all)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func signed(t testing.TB, id ota.PackageID, s ota.Sums) string {
	t.Helper()
	return Sign(theKey(t), id, s)
}

func TestMessageIsAsDocumented(t *testing.T) {
	if diff := cmp.Diff(string(read(t, "message")), string(message(theID, theSums))); diff != "" {
		t.Error(diff)
	}
}

func TestSignatureIsTheOneOpenSSLMakes(t *testing.T) {
	want := strings.TrimSpace(string(read(t, "signature")))
	if got := signed(t, theID, theSums); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := Verify(trusted(t, "public.pem"), theID, theSums, want); err != nil {
		t.Error(err)
	}
}

func TestAnyTrustedKeyWillDo(t *testing.T) {
	keys := trusted(t, "other-public.pem", "public.pem")
	if err := Verify(keys, theID, theSums, signed(t, theID, theSums)); err != nil {
		t.Error(err)
	}
}

func TestOnlySizeAndSHA256AreTaken(t *testing.T) {
	s := theSums
	s.SHA1, s.MD5 = "anything", "at all"
	if signed(t, theID, s) != signed(t, theID, theSums) {
		t.Error("other sums changed the signature")
	}
}

// refuse checks that an attack gets its verdict.
func refuse(t *testing.T, id ota.PackageID, s ota.Sums, signature string, want error) {
	t.Helper()
	if err := Verify(trusted(t, "public.pem"), id, s, signature); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestUnsigned(t *testing.T) { refuse(t, theID, theSums, "", ErrUnsigned) }

func TestSignatureOfAnotherName(t *testing.T) {
	other := ota.PackageID{Name: "publicsuffix2", Version: theID.Version}
	refuse(t, theID, theSums, signed(t, other, theSums), ErrUntrusted)
}

func TestSignatureOfAnotherVersion(t *testing.T) {
	older := ota.PackageID{Name: theID.Name, Version: "20220101-1"}
	refuse(t, theID, theSums, signed(t, older, theSums), ErrUntrusted)
}

func TestSignatureOfAnotherSize(t *testing.T) {
	longer := theSums
	longer.Size++
	refuse(t, theID, theSums, signed(t, theID, longer), ErrUntrusted)
}

func TestSwappedDigest(t *testing.T) {
	swapped := theSums
	swapped.SHA256 = otherDigest
	refuse(t, theID, swapped, signed(t, theID, theSums), ErrUntrusted)
}

func TestNameAndVersionShifted(t *testing.T) {
	a := ota.PackageID{Name: "a", Version: "b-1"}
	b := ota.PackageID{Name: "a-b", Version: "1"}
	refuse(t, b, theSums, signed(t, a, theSums), ErrUntrusted)
}

func TestWrongKey(t *testing.T) {
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, theID, theSums, Sign(stranger, theID, theSums), ErrUntrusted)
}

func TestNoTrustedKeys(t *testing.T) {
	if err := Verify(nil, theID, theSums, signed(t, theID, theSums)); err != ErrUntrusted {
		t.Errorf("got %v", err)
	}
}

func TestEveryFlippedBit(t *testing.T) {
	sig, err := base64.StdEncoding.DecodeString(signed(t, theID, theSums))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(sig) * 8 {
		sig[bit/8] ^= 1 << (bit % 8)
		refuse(t, theID, theSums, base64.StdEncoding.EncodeToString(sig), ErrUntrusted)
		sig[bit/8] ^= 1 << (bit % 8)
	}
}

// TestSignaturePlusGroupOrder: S and S+L are the same number to a careless
// verifier (RFC 8032, 5.1.7, asks for S < L).
func TestSignaturePlusGroupOrder(t *testing.T) {
	sig, err := base64.StdEncoding.DecodeString(signed(t, theID, theSums))
	if err != nil {
		t.Fatal(err)
	}
	order := [32]byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10}
	carry := 0
	for i, b := range order {
		sum := int(sig[32+i]) + int(b) + carry
		sig[32+i], carry = byte(sum), sum>>8
	}
	refuse(t, theID, theSums, base64.StdEncoding.EncodeToString(sig), ErrUntrusted)
}

func TestOtherForms(t *testing.T) {
	good := signed(t, theID, theSums)
	raw, err := base64.StdEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"truncated":            good[:len(good)-4],
		"truncated bytes":      base64.StdEncoding.EncodeToString(raw[:63]),
		"one byte more":        base64.StdEncoding.EncodeToString(append(raw[:64:64], 0)),
		"two signatures":       good + good,
		"trailing newline":     good + "\n",
		"newline for padding":  good[:86] + "\n\n",
		"newline in the midst": good[:40] + "\n" + good[40:],
		"spaces around":        " " + good + " ",
		"without padding":      strings.TrimRight(good, "="),
		"url alphabet":         base64.URLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 64))),
		"padding bits set":     malleate(good),
		"hexadecimal":          strings.Repeat("ab", 64),
		"another system's":     "-----BEGIN PGP SIGNATURE-----",
		"88 bytes of nothing":  strings.Repeat("\x00", 88),
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, theID, theSums, s, ErrForm)
			if Recognised(s) {
				t.Errorf("%q is recognised", s)
			}
		})
	}
	if !Recognised(good) || Recognised("") {
		t.Error("our own form is not told from none")
	}
}

// malleate sets bits that base64 decoders drop: 64 bytes leave four of them.
func malleate(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, s[85])
	return s[:85] + string(alphabet[last|1]) + s[86:]
}

// TestNewlineInjection: a publisher who is talked into signing an odd name has
// not thereby signed another package, and the odd one is refused as well.
func TestNewlineInjection(t *testing.T) {
	digest := string(theSums.SHA256)
	for name, id := range map[string]ota.PackageID{
		"version in the name": {Name: theID.Name + "\n" + theID.Version, Version: "126540"},
		"size in the version": {Name: theID.Name, Version: theID.Version + "\n126540"},
		"a whole message":     {Name: theID.Name + "\n" + theID.Version + "\n126540\n" + digest + "\n", Version: "x"},
		"at the end":          {Name: theID.Name, Version: theID.Version + "\n"},
		"carriage return":     {Name: theID.Name + "\r", Version: theID.Version},
		"empty name":          {Version: theID.Version},
		"empty version":       {Name: theID.Name},
	} {
		t.Run(name, func(t *testing.T) {
			signature := signed(t, id, theSums)
			refuse(t, theID, theSums, signature, ErrUntrusted)
			refuseInvalid(t, id, theSums, signature)
		})
	}
}

func TestUnknownSums(t *testing.T) {
	for name, s := range map[string]ota.Sums{
		"size":              {Size: -1, SHA256: theSums.SHA256},
		"digest":            {Size: 1},
		"upper-case digest": {Size: 1, SHA256: ota.Digest(strings.ToUpper(string(theSums.SHA256)))},
		"digest of lines":   {Size: 1, SHA256: theSums.SHA256[:62] + "\n\n"},
	} {
		t.Run(name, func(t *testing.T) { refuseInvalid(t, theID, s, signed(t, theID, s)) })
	}
}

// refuseInvalid checks that even its own signature does not help it.
func refuseInvalid(t *testing.T, id ota.PackageID, s ota.Sums, signature string) {
	t.Helper()
	err := Verify(trusted(t, "public.pem"), id, s, signature)
	if ota.CodeOf(err) != "invalid_entity" {
		t.Errorf("got %v", err)
	}
}

func TestVerdictsAreTold(t *testing.T) {
	for err, code := range map[error]string{
		ErrUnsigned:  "unsigned_package",
		ErrForm:      "unknown_signature",
		ErrUntrusted: "untrusted_signature",
	} {
		if ota.KindOf(err) != ota.KindInvalid || ota.CodeOf(err) != code {
			t.Errorf("%v: %s, %s", err, ota.KindOf(err), ota.CodeOf(err))
		}
	}
}
