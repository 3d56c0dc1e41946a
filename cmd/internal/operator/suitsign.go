package operator

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/suit"
)

func suitSign(o *options) *cobra.Command {
	var key, keyID, out string
	c := &cobra.Command{
		Use:   "sign MANIFEST --key FILE --out FILE",
		Short: "Add a signature to a manifest",
		Long: `Add a signature to a manifest. Signatures that are there already stay; devices
take a manifest that one of the keys they trust has signed. The result is
written to a file of its own.`,
		Example: `  updraft suit sign app.unsigned.suit --key author.key --out app.suit`,
		Args:    takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := readEnvelope(args[0])
			if err != nil {
				return err
			}
			if keyID != "" && e.Dialect == suit.RIOT {
				return usage.Errorf("--key-id: RIOT has no room for it")
			}
			signer, err := readSigner(key, keyID)
			if err != nil {
				return err
			}
			if err := e.Sign(signer); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return o.writeManifest(c, out, e, suit.Rules{Trusted: []suit.Key{signer.Key}})
		},
	}
	fs := c.Flags()
	fs.StringVar(&key, "key", "", "private key's `FILE`, see updraft suit keygen")
	fs.StringVar(&keyID, "key-id", "", "`name` of the key, written beside the signature (standard)")
	fs.StringVar(&out, "out", "", "signed manifest's `FILE`")
	need(c, "key", "out")
	return c
}

func readEnvelope(path string) (*suit.Envelope, error) {
	file, err := readSmall(path, suit.MaxEnvelope)
	if err != nil {
		return nil, err
	}
	e, err := suit.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}
