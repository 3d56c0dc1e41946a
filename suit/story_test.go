package suit

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// TestWhatIsMadeIsGoodAndInstalls: whatever a recipe asks for, the manifest
// passes the check against its files, and each device puts the image of its
// slot into each component; with one byte changed it does neither.
func TestWhatIsMadeIsGoodAndInstalls(t *testing.T) {
	keys := map[Dialect]Signer{
		Standard: signerFrom(t, "keys/own-p256-private.pem"),
		RIOT:     signerFrom(t, "keys/riot-ed25519-private.pem"),
	}
	rapid.Check(t, func(t *rapid.T) {
		r := recipes(t)
		e, err := r.Envelope()
		if err != nil {
			t.Fatal(err)
		}
		signer := keys[r.Dialect]
		if err := e.Sign(signer); err != nil {
			t.Fatal(err)
		}
		file := e.Encode()

		files, board := shelf{}, newBoard("example.com", "board", map[string][]byte{})
		for _, x := range r.Images {
			files[x.URI[len("coap://h/"):]] = []byte(x.URI)
			board.files[x.URI] = []byte(x.URI)
		}
		rules := Rules{Trusted: []Key{signer.Key}, Stored: files.find, Delivery: true}
		v, err := Check(file, rules)
		if err != nil || !v.OK() || v.Signer == nil {
			t.Fatalf("%v, %v", v.Findings, err)
		}
		if len(v.URIs) != len(r.Images) || len(v.Classes) != 1 {
			t.Fatalf("%d images, found %q for %v", len(r.Images), v.URIs, v.Classes)
		}

		r.isListed(t, List(v.Envelope, rules.Trusted))

		board.slot = rapid.Uint64Range(0, 2).Draw(t, "slot of the device")
		p := &Processor{Device: board, Dialect: r.Dialect, Trusted: []Key{signer.Key}}
		_, report, err := p.Install(t.Context(), file)
		if want := r.fits(board.slot); want != (err == nil) {
			t.Fatalf("installs %v, but should %v: %v", err == nil, want, report.Result)
		}
		if err == nil {
			r.holds(t, board)
		}

		at := rapid.IntRange(0, len(file)-1).Draw(t, "changed byte")
		file[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "changed bit")
		if v, err := Check(file, rules); err == nil && v.OK() && v.Signer != nil {
			if again := v.Envelope; string(again.manifest) != string(e.manifest) {
				t.Fatal("another manifest is good as well")
			}
		}
	})
}

// recipes are for one to three components, each with an image of its own or
// one for each of two slots.
func recipes(t *rapid.T) Recipe {
	r := Recipe{Dialect: rapid.SampledFrom([]Dialect{Standard, RIOT}).Draw(t, "dialect"), Sequence: uint64(rapid.Uint32().Draw(t, "sequence"))}
	r.Vendor = VendorID("example.com")
	r.Class = ClassID(r.Vendor, "board")
	most := 3
	if r.Dialect == Standard {
		r.Severable, r.Invoke = rapid.Bool().Draw(t, "severable"), rapid.Bool().Draw(t, "invoke")
		for _, tag := range rapid.SliceOfNDistinct(rapid.String(), 0, 3, rapid.ID).Draw(t, "languages") {
			r.Text = append(r.Text, Language{Tag: tag, Lines: []Line{{1, rapid.String().Draw(t, "text")}},
				Components: []ComponentText{{ComponentID{"ram", "0"}, []Line{{6, rapid.String().Draw(t, "version")}}}}})
		}
	} else {
		most = 2 // or RIOT's 640 bytes are full
	}
	for c := range rapid.IntRange(1, most).Draw(t, "components") {
		slots := rapid.IntRange(0, 2).Draw(t, "slots")
		for s := range max(slots, 1) {
			x := Target{Component: ComponentID{"ram", fmt.Sprint(c)}, URI: fmt.Sprintf("coap://h/f%d-%d", c, s)}
			if slots > 0 {
				x.Slot = slot(uint64(s))
			}
			sum := sha256.Sum256([]byte(x.URI))
			x.Sum, x.Size = sum[:], uint64(len(x.URI))
			r.Images = append(r.Images, x)
		}
	}
	return r
}

// isListed compares a listing with what was asked for.
func (r Recipe) isListed(t *rapid.T, l Listing) {
	want := Listing{Dialect: r.Dialect.String(), Sequence: r.Sequence, Vendors: []string{r.Vendor.String()}, Classes: []string{r.Class.String()}}
	add := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, x := range r.Images {
		add(&want.Components, x.Component.String())
		add(&want.URIs, x.URI)
		add(&want.Digests, r.digest(x).String())
		add(&want.Sizes, fmt.Sprint(x.Size))
		if x.Slot != nil {
			add(&want.Slots, fmt.Sprint(*x.Slot))
		}
	}
	for _, text := range inOrder(r.Text) {
		want.Text = append(want.Text, ListedText{text.Tag, "", "description", text.Lines[0].Text},
			ListedText{text.Tag, "ram/0", "version", text.Components[0].Lines[0].Text})
	}
	got := Listing{Text: l.Text, Dialect: l.Dialect, Sequence: l.Sequence, Vendors: l.Vendors, Classes: l.Classes,
		Components: l.Components, URIs: l.URIs, Digests: l.Digests, Sizes: l.Sizes, Slots: l.Slots}
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	if diff := cmp.Diff(want, got, sorted, cmpopts.EquateEmpty()); diff != "" || l.Problem != "" || !l.DigestFits || len(l.Signatures) != 1 || l.Signatures[0].Signer == "" {
		t.Fatalf("it is listed as %+v: %s", l, diff)
	}
}

// fits reports whether there is an image for this slot in every component.
func (r Recipe) fits(slot uint64) bool {
	for _, choices := range r.group() {
		found := false
		for _, x := range choices {
			found = found || x.Slot == nil || *x.Slot == slot
		}
		if !found {
			return false
		}
	}
	return true
}

// holds compares what a device has with what it should have.
func (r Recipe) holds(t *rapid.T, b *board) {
	for _, x := range r.Images {
		if x.Slot != nil && *x.Slot != b.slot {
			continue
		}
		if got := string(b.flash[x.Component.String()]); got != x.URI {
			t.Fatalf("%s holds %q, not %q", x.Component, got, x.URI)
		}
	}
}
