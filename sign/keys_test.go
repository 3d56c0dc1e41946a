package sign

import (
	"bytes"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

func TestAGeneratedPairWorks(t *testing.T) {
	privatePEM, publicPEM, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	private, err := ParsePrivate(privatePEM)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublic(publicPEM)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(public, theID, theSums, Sign(private, theID, theSums)); err != nil {
		t.Error(err)
	}
	again, _, err := Generate()
	if err != nil || bytes.Equal(again, privatePEM) {
		t.Errorf("two pairs are the same, %v", err)
	}
}

func TestManyKeysWithNotesBetween(t *testing.T) {
	file := "# the release team, since 2026\n" + string(read(t, "public.pem")) +
		"\n# the spare, in the safe\n" + string(read(t, "other-public.pem"))
	keys, err := ParsePublic([]byte(file))
	if err != nil || len(keys) != 2 {
		t.Errorf("got %d keys, %v", len(keys), err)
	}
}

func TestWindowsLineEnds(t *testing.T) {
	file := bytes.ReplaceAll(read(t, "public.pem"), []byte("\n"), []byte("\r\n"))
	if keys, err := ParsePublic(file); err != nil || len(keys) != 1 {
		t.Errorf("got %d keys, %v", len(keys), err)
	}
}

func TestRefusedKeyFiles(t *testing.T) {
	public, private := string(read(t, "public.pem")), string(read(t, "private.pem"))
	broken := strings.Replace(public, "MCow", "M!ow", 1)
	shortened := strings.Replace(public, "MCowBQYD", "", 1)

	parsePublic := func(b []byte) error { _, err := ParsePublic(b); return err }
	parsePrivate := func(b []byte) error { _, err := ParsePrivate(b); return err }
	for _, c := range []struct {
		name  string
		parse func([]byte) error
		file  string
		text  string // part of the error
	}{
		{"empty", parsePublic, "", "no PEM block"},
		{"not PEM", parsePublic, "ssh-ed25519 AAAA", "no PEM block"},
		{"a private key among the trusted", parsePublic, public + private, `found "PRIVATE KEY"`},
		{"a broken key after a good one", parsePublic, public + broken, "only 1 readable"},
		{"a broken key before a good one", parsePublic, broken + public, "only 1 readable"},
		{"a cut file", parsePublic, public[:60], "only 0 readable"},
		{"half a key", parsePublic, shortened, "trusted key 1"},
		{"another algorithm", parsePublic, string(read(t, "ec-public.pem")), "must be Ed25519"},
		{"too long", parsePublic, strings.Repeat("x", maxKeyFile+1), "at most"},

		{"no private key", parsePrivate, "", "no PEM block"},
		{"a public key for signing", parsePrivate, public, "this is a public key"},
		{"two private keys", parsePrivate, private + private, "holds 2"},
		{"an encrypted key", parsePrivate, string(read(t, "encrypted-private.pem")), "decrypt it first"},
		{"another algorithm's key", parsePrivate, string(read(t, "ec-private.pem")), "must be Ed25519"},
		{"a key of another form", parsePrivate, strings.ReplaceAll(private, "PRIVATE KEY", "RSA PRIVATE KEY"), "expected"},
		{"half a private key", parsePrivate, strings.Replace(private, "MC4CAQAw", "", 1), "private key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.parse([]byte(c.file))
			if ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want one that says %q", err, c.text)
			}
			if err != nil && strings.Contains(err.Error(), "MC4C") {
				t.Errorf("the error shows key material: %v", err)
			}
		})
	}
}
