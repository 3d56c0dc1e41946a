package suit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// vectors is testdata/vectors/index.json, which lists what others made and
// what a verifier must find (section 9).
type vectors struct {
	Keys []struct {
		ID, File, Hex string
		PublicFile    string `json:"public_file"`
	}
	Vectors []vector
}

type vector struct {
	File, SHA256, Group, Format, Key string
	Expect                           struct {
		Accept         any
		Authentication bool            `json:"authentication_ok"`
		Digest         bool            `json:"manifest_digest_ok"`
		Parse          bool            `json:"parse"`
		Members        map[string]bool `json:"severed_members_ok"`
		image
	}
	Decoded  decoded
	Payloads []string
}

// decoded is what the index tells about the content of a vector.
type decoded struct {
	Authentication []struct {
		Alg  int64
		Type string
		KID  string
	}
	ClassIDs        []string `json:"class_ids"`
	VendorIDs       []string `json:"vendor_ids"`
	Components      []string
	ComponentSlots  []uint64 `json:"component_slots"`
	EnvelopeKeys    []string `json:"envelope_keys"`
	ImageDigests    []string `json:"image_digests"`
	ImageSizes      []uint64 `json:"image_sizes"`
	ManifestVersion uint64   `json:"manifest_version"`
	ManifestDigest  struct {
		Alg   int64
		Value string
	} `json:"manifest_digest"`
	Sequence     uint64 `json:"sequence_number"`
	ReferenceURI string `json:"reference_uri"`
	Sequences    map[string]json.RawMessage
	Tag          uint64
	Text         string
	URIs         []string
}

var index struct {
	sync.Once
	vectors
}

func vectorIndex(t testing.TB) vectors {
	t.Helper()
	index.Do(func() { unmarshal(t, "index.json", &index.vectors) })
	return index.vectors
}

func unmarshal(t testing.TB, name string, to any) {
	t.Helper()
	if err := json.Unmarshal(vectorFile(t, name), to); err != nil {
		t.Fatal(err)
	}
}

// suits are the vectors that are manifests.
func suits(t testing.TB) (found []vector) {
	for _, v := range vectorIndex(t).Vectors {
		if strings.HasSuffix(v.File, ".suit") {
			found = append(found, v)
		}
	}
	if len(found) != 72 {
		t.Fatalf("the index lists %d manifests", len(found))
	}
	return found
}

func vectorFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bytes reads the vector and makes sure that it is what the index describes.
func (v vector) bytes(t testing.TB) []byte {
	t.Helper()
	b := vectorFile(t, v.File)
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != v.SHA256 {
		t.Fatalf("%s is not what the index describes", v.File)
	}
	return b
}

// trusted is the trust store of a vector: the key it names.
func (v vector) trusted(t testing.TB) []Key {
	t.Helper()
	for _, k := range vectorIndex(t).Keys {
		if k.ID != v.Key {
			continue
		}
		file := []byte(k.Hex)
		switch {
		case k.PublicFile != "":
			file = vectorFile(t, k.PublicFile)
		case k.File != "":
			file = vectorFile(t, k.File)
		}
		keys, err := ParseKeys(file)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	return nil
}

// TestVectorsAreOpened holds the envelope's part of every verdict.
func TestVectorsAreOpened(t *testing.T) {
	for _, v := range suits(t) {
		t.Run(v.File, func(t *testing.T) {
			file := v.bytes(t)
			e, err := Open(file)
			if err != nil {
				if v.Expect.Parse || v.Expect.Authentication || v.Expect.Digest {
					t.Fatal(err)
				}
				return
			}
			if got := e.Covered(); got != v.Expect.Digest {
				t.Errorf("the digest fits: %v", got)
			}
			if got := vouched(e, v.trusted(t)); got != v.Expect.Authentication {
				t.Errorf("a signature is right: %v", got)
			}
			m, err := e.Manifest()
			if (err == nil) != v.Expect.Parse {
				t.Fatalf("manifest: %v", err)
			}
			for name, want := range v.Expect.Members {
				if got := memberIntact(t, m, name); got != want {
					t.Errorf("%s is intact: %v", name, got)
				}
			}
		})
	}
}

// vouched tells of the cryptography alone, as the index does.
func vouched(e *Envelope, trusted []Key) bool {
	for _, b := range e.Blocks {
		if _, ok := e.signerOf(b, trusted); ok {
			return true
		}
	}
	return false
}

func memberIntact(t *testing.T, m *Manifest, name string) bool {
	t.Helper()
	switch name {
	case "text":
		return m.Text.Intact
	case "install":
		return m.Section(Install).Intact
	}
	t.Fatalf("what is %s?", name)
	return false
}

// TestVectorsComeOutAsTheyWentIn: nothing is lost between reading and
// writing, down to the last command.
func TestVectorsComeOutAsTheyWentIn(t *testing.T) {
	for _, v := range suits(t) {
		if !v.Expect.Parse {
			continue
		}
		t.Run(v.File, func(t *testing.T) {
			file := v.bytes(t)
			e, err := Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.Encode(), file) {
				t.Errorf("envelope: %x", e.Encode())
			}
			m, err := e.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.encode(), e.manifest) {
				t.Errorf("manifest:\n%s\n%s", diagnose(m.encode()), diagnose(e.manifest))
			}
			for _, s := range m.Sections {
				if s.Intact && !bytes.Equal(appendSequence(nil, s.Sequence), s.content) {
					t.Errorf("%s: %s", s.Key, diagnose(appendSequence(nil, s.Sequence)))
				}
			}
			if m.Text != nil && m.Text.Intact && !bytes.Equal(appendTexts(nil, m.Text.Languages), m.Text.content) {
				t.Errorf("text: %s", diagnose(m.Text.content))
			}
		})
	}
}

// TestSeveringText gives the very bytes of another vector, and the signature
// stays good.
func TestSeveringText(t *testing.T) {
	e, err := Open(vectorFile(t, "own/severable-full.suit"))
	if err != nil {
		t.Fatal(err)
	}
	e.Sever(keyText)
	if !bytes.Equal(e.Encode(), vectorFile(t, "own/severable-text-severed.suit")) {
		t.Errorf("severed: %x", e.Encode())
	}
}
