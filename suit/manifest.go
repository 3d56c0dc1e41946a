package suit

import (
	"github.com/updraft-ota/updraft/ota"
)

// The keys of a manifest and of its common part (7.2, 7.4). Sections have
// keys as well.
const (
	keyVersion      = 1
	keySequence     = 2
	keyCommon       = 3
	keyReferenceURI = 4
	keyComponentID  = 5
	keySetVersion   = 6
	keySBOM         = 14
	keyText         = 23

	keyDependencies = 1
	keyComponents   = 2
	keyShared       = 4
)

// Version is the one version of manifests there is.
const Version = 1

// Manifest is what a device is to do.
type Manifest struct {
	Dialect      Dialect
	Version      uint64
	Sequence     uint64 // grows from version to version of the same device
	Dependencies []Dependency
	Components   []ComponentID
	Shared       Sequence // run before each section; nil if there is none
	ReferenceURI string   // where the manifest is found in full
	ID           ComponentID
	SetVersion   []int64 // version of what is installed, as numbers
	Sections     []Section
	Text         *Text
	SBOM         *Section // software bill of materials; Content is CoSWID
	Private      []Member // keys anybody may use; the content is the whole item
}

// Where tells where a part of a manifest lies.
type Where uint8

const (
	Inline     Where = iota // in the manifest itself
	InEnvelope              // beside it, with its digest in the manifest
	Severed                 // taken away
)

func (w Where) String() string { return [...]string{"inline", "in-envelope", "severed"}[w] }

// Section is a named sequence of a manifest.
type Section struct {
	Key      SectionKey
	Where    Where
	Digest   Digest // unless inline
	Intact   bool   // the member beside the manifest has the digest
	Sequence Sequence

	content []byte
}

// Dependency is a manifest that this one needs. Commands speak of it by an
// index, as if it were a component.
type Dependency struct {
	Index  uint64
	Prefix ComponentID
}

// Section returns a section by its name, nil if the manifest has none.
func (m *Manifest) Section(key SectionKey) *Section {
	for i := range m.Sections {
		if m.Sections[i].Key == key {
			return &m.Sections[i]
		}
	}
	return nil
}

// At returns the command at an offset of a section, as reports name it; nil
// if there is none.
func (m *Manifest) At(key SectionKey, offset uint64) (found *Command) {
	var seq Sequence
	if s := m.Section(key); s != nil {
		seq = s.Sequence
	} else if key == Shared {
		seq = m.Shared
	}
	seq.walk(func(c Command) {
		if uint64(c.Offset) == offset && found == nil {
			found = &c
		}
	})
	return found
}

// Component returns what an index stands for: a component or a dependency.
// It is nil for an index beyond both.
func (m *Manifest) Component(index uint64) ComponentID {
	if index < uint64(len(m.Components)) {
		return m.Components[index]
	}
	for _, d := range m.Dependencies {
		if d.Index == index {
			return append(ComponentID{}, d.Prefix...)
		}
	}
	return nil
}

// Manifest reads the manifest; on a device only after Authenticate. It fails
// with KindInvalid, also for keys that are not known, as leaving out what an
// author asked for would be guessing.
func (e *Envelope) Manifest() (*Manifest, error) {
	it, err := whole(e.manifest)
	if err != nil {
		return nil, within("manifest", err)
	}
	pairs, err := it.pairs()
	if err != nil {
		return nil, within("manifest", err)
	}
	m := &Manifest{Dialect: e.Dialect}
	seen := map[int64]bool{}
	for _, p := range pairs {
		key, err := p.key.int()
		if err == nil {
			seen[key] = true
			err = e.readKey(m, key, p.value)
		}
		if err != nil {
			return nil, within("manifest", err)
		}
	}
	for _, key := range []int64{keyVersion, keySequence, keyCommon} {
		if !seen[key] {
			return nil, ota.Invalid("manifest: key %d is missing", key)
		}
	}
	return m, nil
}

