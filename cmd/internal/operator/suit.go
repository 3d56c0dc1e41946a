package operator

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/suit"
)

func suitCommands(o *options) *cobra.Command {
	c := group("suit", "Make manifests for constrained devices, sign them and look into them",
		suitKeygen(o), suitCreate(o), suitSign(o), suitVerify(o), suitShow(o))
	c.Long = `Make manifests for constrained devices, sign them and look into them.

A SUIT manifest tells a class of devices which images to fetch, from where,
and what they must be. Two dialects are known: the standard one (the draft
draft-ietf-suit-manifest-37) and RIOT's (draft 09). None of these commands
needs a server.`
	c.Example = `  updraft suit keygen --out author.key
  updraft suit create app.bin --vendor example.com --class lamp-1 --sequence 7 \
      --url-root coap://updates.example.com/lamp --sign author.key --out app.suit
  updraft suit show app.suit --key author.key.pub`
	return c
}

func suitKeygen(o *options) *cobra.Command {
	var out string
	kind := suit.KindEd25519
	c := &cobra.Command{
		Use:   "keygen --out FILE",
		Short: "Make a key that signs manifests",
		Long: `Make a key: FILE holds the private half, for whoever writes manifests, and
FILE.pub the public one, for servers and devices. A key of kind hmac is one
secret, which both sides have. RIOT reads signatures by ed25519 only. Existing
files are not overwritten.`,
		Example: `  updraft suit keygen --out author.key
  updraft suit keygen --kind p256 --out other.key -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			private, public, err := suit.Generate(kind)
			if err != nil {
				return err
			}
			signer, err := suit.ParseSigner(private)
			if err != nil {
				return err
			}
			if err := create(out, private, 0o600); err != nil {
				return err
			}
			doc := keyFiles{Kind: kind, Fingerprint: signer.Fingerprint(), Private: out}
			if public != nil {
				doc.Public = out + ".pub"
				if err := create(doc.Public, public, 0o644); err != nil {
					return errors.Join(err, os.Remove(out))
				}
			}
			return o.show(c, doc, doc.print)
		},
	}
	c.Flags().StringVar(&out, "out", "", "private key's `FILE`; the public one goes to FILE.pub")
	c.Flags().Var(settings.Choice{Word: &kind, Words: []string{suit.KindEd25519, suit.KindP256, suit.KindHMAC}}, "kind", "`kind` of key: ed25519, p256 or hmac")
	need(c, "out")
	return c
}

// keyFiles tells what keygen made.
type keyFiles struct {
	Kind        string `json:"kind"`
	Fingerprint string `json:"fingerprint"`
	Private     string `json:"private_key"`
	Public      string `json:"public_key,omitempty"`
}

func (k keyFiles) print(w io.Writer) {
	if k.Public == "" {
		fmt.Fprintf(w, "%s  signs manifests, and devices check them with it, as key %s: keep it secret\n", k.Private, k.Fingerprint)
		return
	}
	fmt.Fprintf(w, "%s  signs manifests: keep it secret, and away from the server\n%s  goes to servers and devices that are to trust it, as key %s\n", k.Private, k.Public, k.Fingerprint)
}

// readSmall reads a file that must not be longer than most bytes.
func readSmall(path string, most int64) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("%s is %d bytes long, at most %d are read", path, size, most)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// maxKeys is the longest file of keys that is read, in bytes.
const maxKeys = 1 << 20

func readSigner(path, id string) (suit.Signer, error) {
	file, err := readSmall(path, maxKeys)
	if err != nil {
		return suit.Signer{}, err
	}
	s, err := suit.ParseSigner(file)
	if err != nil {
		return suit.Signer{}, fmt.Errorf("%s: %w", path, err)
	}
	s.ID = id
	return s, nil
}

// readKeys reads the files of trusted keys.
func readKeys(paths []string) (keys []suit.Key, err error) {
	for _, path := range paths {
		file, err := readSmall(path, maxKeys)
		if err != nil {
			return nil, err
		}
		found, err := suit.ParseKeys(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		keys = append(keys, found...)
	}
	return keys, nil
}

// findings prints what Check found, errors first.
func findings(w io.Writer, found []suit.Finding) {
	for _, severity := range []suit.Severity{suit.SeverityError, suit.SeverityWarning} {
		for _, f := range found {
			if f.Severity == severity {
				fmt.Fprintln(w, f)
			}
		}
	}
}
