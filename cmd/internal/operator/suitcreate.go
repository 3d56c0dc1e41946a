package operator

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/suit"
)

// maxIntegrated is the longest file that fits into an envelope, in bytes.
const maxIntegrated = suit.MaxEnvelope - suit.MaxManifest

// creation is what a manifest is made from, as flags say it.
type creation struct {
	images        []string // FILE[:SLOT[:COMPONENT]]
	dialect       string
	vendor, class string
	urlRoot       string
	description   string
	key, keyID    string
	out           string
	integrated    bool
	recipe        suit.Recipe
}

func suitCreate(o *options) *cobra.Command {
	p := creation{dialect: suit.Standard.String()}
	c := &cobra.Command{
		Use:   "create FILE[:SLOT[:COMPONENT]]... --vendor DOMAIN --class TEXT --sequence N --out MANIFEST",
		Short: "Make a manifest for images",
		Long: `Make a manifest for images. SLOT is the number of the slot an image is for, or
with --dialect riot the slot's offset in flash; an image for each slot of a
component makes devices choose. COMPONENT is where the image goes, its parts
separated by ":", in hexadecimal digits (00, as default) or as text (ram:0).

Devices fetch an image from --url-root and its file's name. An image without
--url-root is checked and run where it is, but not fetched.

What no device could use is refused, and nothing is written. The manifest is
signed with --sign, or later with updraft suit sign.`,
		Example: `  updraft suit create app.bin --vendor example.com --class lamp-1 --sequence 7 \
      --url-root coap://updates.example.com/lamp --sign author.key --out app.suit
  updraft suit create slot0.7.bin:0x1000 slot1.7.bin:0x20800 --dialect riot \
      --vendor riot-os.org --class samr21-xpro --sequence 7 --sign author.key \
      --url-root 'coap://[2001:db8::1]/fw/app/samr21-xpro' --out riot.suit.7.bin`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.images = args
			return o.createManifest(c, p)
		},
	}
	fs := c.Flags()
	fs.Var(settings.Choice{Word: &p.dialect, Words: []string{suit.Standard.String(), suit.RIOT.String()}}, "dialect", "`dialect` of the manifest: standard or riot")
	fs.StringVar(&p.vendor, "vendor", "", "who makes the devices: a `domain`, or a UUID")
	fs.StringVar(&p.class, "class", "", "which of them the images are for: a `text`, such as the board's name, or a UUID")
	fs.Uint64Var(&p.recipe.Sequence, "sequence", 0, "sequence `number`, above that of every manifest before")
	fs.StringVar(&p.urlRoot, "url-root", "", "`URL` of the folder devices fetch the images from")
	fs.StringVar(&p.recipe.ReferenceURI, "reference", "", "`URI` where the manifest is found in full (standard)")
	fs.StringVar(&p.description, "description", "", "`text` for people, in the manifest or with --severable beside it (standard)")
	fs.BoolVar(&p.integrated, "integrated", false, "put the images into the manifest's envelope (standard)")
	fs.BoolVar(&p.recipe.Severable, "severable", false, "let installation and text be taken away once they were used (standard)")
	fs.BoolVar(&p.recipe.Invoke, "invoke", false, "run the first image after it was installed (standard)")
	fs.StringVar(&p.key, "sign", "", "sign with the private key in this `file`, see updraft suit keygen")
	fs.StringVar(&p.keyID, "key-id", "", "`name` of the key, written beside the signature (standard)")
	fs.StringVar(&p.out, "out", "", "manifest's `FILE`")
	need(c, "vendor", "class", "out")
	return c
}

// createdManifest tells what create and sign made.
type createdManifest struct {
	File     string         `json:"file"`
	Size     int            `json:"size"`
	Sequence uint64         `json:"sequence_number"`
	Digest   string         `json:"digest,omitempty"`
	Signed   bool           `json:"signed"`
	Findings []suit.Finding `json:"findings"`
}

func (o *options) createManifest(c *cobra.Command, p creation) error {
	if !c.Flag("sequence").Changed {
		return usage.Errorf("--sequence is needed")
	}
	if err := p.fill(); err != nil {
		return err
	}
	stored := storedFiles{}
	defer stored.close()
	for _, image := range p.images {
		t, err := p.target(image, stored)
		if err != nil {
			return err
		}
		p.recipe.Images = append(p.recipe.Images, t)
	}
	e, err := p.recipe.Envelope()
	if err != nil {
		return err
	}
	rules := suit.Rules{Stored: stored.find}
	if p.key != "" {
		signer, err := readSigner(p.key, p.keyID)
		if err != nil {
			return err
		}
		if err := e.Sign(signer); err != nil {
			return fmt.Errorf("%s: %w", p.key, err)
		}
		rules.Trusted = []suit.Key{signer.Key}
	}
	return o.writeManifest(c, p.out, e, rules)
}

