package sign

import (
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// FuzzParse: whatever is taken for a key can be written down again, and no
// file is both a private and a trusted key.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"private.pem", "public.pem", "ec-private.pem", "ec-public.pem", "encrypted-private.pem"} {
		f.Add(read(f, name))
	}
	f.Add(append(read(f, "public.pem"), read(f, "other-public.pem")...))
	f.Fuzz(func(t *testing.T, file []byte) {
		public, perr := ParsePublic(file)
		private, serr := ParsePrivate(file)
		if perr == nil && serr == nil {
			t.Fatal("private and public at once")
		}
		for _, err := range []error{perr, serr} {
			if err != nil && ota.KindOf(err) != ota.KindInvalid {
				t.Errorf("%v is of kind %s", err, ota.KindOf(err))
			}
		}
		for _, key := range public {
			if _, err := x509.MarshalPKIXPublicKey(key); err != nil {
				t.Error(err)
			}
		}
		if serr == nil {
			Sign(private, theID, theSums) // does not panic
		}
	})
}

// FuzzVerify: the one text that verifies is the one Sign made, and a
// signature of our form has no second way to be written.
func FuzzVerify(f *testing.F) {
	good := signed(f, theID, theSums)
	keys := trusted(f, "public.pem")
	for _, s := range []string{good, good[:87], good + "\n", malleate(good), strings.Repeat("A", 86) + "=="} {
		f.Add(theID.Name, theID.Version, theSums.Size, string(theSums.SHA256), s)
	}
	f.Add("a\nb", "1", int64(0), otherDigest, good)
	f.Fuzz(func(t *testing.T, name, version string, size int64, digest, signature string) {
		id, sums := ota.PackageID{Name: name, Version: version}, ota.Sums{Size: size, SHA256: ota.Digest(digest)}
		err := Verify(keys, id, sums, signature)
		if genuine := id == theID && sums == theSums && signature == good; genuine != (err == nil) {
			t.Errorf("%q %q %d %q %q: %v", name, version, size, digest, signature, err)
		}
		if Recognised(signature) {
			raw, _ := base64.StdEncoding.DecodeString(signature)
			if base64.StdEncoding.EncodeToString(raw) != signature {
				t.Errorf("%q is a second way to write a signature", signature)
			}
		}
	})
}
