package suit

import (
	"slices"
)

// encode writes the manifest, its keys in order (7.2, rule 6).
func (m *Manifest) encode() []byte {
	entries := map[int64][]byte{
		keyVersion:  appendHead(nil, majorUint, m.Version),
		keySequence: appendHead(nil, majorUint, m.Sequence),
		keyCommon:   appendBytes(nil, m.encodeCommon()),
	}
	if m.ReferenceURI != "" {
		entries[keyReferenceURI] = appendText(nil, m.ReferenceURI)
	}
	if m.ID != nil {
		entries[keyComponentID] = appendComponent(nil, m.ID)
	}
	if m.SetVersion != nil {
		entries[keySetVersion] = appendBytes(nil, appendInts(nil, m.SetVersion))
	}
	for _, s := range m.Sections {
		entries[m.Dialect.keyOf(s.Key)] = s.encode(appendSequence(nil, s.Sequence))
	}
	if m.Text != nil {
		s := Section{Where: m.Text.Where, Digest: m.Text.Digest}
		entries[keyText] = s.encode(appendTexts(nil, m.Text.Languages))
	}
	if m.SBOM != nil {
		entries[keySBOM] = m.SBOM.encode(m.SBOM.content)
	}
	for _, p := range m.Private {
		entries[p.Key] = p.Content
	}
	return appendEntries(nil, entries)
}

func (m *Manifest) encodeCommon() []byte {
	entries := map[int64][]byte{}
	if m.Dependencies != nil {
		b := appendHead(nil, majorMap, uint64(len(m.Dependencies)))
		for _, d := range m.Dependencies {
			b = appendHead(b, majorUint, d.Index)
			if d.Prefix == nil {
				b = appendHead(b, majorMap, 0)
				continue
			}
			b = appendComponent(appendInt(appendHead(b, majorMap, 1), keyPrefix), d.Prefix)
		}
		entries[keyDependencies] = b
	}
	if m.Components != nil {
		b := appendHead(nil, majorArray, uint64(len(m.Components)))
		for _, c := range m.Components {
			b = appendComponent(b, c)
		}
		entries[keyComponents] = b
	}
	if m.Shared != nil {
		entries[keyShared] = appendBytes(nil, appendSequence(nil, m.Shared))
	}
	return appendEntries(nil, entries)
}

// encode writes what the manifest holds of a section: all, or its digest.
func (s Section) encode(content []byte) []byte {
	if s.Where == Inline {
		return appendBytes(nil, content)
	}
	return appendDigest(nil, s.Digest)
}

// appendEntries writes a map whose keys are numbers: the positive ones first.
func appendEntries(b []byte, entries map[int64][]byte) []byte {
	keys := make([]int64, 0, len(entries))
	for key := range entries {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b int64) int { return slices.Compare(appendInt(nil, a), appendInt(nil, b)) })
	b = appendHead(b, majorMap, uint64(len(keys)))
	for _, key := range keys {
		b = append(appendInt(b, key), entries[key]...)
	}
	return b
}
