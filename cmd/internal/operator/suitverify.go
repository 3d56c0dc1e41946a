package operator

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/suit"
)

func suitShow(o *options) *cobra.Command {
	var keys []string
	c := &cobra.Command{
		Use:   "show MANIFEST",
		Short: "List what a manifest says",
		Long: `List what a manifest says: who signed it, for which components it is, and every
command with its parameters. Nothing is checked but the signatures; see
updraft suit verify.`,
		Example: `  updraft suit show app.suit
  updraft suit show app.suit --key author.key.pub -o json`,
		Args: takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			trusted, err := readKeys(keys)
			if err != nil {
				return err
			}
			e, err := readEnvelope(args[0])
			if err != nil {
				return err
			}
			l := suit.List(e, trusted)
			return o.show(c, l, func(w io.Writer) { _ = l.WriteText(w) })
		},
	}
	c.Flags().StringArrayVar(&keys, "key", nil, "`FILE` of keys that are trusted; may be repeated")
	return c
}

func suitVerify(o *options) *cobra.Command {
	var p verification
	c := &cobra.Command{
		Use:   "verify MANIFEST --key FILE",
		Short: "Check a manifest, and the files it names",
		Long: `Check a manifest: that a trusted key has signed it, that its parts are those
that were signed, that devices can carry it out, and that the files it names
are the ones given with --file. With --vendor and --class it must be for these
devices only, with --last newer than what they have. Every reason against it is
told; the exit code is 1 if there is any.

A file given is the one whose URI ends in the same name; with URI=FILE it is
the one with this URI. Files that are not given are warned of, and one that the
manifest does not name is a reason against it.`,
		Example: `  updraft suit verify app.suit --key author.key.pub --file app.bin
  updraft suit verify app.suit --key author.key.pub --vendor example.com --class lamp-1 --last 6`,
		Args: takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			p.above = c.Flag("last").Changed
			return o.verifyManifest(c, p, args[0])
		},
	}
	fs := c.Flags()
	fs.StringArrayVar(&p.keys, "key", nil, "`FILE` of keys that are trusted; may be repeated")
	fs.StringArrayVar(&p.files, "file", nil, "a `FILE` that the manifest names, or URI=FILE; may be repeated")
	fs.StringVar(&p.vendor, "vendor", "", "the vendor it must be of: a `domain`, or a UUID")
	fs.StringVar(&p.class, "class", "", "the class it must be for: a `text`, or a UUID; needs --vendor")
	fs.Uint64Var(&p.last, "last", 0, "the sequence `number` it must be above")
	return c
}

// verdict is what verify prints.
type verdict struct {
	OK       bool           `json:"ok"`
	Dialect  string         `json:"dialect,omitempty"`
	Sequence uint64         `json:"sequence_number,omitempty"`
	Signer   string         `json:"signer,omitempty"` // fingerprint
	Findings []suit.Finding `json:"findings"`
}

func (o *options) verifyManifest(c *cobra.Command, p verification, manifest string) error {
	if len(p.keys) == 0 {
		return usage.Errorf("--key is needed")
	}
	v, err := p.check(manifest)
	if err != nil {
		return err
	}
	if err := o.show(c, verdictOf(v), func(w io.Writer) { findings(w, v.Findings); printVerdict(w, manifest, v) }); err != nil {
		return err
	}
	switch n := len(v.Reasons()); n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s is refused for 1 reason", manifest)
	default:
		return fmt.Errorf("%s is refused for %d reasons", manifest, n)
	}
}

func verdictOf(v *suit.Verdict) verdict {
	doc := verdict{OK: v.OK(), Findings: append([]suit.Finding{}, v.Findings...)}
	if v.Envelope != nil {
		doc.Dialect = v.Envelope.Dialect.String()
	}
	if v.Manifest != nil {
		doc.Sequence = v.Manifest.Sequence
	}
	if v.Signer != nil {
		doc.Signer = v.Signer.Fingerprint()
	}
	return doc
}

func printVerdict(w io.Writer, manifest string, v *suit.Verdict) {
	if v.OK() && v.Signer != nil {
		fmt.Fprintf(w, "%s  is good, sequence number %d, signed by key %s\n", manifest, v.Manifest.Sequence, v.Signer.Fingerprint())
	}
}
