package suit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
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
			if l.TextAt != want.Text {
				t.Errorf("text is %s", l.TextAt)
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

// TestAListingReadsWell is what an operator sees.
func TestAListingReadsWell(t *testing.T) {
	e, err := Open(vectorFile(t, samr21Manifest))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := List(e, keysFrom(t, "keys/riot-ed25519-public.pem")).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/samr21.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

// TestHostileTextIsShownAsText, on one line and without control characters.
func TestHostileTextIsShownAsText(t *testing.T) {
	evil := "\x1b[2J\u202eevil\x00\r\nsequence number  99"
	r := draftRecipes(t)["example1"]
	r.ReferenceURI = evil
	r.Images[0].URI = evil
	r.Text = []Language{{Tag: evil, Lines: []Line{{1, evil}}}}
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	e.Payloads = append(e.Payloads, Payload{evil, nil})
	var b strings.Builder
	if err := List(e, nil).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x00\r\u202e") {
		t.Errorf("%q", b.String())
	}
	if got := strings.Count(b.String(), "\nsequence number"); got != 1 {
		t.Errorf("%d lines claim to be the number:\n%s", got, b.String())
	}
}

// TestWhatIsOddIsListed as it stands.
func TestWhatIsOddIsListed(t *testing.T) {
	m := &Manifest{Version: 2, Sequence: 1, SetVersion: []int64{1, 2}, Components: []ComponentID{{"a"}, {"b"}}, Sections: []Section{{Key: Install, Sequence: Sequence{
		{Code: SetComponent, Index: Index{List: []uint64{0, 1}}},
		{Code: -300, Other: Raw{0x81, 0x01}},
		{Code: OverrideMultiple, Many: []IndexParams{{1, Params{{ParamStrictOrder, false}, {ParamKey(-301), Raw{0xf6}}}}}},
		{Code: CopyParameters, Copies: []Copied{{1, []int64{21}}}},
		{Code: CheckVersion, Policy: 16}, {Code: CheckBattery, Policy: 3},
		{Code: OverrideParameters, Params: Params{{ParamVersion, Versions{9, []int64{1}}}, {ParamInvokeArgs, bytes.Repeat([]byte{1}, 50)}}},
	}}}}
	e := &Envelope{manifest: m.encode()}
	if err := e.Sign(signerFrom(t, "keys/own-p256-private.pem")); err != nil {
		t.Fatal(err)
	}
	e.Blocks = append(e.Blocks, Block{Structure: 98, Problem: "it is odd"})
	e.Digest.Sum[0]++
	var b strings.Builder
	if err := List(e, nil).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"IS NOT THAT OF THE MANIFEST", "COSE structure 98: it is odd", "version          2", "sets version     1.2", "set-component-index  [0 1]",
		"command -300  [1]", "component 1: strict-order = false", "component 1: parameter -301 = null", "from component 1: uri",
		"policy 16", "report success and failure", "comparison 9 with 1", "…' (50 bytes)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
