package suit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// riotInput is what RIOT's build hands to its own tool.
type riotInput struct {
	Sequence   uint64 `json:"manifest-sequence-number"`
	Components []struct {
		InstallID []string `json:"install-id"`
		VendorID  string   `json:"vendor-id"`
		ClassID   string   `json:"class-id"`
		File, URI string
		Offset    *uint64
	}
}

func (in riotInput) recipe(t *testing.T) Recipe {
	r := Recipe{Dialect: RIOT, Sequence: in.Sequence}
	for _, c := range in.Components {
		r.Vendor, r.Class = uuid.MustParse(c.VendorID), uuid.MustParse(c.ClassID)
		file := vectorFile(t, path.Join("riot-draft-09/payloads", c.File))
		sum := sha256.Sum256(file)
		var id ComponentID
		for _, p := range c.InstallID {
			id = append(id, ParsePart(p))
		}
		r.Images = append(r.Images, Target{Component: id, Slot: c.Offset, URI: c.URI, Sum: sum[:], Size: uint64(len(file))})
	}
	return r
}

// TestRIOTsManifestsAreMadeByteForByte: what RIOT's build makes from the same
// input, and what it signs with the same key.
func TestRIOTsManifestsAreMadeByteForByte(t *testing.T) {
	signer, err := ParseSigner(vectorFile(t, "keys/riot-ed25519-private.pem"))
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, v := range suits(t) {
		name, unsigned := strings.CutSuffix(v.File, ".unsigned.suit")
		if v.Group != "riot-draft-09" || !unsigned {
			continue
		}
		made++
		t.Run(path.Base(name), func(t *testing.T) {
			var in riotInput
			if err := json.Unmarshal(vectorFile(t, name+".json"), &in); err != nil {
				t.Fatal(err)
			}
			e, err := in.recipe(t).Envelope()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := e.Encode(), v.bytes(t); !bytes.Equal(got, want) {
				t.Fatalf("unsigned:\n%s\n%s", diagnose(got), diagnose(want))
			}
			if err := e.Sign(signer); err != nil {
				t.Fatal(err)
			}
			if got, want := e.Encode(), vectorFile(t, name+".suit"); !bytes.Equal(got, want) {
				t.Errorf("signed:\n%s\n%s", diagnose(got), diagnose(want))
			}
		})
	}
	if made != 4 {
		t.Errorf("made %d manifests", made)
	}
}

func slot(n uint64) *uint64 { return &n }

// draftRecipes are the examples of the draft that a recipe can make.
func draftRecipes(t *testing.T) map[string]Recipe {
	sum, _ := hex.DecodeString("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210")
	other, _ := hex.DecodeString("0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff")
	vendor := VendorID("arm.com")
	base := Recipe{Vendor: vendor, Class: uuid.MustParse("1492af14-2569-5e48-bf42-9b2d51f2ab45")}
	image := Target{Component: ComponentID{"\x00"}, Sum: sum, Size: 34768}

	boot := base
	boot.Images, boot.Invoke = []Target{image}, true

	download := base
	image.URI = "http://example.com/file.bin"
	download.Sequence, download.Images = 1, []Target{image}

	severed := base
	image.URI = "http://example.com/very/long/path/to/file/file.bin"
	severed.Sequence, severed.Images, severed.Invoke, severed.Severable = 2, []Target{image}, true, true
	severed.ReferenceURI, severed.Text = "https://git.io/JJYoj", textOf(t, "draft-37/example2.signed.suit")

	slots := base
	image.URI, image.Slot = "http://example.com/file1.bin", slot(0)
	second := Target{Component: image.Component, Sum: other, Size: 76834, URI: "http://example.com/file2.bin", Slot: slot(1)}
	slots.Sequence, slots.Images = 3, []Target{image, second}

	return map[string]Recipe{"example0": boot, "example1": download, "example2": severed, "example3": slots}
}

func textOf(t *testing.T, name string) []Language {
	t.Helper()
	e, err := Open(vectorFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return m.Text.Languages
}

// TestTheDraftsExamplesAreMadeByteForByte, as far as a recipe goes.
func TestTheDraftsExamplesAreMadeByteForByte(t *testing.T) {
	for name, r := range draftRecipes(t) {
		t.Run(name, func(t *testing.T) {
			e, err := r.Envelope()
			if err != nil {
				t.Fatal(err)
			}
			want, err := Open(vectorFile(t, "draft-37/"+name+".signed.suit"))
			if err != nil {
				t.Fatal(err)
			}
			want.Blocks = nil
			if !bytes.Equal(e.Encode(), want.Encode()) {
				t.Errorf("got\n%s\nwant\n%s", diagnose(e.manifest), diagnose(want.manifest))
			}
		})
	}
}

func TestRecipesThatCannotBe(t *testing.T) {
	good := draftRecipes(t)["example3"]
	for _, c := range []struct {
		name  string
		spoil func(*Recipe)
		text  string
	}{
		{"nothing to install", func(r *Recipe) { r.Images = nil }, "without an image"},
		{"for anybody", func(r *Recipe) { r.Class = uuid.Nil }, "vendor and a class"},
		{"two images for one slot", func(r *Recipe) { r.Images[1].Slot = slot(0) }, "two images"},
		{"a slot and none", func(r *Recipe) { r.Images[0].Slot = nil }, "two images"},
		{"to nowhere", func(r *Recipe) { r.Images[0].Component = nil }, "no component"},
		{"of unknown content", func(r *Recipe) { r.Images[0].Sum = nil }, "SHA-256"},
		{"text for RIOT", func(r *Recipe) { r.Dialect, r.ReferenceURI = RIOT, "coap://[::1]/m" }, "RIOT knows no"},
		{"two texts in a language", func(r *Recipe) { r.Text = []Language{{Tag: "en"}, {Tag: "fr"}, {Tag: "en"}} }, "two texts"},
		{"a file in RIOT's envelope", func(r *Recipe) { r.Dialect, r.Images[0].Content = RIOT, []byte("x") }, "RIOT reads no such"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good
			r.Images = append([]Target{}, good.Images...)
			c.spoil(&r)
			if _, err := r.Envelope(); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}
