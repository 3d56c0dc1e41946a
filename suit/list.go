package suit

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

// Listing is a manifest made readable, for people and, as JSON, for
// programs. All texts in it are the author's, and not to be trusted.
type Listing struct {
	Dialect      string            `json:"dialect"`
	Digest       string            `json:"digest,omitempty"`
	DigestFits   bool              `json:"digest_fits"`
	Signatures   []ListedSignature `json:"signatures"`
	Version      uint64            `json:"version"`
	Sequence     uint64            `json:"sequence_number"`
	ReferenceURI string            `json:"reference_uri,omitempty"`
	ID           string            `json:"id,omitempty"`
	SetVersion   []int64           `json:"set_version,omitempty"`
	Components   []string          `json:"components"`
	Dependencies []string          `json:"dependencies,omitempty"`
	Vendors      []string          `json:"vendors"`
	Classes      []string          `json:"classes"`
	Digests      []string          `json:"image_digests"`
	Sizes        []string          `json:"image_sizes"`
	URIs         []string          `json:"uris"`
	Slots        []string          `json:"slots,omitempty"`
	Sections     []ListedSection   `json:"sections"`
	Text         []ListedText      `json:"text,omitempty"`
	TextAt       string            `json:"text_where,omitempty"` // "severed" if there is none to show
	SBOM         string            `json:"sbom_where,omitempty"` // bill of materials
	Payloads     []ListedPayload   `json:"payloads,omitempty"`
	Problem      string            `json:"problem,omitempty"` // why the rest is missing
}

// ListedSignature is a block; Signer is the fingerprint of the trusted key
// whose it is, "" if it is nobody's.
type ListedSignature struct {
	Structure string `json:"structure"`
	Algorithm string `json:"algorithm"`
	KeyID     string `json:"key_id,omitempty"`
	Attached  bool   `json:"attached,omitempty"`
	Signer    string `json:"signer,omitempty"`
	Unchecked bool   `json:"unchecked,omitempty"` // there were no keys to check it with
	Problem   string `json:"problem,omitempty"`
}

// ListedSection is a sequence under its name. One that was severed, or is
// not what was signed, has no commands.
type ListedSection struct {
	Name     string          `json:"name"`
	Where    string          `json:"where"`
	Intact   *bool           `json:"intact,omitempty"` // unless inline
	Commands []ListedCommand `json:"commands,omitempty"`
}

// ListedCommand is a command. Branches are what try-each tries, and the one
// sequence of run-sequence.
type ListedCommand struct {
	Offset     int               `json:"offset"`
	Name       string            `json:"command"`
	Argument   string            `json:"argument,omitempty"`
	Parameters []ListedParameter `json:"parameters,omitempty"`
	Branches   [][]ListedCommand `json:"branches,omitempty"`
}

