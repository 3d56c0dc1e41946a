package suit

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteText writes a listing for people. Whatever an author put into texts,
// none of it controls a terminal.
func (l Listing) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.facts(l)
	for _, s := range l.Sections {
		p.section(s)
	}
	p.texts(l.Text)
	return p.err
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(clean(fmt.Sprintf(format, args...)), " "))
	}
}

// fact writes a word and what it says, unless that is nothing.
func (p *printer) fact(word string, says ...string) {
	for i, s := range says {
		if i > 0 {
			word = ""
		}
		if s != "" {
			p.line("%-16s %s", word, s)
		}
	}
}

func (p *printer) facts(l Listing) {
	p.fact("dialect", l.Dialect)
	digest := l.Digest
	if digest != "" && !l.DigestFits {
		digest += "  IS NOT THAT OF THE MANIFEST"
	}
	p.fact("digest", digest)
	if len(l.Signatures) == 0 {
		p.fact("signature", "none")
	}
	for _, s := range l.Signatures {
		p.fact("signature", s.String())
	}
	p.fact("problem", l.Problem)
	if l.Problem != "" {
		return
	}
	if l.Version != Version {
		p.fact("version", fmt.Sprint(l.Version))
	}
	p.fact("sequence number", fmt.Sprint(l.Sequence))
	if l.SetVersion != nil {
		p.fact("sets version", dotted(l.SetVersion))
	}
	p.fact("reference", l.ReferenceURI)
	p.fact("id", l.ID)
	for i, c := range l.Components {
		p.fact("component", fmt.Sprintf("%d: %s", i, c))
	}
	for _, d := range l.Dependencies {
		p.fact("dependency", d)
	}
	p.fact("materials", l.SBOM)
	if l.TextAt != "" && len(l.Text) == 0 {
		p.fact("text", l.TextAt)
	}
	for _, f := range l.Payloads {
		p.fact("payload", fmt.Sprintf("%s (%d bytes)", f.Name, f.Size))
	}
}

// String tells a signature in a line.
func (s ListedSignature) String() string {
	text := s.Structure
	switch {
	case s.Problem != "":
		return text + ": " + s.Problem
	case s.Signer != "":
		text += " " + s.Algorithm + ", by the trusted key " + s.Signer
	case s.Unchecked:
		text += " " + s.Algorithm + ", not checked: there is no key"
	default:
		text += " " + s.Algorithm + ", by no trusted key"
	}
	if s.KeyID != "" {
		text += fmt.Sprintf(" (key id %s)", s.KeyID)
	}
	return text
}

func (p *printer) section(s ListedSection) {
	p.line("")
	switch {
	case s.Intact == nil:
		p.line("%s", s.Name)
	case *s.Intact:
		p.line("%s (beside the manifest)", s.Name)
	case s.Where == Severed.String():
		p.line("%s (taken away)", s.Name)
	default:
		p.line("%s (NOT WHAT WAS SIGNED)", s.Name)
	}
	p.commands(s.Commands, 1)
}

func (p *printer) commands(commands []ListedCommand, depth int) {
	indent := strings.Repeat("    ", depth)
	for _, c := range commands {
		p.line("%5d%s%s  %s", c.Offset, indent, c.Name, c.Argument)
		for _, set := range c.Parameters {
			p.line("     %s    %s", indent, set)
		}
		for i, branch := range c.Branches {
			if len(c.Branches) > 1 {
				p.line("     %s  %d.", indent, i+1)
			}
			p.commands(branch, depth+1)
		}
	}
}

// String tells a parameter in a line.
func (s ListedParameter) String() string {
	text := s.Name
	if s.About != "" {
		text = s.About + ": " + text
	}
	if s.Value != "" {
		text += " = " + s.Value
	}
	return text
}

func (p *printer) texts(texts []ListedText) {
	for _, t := range texts {
		p.line("")
		about := t.Name
		if t.Component != "" {
			about += " of " + t.Component
		}
		p.line("text %s (%s)", about, t.Language)
		for line := range strings.Lines(t.Text) {
			p.line("    %s", strings.TrimSuffix(line, "\n"))
		}
	}
}

// clean keeps a text to what is printed.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