// fill turns texts into what a recipe takes.
func (p *creation) fill() error {
	r := &p.recipe
	if p.dialect == suit.RIOT.String() {
		r.Dialect = suit.RIOT
	}
	if r.Vendor = identifier(p.vendor, suit.VendorID); r.Vendor == uuid.Nil {
		return usage.Errorf("--vendor: it must not be all zero")
	}
	r.Class = identifier(p.class, func(text string) uuid.UUID { return suit.ClassID(r.Vendor, text) })
	if p.description != "" {
		r.Text = []suit.Language{{Tag: "en", Lines: []suit.Line{{Key: 1, Text: p.description}}}}
	}
	switch {
	case p.keyID != "" && p.key == "":
		return usage.Errorf("--key-id is written beside a signature: it needs --sign")
	case p.keyID != "" && r.Dialect == suit.RIOT:
		return usage.Errorf("--key-id: RIOT has no room for it")
	}
	if r.Dialect == suit.RIOT && p.urlRoot == "" {
		return usage.Errorf("--url-root is needed: RIOT fetches its images")
	}
	if u, err := url.Parse(p.urlRoot); p.urlRoot != "" && (err != nil || u.Scheme == "" || u.Host == "") {
		return usage.Errorf("--url-root %q: write it as SCHEME://HOST/PATH", p.urlRoot)
	}
	return nil
}

func identifier(text string, derive func(string) uuid.UUID) uuid.UUID {
	if id, err := uuid.Parse(text); err == nil {
		return id
	}
	return derive(text)
}

// target describes an image, and puts it with the files that are there.
func (p *creation) target(image string, stored storedFiles) (suit.Target, error) {
	path, slot, component, err := splitImage(image, p.recipe.Dialect)
	if err != nil {
		return suit.Target{}, err
	}
	t := suit.Target{Component: component, Slot: slot}
	switch {
	case p.integrated:
		t.URI = "#" + filepath.Base(path)
	case p.urlRoot != "":
		t.URI = strings.TrimSuffix(p.urlRoot, "/") + "/" + url.PathEscape(filepath.Base(path))
	}
	file, err := stored.add(t.URI, path)
	if err != nil {
		return suit.Target{}, err
	}
	t.Sum, t.Size = file.SHA256, uint64(file.Size)
	if p.integrated {
		t.Content, err = readSmall(path, maxIntegrated)
	}
	return t, err
}

// splitImage reads FILE[:SLOT[:COMPONENT]]. For RIOT the offset 0 means that
// there are no slots, as for its own tool.
func splitImage(image string, d suit.Dialect) (path string, slot *uint64, component suit.ComponentID, err error) {
	parts := strings.SplitN(image, ":", 3)
	if len(parts) > 1 && parts[1] != "" {
		n, err := strconv.ParseUint(parts[1], 0, 64)
		if err != nil {
			return "", nil, nil, usage.Errorf("%s: the slot %q is no number", image, parts[1])
		}
		if n != 0 || d == suit.Standard {
			slot = &n
		}
	}
	names := []string{"00"}
	if len(parts) > 2 {
		names = strings.Split(parts[2], ":")
	}
	for _, name := range names {
		component = append(component, suit.ParsePart(name))
	}
	return parts[0], slot, component, nil
}

// writeManifest writes an envelope, unless there is something wrong with it
// other than that it is not signed yet.
func (o *options) writeManifest(c *cobra.Command, out string, e *suit.Envelope, rules suit.Rules) error {
	file := e.Encode()
	v, err := suit.Check(file, rules)
	if err != nil {
		return err
	}
	doc := createdManifest{File: out, Size: len(file), Signed: len(e.Blocks) > 0, Findings: []suit.Finding{}}
	var wrong []string
	for _, f := range v.Findings {
		switch {
		case f.Code == suit.FoundUnsigned:
		case f.Severity == suit.SeverityError:
			wrong = append(wrong, f.Text)
		default:
			doc.Findings = append(doc.Findings, f)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the manifest would be of no use, and was not written: %s", strings.Join(wrong, "; "))
	}
	if e.Digest.Sum != nil {
		doc.Digest = e.Digest.String()
	}
	doc.Sequence = v.Manifest.Sequence
	if err := create(out, file, 0o644); err != nil {
		return err
	}
	return o.show(c, doc, doc.print)
}

func (d createdManifest) print(w io.Writer) {
	signed := "signed"
	if !d.Signed {
		signed = "not signed yet"
	}
	fmt.Fprintf(w, "%s  %d bytes, sequence number %d, %s\n", d.File, d.Size, d.Sequence, signed)
	findings(w, d.Findings)
}

// storedFiles are local files by the URI devices know them by.
type storedFiles map[string]openedFile

type openedFile struct {
	suit.File
	f *os.File
}

// add opens a file and takes its digest.
func (s storedFiles) add(uri, path string) (suit.File, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return suit.File{}, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		f.Close()
		return suit.File{}, err
	}
	if old, ok := s[uri]; ok {
		old.f.Close()
	}
	file := suit.File{Size: size, SHA256: h.Sum(nil), Content: f}
	s[uri] = openedFile{file, f}
	return file, nil
}

func (s storedFiles) find(uri string) (suit.File, error) {
	if o, ok := s[uri]; ok {
		return o.File, nil
	}
	return suit.File{}, suit.ErrNotStored
}

func (s storedFiles) close() {
	for _, o := range s {
		o.f.Close()
	}
}
