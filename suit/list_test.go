package suit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestListingsTellWhatIsInside compares listings with what another program
// found in the same manifests.
func TestListingsTellWhatIsInside(t *testing.T) {
	for _, v := range suits(t) {
		if !v.Expect.Parse {
			continue
		}
		t.Run(v.File, func(t *testing.T) {
			e, err := Open(v.bytes(t))
			if err != nil {
				t.Fatal(err)
			}
			l, want := List(e, v.trusted(t)), v.Decoded
			if l.Problem != "" || l.Sequence != want.Sequence || l.Version != want.ManifestVersion || l.ReferenceURI != want.ReferenceURI {
				t.Errorf("got %+v", l)
			}
			if len(l.Signatures) != len(want.Authentication) {
				t.Errorf("signatures: %v", l.Signatures)
			}
			for i, a := range want.Authentication {
				if got := e.Blocks[i]; got.Algorithm != Algorithm(a.Alg) || string(got.KeyID) != a.KID || !strings.HasPrefix(a.Type, got.Structure.String()) {
					t.Errorf("signature %d: %+v", i, got)
				}
			}
			same(t, "components", l.Components, want.Components)
			same(t, "digests", l.Digests, digests(want.ImageDigests))
			same(t, "sizes", l.Sizes, texts(want.ImageSizes))
			same(t, "slots", l.Slots, texts(want.ComponentSlots))
			if v.File != "own/bad-severed-digest.suit" { // nothing in it was signed
				same(t, "uris", l.URIs, want.URIs)
			}
			same(t, "classes", plainHex(l.Classes), want.ClassIDs)
			if v.File != "own/vendor-cbor-pen.suit" { // listed as a number
				same(t, "vendors", plainHex(l.Vendors), want.VendorIDs)
			}
			if diff := cmp.Diff(sequencesOf(t, v), sequencesIn(l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func texts(numbers []uint64) (found []string) {
	for _, n := range numbers {
		found = append(found, fmt.Sprint(n))
	}
	return found
}

func digests(listed []string) (found []string) {
	for _, d := range listed {
		_, sum, _ := strings.Cut(d, ":")
		found = append(found, "sha-256:"+sum)
	}
	return found
}

func plainHex(ids []string) (found []string) {
	for _, id := range ids {
		found = append(found, strings.ReplaceAll(id, "-", ""))
	}
	return found
}

// sequencesOf are the commands as the index lists them: nested ones behind a
// ">" each.
func sequencesOf(t *testing.T, v vector) map[string][]string {
	found := map[string][]string{}
	for name, raw := range v.Decoded.Sequences {
		var section struct {
			Commands []string
			Where    string
		}
		if err := json.Unmarshal(raw, &section); err != nil {
			if err := json.Unmarshal(raw, &section.Commands); err != nil {
				t.Fatal(err)
			}
			section.Where = "inline"
		}
		if v.Expect.Members[name] || section.Where == "inline" {
			found[name] = append([]string{section.Where}, section.Commands...)
		} else if name == "install" && section.Where == "in-envelope" {
			found[name] = []string{"in-envelope"} // not what was signed: not listed
		} else {
			found[name] = []string{section.Where}
		}
	}
	return found
}

func sequencesIn(l Listing) map[string][]string {
	found := map[string][]string{}
	for _, s := range l.Sections {
		found[s.Name] = append([]string{s.Where}, names(s.Commands, "")...)
	}
	return found
}

func names(commands []ListedCommand, prefix string) (found []string) {
	for _, c := range commands {
		found = append(found, prefix+c.Name)
		for _, b := range c.Branches {
			found = append(found, names(b, prefix+">")...)
		}
	}
	return found
}