func (e *Envelope) readKey(m *Manifest, key int64, value item) (err error) {
	section, isSection := m.Dialect.sectionOf(key)
	switch {
	case key == keyVersion:
		m.Version, err = value.uint()
		return within("version", err)
	case key == keySequence:
		m.Sequence, err = value.uint()
		return within("sequence number", err)
	case key == keyCommon:
		return within("common", m.readCommon(value))
	case isSection:
		return within(section.String(), e.readSection(m, section, key, value))
	case m.Dialect == RIOT:
		return ota.Invalid("key %d is not known to RIOT", key)
	}
	switch {
	case key == keyReferenceURI:
		m.ReferenceURI, err = value.text()
	case key == keyComponentID:
		m.ID, err = readComponent(value)
	case key == keySetVersion:
		var in item
		if in, err = readWrapped(value); err == nil {
			m.SetVersion, err = in.ints()
		}
	case key == keyText:
		return within("text", e.readText(m, value))
	case key == keySBOM:
		m.SBOM, err = e.readMember(key, value)
	case key <= privateLabels:
		m.Private = append(m.Private, Member{key, value})
	default:
		err = ota.Invalid("key %d is not known", key)
	}
	return err
}

func (m *Manifest) readCommon(value item) error {
	in, err := readWrapped(value)
	if err != nil {
		return err
	}
	pairs, err := in.pairs()
	if err != nil {
		return err
	}
	for _, p := range pairs {
		key, err := p.key.int()
		if err == nil {
			err = m.readCommonKey(key, p.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Manifest) readCommonKey(key int64, value item) error {
	switch key {
	case keyDependencies:
		return within("dependencies", m.readDependencies(value))
	case keyComponents:
		return within("components", m.readComponents(value))
	case keyShared:
		content, err := value.bytes()
		if err == nil {
			m.Shared, err = readSequence(content, 0, 0)
		}
		return within("shared sequence", err)
	}
	return ota.Invalid("key %d is not known", key)
}

func (m *Manifest) readComponents(value item) error {
	elements, err := value.array()
	if len(elements) > maxTargets {
		return ota.Invalid("there are more than %d", maxTargets)
	}
	for i := 0; err == nil && i < len(elements); i++ {
		var id ComponentID
		id, err = readComponent(elements[i])
		m.Components = append(m.Components, id)
	}
	return err
}

func (m *Manifest) readDependencies(value item) error {
	pairs, err := value.pairs()
	if err == nil && len(pairs) > maxTargets {
		err = ota.Invalid("there are more than %d", maxTargets)
	}
	if err != nil {
		return err
	}
	for _, p := range pairs {
		var d Dependency
		if d.Index, err = p.key.uint(); err != nil {
			return err
		}
		metadata, err := p.value.pairs()
		if err != nil {
			return err
		}
		for _, q := range metadata {
			if key, err := q.key.int(); err != nil || key != keyPrefix {
				return ota.Invalid("the metadata of a dependency has a key that is not known")
			}
			if d.Prefix, err = readComponent(q.value); err != nil {
				return err
			}
		}
		m.Dependencies = append(m.Dependencies, d)
	}
	return nil
}

const keyPrefix = 1 // of a dependency's metadata

func (e *Envelope) readSection(m *Manifest, name SectionKey, key int64, value item) error {
	s, err := e.readMember(key, value)
	if err != nil {
		return err
	}
	s.Key = name
	if s.Where == Inline || s.Intact {
		if s.Sequence, err = readSequence(s.content, 0, 0); err != nil {
			return err
		}
	}
	m.Sections = append(m.Sections, *s)
	return nil
}

// readMember finds the content of a member that may be severed. What does not
// have the digest that was signed is left alone.
func (e *Envelope) readMember(key int64, value item) (*Section, error) {
	if value.major() != majorArray {
		content, err := value.bytes()
		return &Section{content: content}, err
	}
	s := &Section{Where: Severed}
	var err error
	if s.Digest, err = readDigest(value); err != nil {
		return nil, err
	}
	if member, ok := e.Member(key); ok {
		sum, err := sumWrapped(s.Digest.Algorithm, member.Content)
		if err != nil {
			return nil, err
		}
		s.Where, s.Intact, s.content = InEnvelope, sum.Equal(s.Digest), member.Content
	}
	return s, nil
}
