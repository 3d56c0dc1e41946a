package suit

import (
	"strconv"
)

// Text is what a manifest tells people. It comes from whoever signed, or
// from nobody in particular if it lies beside a manifest that is not
// authenticated: show it as text, and as nothing else.
type Text struct {
	Where     Where
	Digest    Digest // unless inline
	Intact    bool
	Languages []Language

	content []byte
}

// Language is the text in one language; Tag is such as "en-US".
type Language struct {
	Tag        string
	Lines      []Line // about the manifest
	Components []ComponentText
}

// ComponentText is the text about one component.
type ComponentText struct {
	ID    ComponentID
	Lines []Line
}

// Line is one text; what it is about depends on the key (7.5).
type Line struct {
	Key  int64
	Text string
}

var (
	textNames          = []string{1: "description", 2: "update", 3: "json-source", 4: "yaml-source"}
	componentTextNames = []string{1: "vendor", 2: "model", 3: "vendor-domain", 4: "model-info", 5: "description", 6: "version", 7: "version-required", 8: "current-version"}
)

func textName(names []string, key int64) string {
	if key > 0 && key < int64(len(names)) {
		return names[key]
	}
	return "text " + strconv.FormatInt(key, 10)
}

func (e *Envelope) readText(m *Manifest, value item) error {
	s, err := e.readMember(keyText, value)
	if err != nil {
		return err
	}
	m.Text = &Text{Where: s.Where, Digest: s.Digest, Intact: s.Intact, content: s.content}
	if s.Where != Inline && !s.Intact {
		return nil
	}
	it, err := whole(s.content)
	if err != nil {
		return err
	}
	languages, err := it.pairs()
	for i := 0; err == nil && i < len(languages); i++ {
		err = m.Text.readLanguage(languages[i])
	}
	return err
}

func (t *Text) readLanguage(p pair) error {
	tag, err := p.key.text()
	if err != nil {
		return err
	}
	l := Language{Tag: tag}
	pairs, err := p.value.pairs()
	if err != nil {
		return err
	}
	for _, q := range pairs {
		if q.key.major() != majorArray {
			line, err := readLine(q)
			if err != nil {
				return err
			}
			l.Lines = append(l.Lines, line)
			continue
		}
		about, err := readComponentText(q)
		if err != nil {
			return err
		}
		l.Components = append(l.Components, about)
	}
	t.Languages = append(t.Languages, l)
	return nil
}

func readComponentText(p pair) (ComponentText, error) {
	id, err := readComponent(p.key)
	if err != nil {
		return ComponentText{}, err
	}
	c := ComponentText{ID: id}
	pairs, err := p.value.pairs()
	for i := 0; err == nil && i < len(pairs); i++ {
		var line Line
		line, err = readLine(pairs[i])
		c.Lines = append(c.Lines, line)
	}
	return c, err
}

func readLine(p pair) (l Line, err error) {
	if l.Key, err = p.key.int(); err == nil {
		l.Text, err = p.value.text()
	}
	return l, err
}

// appendTexts writes the content of a text member.
func appendTexts(b []byte, languages []Language) []byte {
	b = appendHead(b, majorMap, uint64(len(languages)))
	for _, l := range languages {
		b = appendText(b, l.Tag)
		b = appendHead(b, majorMap, uint64(len(l.Lines)+len(l.Components)))
		b = appendLines(b, l.Lines)
		for _, c := range l.Components {
			b = appendComponent(b, c.ID)
			b = appendHead(b, majorMap, uint64(len(c.Lines)))
			b = appendLines(b, c.Lines)
		}
	}
	return b
}

func appendLines(b []byte, lines []Line) []byte {
	for _, l := range lines {
		b = appendText(appendInt(b, l.Key), l.Text)
	}
	return b
}
