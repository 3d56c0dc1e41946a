package operator

import (
	"fmt"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
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
		Args: cobra.ExactArgs(1),
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

// verification is what a manifest is held to, as flags say it.
type verification struct {
	keys, files   []string
	vendor, class string
	last          uint64
}

func suitVerify(o *options) *cobra.Command {
	var p verification
	c := &cobra.Command{
		Use:   "verify MANIFEST --key FILE",
		Short: "Check a manifest, and the files it names",
		Long: `Check a manifest: that a trusted key has signed it, that its parts are those
that were signed, that devices can carry it out, and that the files it names
are the ones given with --file. Every reason against it is told; the exit code
is 1 if there is any.

A file given is the one whose URI ends in the same name; with URI=FILE it is
the one with this URI.`,
		Example: `  updraft suit verify app.suit --key author.key.pub --file app.bin
  updraft suit verify app.suit --key author.key.pub --vendor example.com --class lamp-1 --last 6`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.verifyManifest(c, p, args[0]) },
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
	rules, err := p.rules(c.Flag("last").Changed)
	if err != nil {
		return err
	}
	stored := givenFiles{storedFiles{}}
	defer stored.close()
	for _, f := range p.files {
		uri, name, named := strings.Cut(f, "=")
		if !named {
			uri, name = filepath.Base(f), f
		}
		if _, err := stored.add(uri, name); err != nil {
			return err
		}
	}
	rules.Stored = stored.find
	file, err := readSmall(manifest, suit.MaxEnvelope)
	if err != nil {
		return err
	}
	v, err := suit.Check(file, rules)
	if err != nil {
		return err
	}
	if err := o.show(c, verdictOf(v), func(w io.Writer) { findings(w, v.Findings); printVerdict(w, manifest, v) }); err != nil {
		return err
	}
	if !v.OK() {
		return fmt.Errorf("%s is refused for %d reasons", manifest, len(v.Reasons()))
	}
	return nil
}

func (p verification) rules(hasLast bool) (suit.Rules, error) {
	trusted, err := readKeys(p.keys)
	r := suit.Rules{Trusted: trusted}
	if p.class != "" && p.vendor == "" {
		return r, usage.Errorf("--class needs --vendor")
	}
	if p.vendor != "" {
		wanted := identifier(p.vendor, suit.VendorID)
		board := identifier(p.class, func(text string) uuid.UUID { return suit.ClassID(wanted, text) })
		r.Known = func(vendor, class uuid.UUID) bool { return vendor == wanted && (p.class == "" || class == board) }
	}
	if hasLast {
		r.Last = func(_, _ uuid.UUID) (uint64, bool) { return p.last, true }
	}
	return r, err
}

// givenFiles are found by their whole URI, or by the name it ends in.
type givenFiles struct{ storedFiles }

func (s givenFiles) find(uri string) (suit.File, error) {
	if f, err := s.storedFiles.find(uri); err == nil {
		return f, nil
	}
	name, err := url.PathUnescape(path.Base(uri))
	if err != nil {
		return suit.File{}, suit.ErrNotStored
	}
	return s.storedFiles.find(name)
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