// ListedParameter is a parameter with its value as text. About names the
// component, or what it is copied from, where the command does.
type ListedParameter struct {
	About string `json:"about,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// ListedText is a text; Component is "" if it is about the manifest.
type ListedText struct {
	Language  string `json:"language"`
	Component string `json:"component,omitempty"`
	Name      string `json:"name"`
	Text      string `json:"text"`
}

// ListedPayload is a file in the envelope.
type ListedPayload struct {
	Name string `json:"name"`
	Size int    `json:"size"`
}

// List makes an envelope readable. Trusted keys tell whose the signatures
// are; there may be none. A manifest that cannot be read is a Problem.
func List(e *Envelope, trusted []Key) Listing {
	l := Listing{Dialect: e.Dialect.String(), DigestFits: e.Covered(),
		Signatures: []ListedSignature{}, Components: []string{}, Vendors: []string{}, Classes: []string{},
		Digests: []string{}, Sizes: []string{}, URIs: []string{}, Sections: []ListedSection{}}
	if e.Digest.Sum != nil {
		l.Digest = e.Digest.String()
	}
	for _, b := range e.Blocks {
		l.Signatures = append(l.Signatures, listSignature(e, b, trusted))
	}
	for _, p := range e.Payloads {
		l.Payloads = append(l.Payloads, ListedPayload{p.Name, len(p.Content)})
	}
	m, err := e.Manifest()
	if err != nil {
		l.Problem = err.Error()
		return l
	}
	l.list(m)
	return l
}

func listSignature(e *Envelope, b Block, trusted []Key) ListedSignature {
	s := ListedSignature{Structure: b.Structure.String(), Algorithm: b.Algorithm.String(),
		KeyID: readable(b.KeyID), Attached: b.Payload != nil, Unchecked: len(trusted) == 0, Problem: b.Problem}
	if key, ok := e.signerOf(b, trusted); ok {
		s.Signer = key.Fingerprint()
	}
	return s
}

func (l *Listing) list(m *Manifest) {
	l.Version, l.Sequence, l.ReferenceURI, l.SetVersion = m.Version, m.Sequence, m.ReferenceURI, m.SetVersion
	if m.ID != nil {
		l.ID = m.ID.String()
	}
	for _, c := range m.Components {
		l.Components = append(l.Components, c.String())
	}
	for _, d := range m.Dependencies {
		l.Dependencies = append(l.Dependencies, fmt.Sprintf("%d: %s", d.Index, d.Prefix))
	}
	if m.Shared != nil {
		l.Sections = append(l.Sections, ListedSection{Name: Shared.String(), Where: Inline.String(), Commands: listSequence(m.Shared)})
	}
	for _, s := range m.Sections {
		listed := ListedSection{Name: s.Key.String(), Where: s.Where.String(), Commands: listSequence(s.Sequence)}
		if s.Where != Inline {
			listed.Intact = &s.Intact
		}
		l.Sections = append(l.Sections, listed)
	}
	l.Vendors, l.Classes = m.values(ParamVendor), m.values(ParamClass)
	l.Digests, l.Sizes = m.values(ParamDigest), m.values(ParamSize)
	l.URIs, l.Slots = m.values(ParamURI), m.values(ParamSlot)
	l.listText(m.Text)
	if s := m.SBOM; s != nil {
		l.SBOM = whereText(s.Where, s.Intact)
	}
}

func whereText(w Where, intact bool) string {
	if w == InEnvelope && !intact {
		return "not what was signed"
	}
	return w.String()
}

func (l *Listing) listText(t *Text) {
	if t == nil {
		return
	}
	l.TextAt = whereText(t.Where, t.Intact)
	for _, lang := range t.Languages {
		for _, line := range lang.Lines {
			l.Text = append(l.Text, ListedText{lang.Tag, "", textName(textNames, line.Key), line.Text})
		}
		for _, c := range lang.Components {
			for _, line := range c.Lines {
				l.Text = append(l.Text, ListedText{lang.Tag, c.ID.String(), textName(componentTextNames, line.Key), line.Text})
			}
		}
	}
}

func listSequence(seq Sequence) []ListedCommand {
	commands := make([]ListedCommand, len(seq))
	for i, c := range seq {
		commands[i] = listCommand(c)
	}
	return commands
}

func listCommand(c Command) ListedCommand {
	l := ListedCommand{Offset: c.Offset, Name: c.Code.String()}
	switch {
	case c.Code == SetComponent:
		l.Argument = c.Index.String()
	case c.Other != nil:
		l.Argument = diagnose(c.Other)
	case c.Policy != 0:
		l.Argument = "report " + policy(c.Policy)
	}
	for _, p := range c.Params {
		l.Parameters = append(l.Parameters, ListedParameter{"", p.Key.String(), valueText(p.Value)})
	}
	for _, m := range c.Many {
		for _, p := range m.Params {
			l.Parameters = append(l.Parameters, ListedParameter{fmt.Sprintf("component %d", m.Index), p.Key.String(), valueText(p.Value)})
		}
	}
	for _, m := range c.Copies {
		for _, key := range m.Keys {
			l.Parameters = append(l.Parameters, ListedParameter{fmt.Sprintf("from component %d", m.From), ParamKey(key).String(), ""})
		}
	}
	for _, try := range c.Tries {
		l.Branches = append(l.Branches, listSequence(try))
	}
	if c.Run != nil {
		l.Branches = append(l.Branches, listSequence(c.Run))
	}
	return l
}

// String lists the components selected.
func (x Index) String() string {
	switch {
	case x.All:
		return "all"
	case len(x.List) == 1:
		return strconv.FormatUint(x.List[0], 10)
	}
	return fmt.Sprint(x.List)
}

// policy tells what a device is to report: on success and on failure, with
// or without its state.
func policy(bits uint64) string {
	var parts []string
	for i, name := range []string{"success", "failure", "success with state", "failure with state"} {
		if bits&(1<<i) != 0 {
			parts = append(parts, name)
		}
	}
	switch {
	case bits == 15:
		return "always"
	case bits > 15:
		return fmt.Sprintf("policy %d", bits)
	case len(parts) == 1:
		return parts[0]
	}
	return parts[0] + " and " + parts[len(parts)-1]
}

func valueText(value any) string {
	switch v := value.(type) {
	case []byte:
		return readable(v)
	case string:
		return v
	case Raw:
		return diagnose(v)
	case Versions:
		return v.String()
	case Digest, uuid.UUID, PEN:
		return fmt.Sprintf("%s", v)
	}
	return fmt.Sprint(value)
}

// String writes the condition as people do, such as ">= 1.2".
func (v Versions) String() string {
	signs := []string{1: ">", 2: ">=", 3: "=", 4: "<=", 5: "<"}
	sign := fmt.Sprintf("comparison %d with", v.Comparison)
	if v.Comparison > 0 && v.Comparison < uint64(len(signs)) {
		sign = signs[v.Comparison]
	}
	return sign + " " + dotted(v.Version)
}

func dotted(numbers []int64) string {
	var b []byte
	for i, n := range numbers {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

// readable writes bytes as text if they are printable ASCII, else as
// hexadecimal digits; long ones are cut.
func readable(b []byte) string {
	const most = 48
	for _, c := range b {
		if c < ' ' || c > '~' {
			if len(b) > most {
				return fmt.Sprintf("h'%s…' (%d bytes)", hex.EncodeToString(b[:most]), len(b))
			}
			return "h'" + hex.EncodeToString(b) + "'"
		}
	}
	return string(b)
}

// values lists the values that a parameter is given anywhere, each once.
func (m *Manifest) values(key ParamKey) []string {
	found := []string{}
	add := func(ps Params) {
		for _, p := range ps {
			if text := valueText(p.Value); p.Key == key && !slices.Contains(found, text) {
				found = append(found, text)
			}
		}
	}
	m.walk(func(c Command) {
		add(c.Params)
		for _, many := range c.Many {
			add(many.Params)
		}
	})
	return found
}

// walk visits every command, nested ones after the one that holds them.
func (m *Manifest) walk(visit func(Command)) {
	m.Shared.walk(visit)
	for _, s := range m.Sections {
		s.Sequence.walk(visit)
	}
}

func (seq Sequence) walk(visit func(Command)) {
	for _, c := range seq {
		visit(c)
		for _, try := range c.Tries {
			try.walk(visit)
		}
		c.Run.walk(visit)
	}
}
