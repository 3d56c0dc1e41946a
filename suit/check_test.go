package suit

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// TestVectorsGetTheirVerdict: all 72 manifests, as the index says.
func TestVectorsGetTheirVerdict(t *testing.T) {
	for _, v := range suits(t) {
		t.Run(v.File, func(t *testing.T) {
			rules := Rules{Trusted: v.trusted(t)}
			if rules.Trusted == nil { // signed by nobody, or nobody we know
				rules.Trusted = keysFrom(t, "keys/own-ed25519-public.pem")
			}
			want, depends := v.Expect.Accept.(bool)
			if !depends {
				want = true // only if nothing newer is installed
				rules.Last = lastIs(1700000001)
				if got, err := Check(v.bytes(t), rules); err != nil || got.OK() {
					t.Errorf("rolled back: %v, %v", got.Findings, err)
				}
				rules.Last = lastIs(1699999998)
			}
			got, err := Check(v.bytes(t), rules)
			if err != nil || got.OK() != want {
				t.Errorf("want %v, got %v, %v", want, got.Findings, err)
			}
			if want && (got.Signer == nil || got.Signer.Fingerprint() != rules.Trusted[0].Fingerprint()) {
				t.Errorf("signed by %v", got.Signer)
			}
		})
	}
}

func lastIs(n uint64) func(_, _ uuid.UUID) (uint64, bool) {
	return func(_, _ uuid.UUID) (uint64, bool) { return n, true }
}

// shelf is a store of files by the last part of their URI.
type shelf map[string][]byte

func (s shelf) find(uri string) (File, error) {
	if strings.HasPrefix(uri, "coap://elsewhere/") {
		return File{}, ErrElsewhere
	}
	content, ok := s[path.Base(uri)]
	if !ok {
		return File{}, ErrNotStored
	}
	sum := sha256.Sum256(content)
	return File{int64(len(content)), sum[:], bytes.NewReader(content)}, nil
}

// riotShelf holds both images of the vector for the samr21-xpro.
func riotShelf(t *testing.T) shelf {
	s := shelf{}
	for _, name := range []string{"slot0.1700000000.bin", "slot1.1700000000.bin"} {
		s[name] = vectorFile(t, "riot-draft-09/payloads/"+name)
	}
	return s
}

func codes(v *Verdict) (found []string) {
	for _, f := range v.Findings {
		found = append(found, string(f.Severity)+" "+f.Code)
	}
	return found
}

func TestAReleaseAsItShouldBe(t *testing.T) {
	file := vectorFile(t, samr21Manifest)
	class := Class{VendorID("riot-os.org"), ClassID(VendorID("riot-os.org"), "samr21-xpro")}
	v, err := Check(file, Rules{
		Trusted: keysFrom(t, "keys/riot-ed25519-public.pem"), Stored: riotShelf(t).find, Delivery: true, Last: lastIs(1699999999),
		Known: func(vendor, id uuid.UUID) bool { return Class{vendor, id} == class },
	})
	if err != nil || len(v.Findings) > 0 {
		t.Errorf("%v, %v", v.Findings, err)
	}
	if !slices.Equal(v.Classes, []Class{class}) || len(v.URIs) != 2 {
		t.Errorf("for %v, with %q", v.Classes, v.URIs)
	}
}

// TestAllReasonsAreTold, not only the first.
func TestAllReasonsAreTold(t *testing.T) {
	files := riotShelf(t)
	files["slot1.1700000000.bin"] = []byte("not this")
	v, err := Check(vectorFile(t, samr21Manifest), Rules{
		Trusted: keysFrom(t, "keys/own-ed25519-public.pem"), Stored: files.find, Last: lastIs(1700000000),
		Known: func(_, _ uuid.UUID) bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"error " + FoundUntrusted, "error " + FoundClass, "error " + FoundSequence,
		"error " + FoundPayloadSize, "error " + FoundPayloadDigest, "error " + FoundImage}
	if diff := cmp.Diff(want, codes(v)); diff != "" {
		t.Errorf("%s\n%s", diff, strings.Join(v.Reasons(), "\n"))
	}
}

// TestFilesMayComeAfterTheManifest, but before it is delivered.
func TestFilesMayComeAfterTheManifest(t *testing.T) {
	rules := Rules{Trusted: keysFrom(t, "keys/riot-ed25519-public.pem"), Stored: shelf{}.find}
	v, err := Check(vectorFile(t, samr21Manifest), rules)
	missing := []string{"warning " + FoundMissing, "warning " + FoundMissing} // slot 0 and slot 1
	if diff := cmp.Diff(missing, codes(v)); err != nil || diff != "" || !v.OK() {
		t.Errorf("%s, %v", diff, err)
	}
	rules.Delivery = true
	v, err = Check(vectorFile(t, samr21Manifest), rules)
	if err != nil || v.OK() || len(v.Reasons()) != 2 {
		t.Errorf("%v, %v", v.Findings, err)
	}
}

func TestAStoreThatFailsIsNoVerdict(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := Check(vectorFile(t, samr21Manifest), Rules{Stored: func(string) (File, error) { return File{}, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// made makes and signs a manifest for the tests below.
func made(t *testing.T, r Recipe, key string) []byte {
	t.Helper()
	if r.Vendor == uuid.Nil {
		r.Vendor = VendorID("riot-os.org")
		r.Class = ClassID(r.Vendor, "native")
	}
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Sign(signerFrom(t, key)); err != nil {
		t.Fatal(err)
	}
	return e.Encode()
}

// targetOf describes a file that a shelf holds.
func targetOf(s shelf, uri string, id ...string) Target {
	sum := sha256.Sum256(s[path.Base(uri)])
	return Target{Component: id, URI: uri, Sum: sum[:], Size: uint64(len(s[path.Base(uri)]))}
}

// TestAClassThatIsAskedForButNotInsistedOn is told: other devices go on.
func TestAClassThatIsAskedForButNotInsistedOn(t *testing.T) {
	vendor := VendorID("example.com")
	ask := Sequence{{Code: CheckVendor}, {Code: CheckClass}}
	for want, tries := range map[bool][]Sequence{true: {ask, nil}, false: {ask}} {
		m := &Manifest{Version: 1, Sequence: 1, Components: []ComponentID{{"app"}}, Shared: Sequence{
			{Code: OverrideParameters, Params: Params{{ParamVendor, vendor}, {ParamClass, ClassID(vendor, "lamp")}}}, {Code: TryEach, Tries: tries},
		}, Sections: []Section{{Key: Install, Sequence: Sequence{{Code: OverrideParameters, Params: Params{{ParamContent, []byte("x")}}}, {Code: Write}}}}}
		v, err := Check(envelopeOf(m.encode()), Rules{})
		if got := slices.Contains(codes(v), "warning "+FoundAnyClass); err != nil || got != want || len(v.Classes) != 1 {
			t.Errorf("%d tries: %v for %v, %v", len(tries), v.Findings, v.Classes, err)
		}
	}
}

// TestAnImageIsCheckedWhereItEndsUp: what is fetched to one place and then
// copied or swapped to another must have the digest it has to have there.
func TestAnImageIsCheckedWhereItEndsUp(t *testing.T) {
	files := shelf{"f": []byte("right")}
	right, wrong := sha256.Sum256(files["f"]), sha256.Sum256([]byte("wrong"))
	for _, way := range []Code{Copy, Swap} {
		for want, sum := range map[string][32]byte{"": right, "error " + FoundPayloadDigest: wrong} {
			at := func(i uint64, ps ...Param) Sequence {
				return Sequence{{Code: SetComponent, Index: Index{List: []uint64{i}}}, {Code: OverrideParameters, Params: ps}}
			}
			m := &Manifest{Version: 1, Sequence: 1, Components: []ComponentID{{"aside"}, {"app"}}, Sections: []Section{{Key: Install, Sequence: slices.Concat(
				at(0, Param{ParamURI, "coap://h/f"}), Sequence{{Code: Fetch}},
				at(1, Param{ParamSource, uint64(0)}, Param{ParamDigest, Digest{SHA256, sum[:]}}), Sequence{{Code: way}, {Code: CheckImage}})}}}
			v, err := Check(envelopeOf(m.encode()), Rules{Stored: files.find})
			got := slices.DeleteFunc(codes(v), func(c string) bool {
				return c == "error "+FoundUnsigned || c == "warning "+FoundAnyClass
			})
			if err != nil || strings.Join(got, ", ") != want {
				t.Errorf("%s: want %q, got %q, %v", way, want, got, err)
			}
		}
	}
}

// TestImagesAreLookedInto: digests are right, and the firmware is still not
// for this device.
func TestImagesAreLookedInto(t *testing.T) {
	files := riotShelf(t)
	for name, file := range map[string]string{"mcu": "images/mcuboot.ed25519.v1.2.3+45.bin", "esp": "images/esp32s3.app.bad-checksum.bin"} {
		files[name] = vectorFile(t, file)
	}
	files["text"] = []byte("no image at all")
	slotted := func(at uint64, name string) Target {
		x := targetOf(files, "coap://h/"+name, "\x00")
		x.Slot = &at
		return x
	}
	other := VendorID("example.com")
	const riotKey, ownKey = "keys/riot-ed25519-private.pem", "keys/own-p256-private.pem"
	for _, c := range []struct {
		name   string
		recipe Recipe
		key    string
		want   string // part of the only reason; "" for none
	}{
		{"as they should be", Recipe{Dialect: RIOT, Sequence: 1700000000, Images: []Target{slotted(4096, "slot0.1700000000.bin")}}, riotKey, ""},
		{"slots mixed up", Recipe{Dialect: RIOT, Sequence: 1700000000, Images: []Target{slotted(133120, "slot0.1700000000.bin")}}, riotKey, "linked for address 0x1100"},
		{"another number in the header", Recipe{Dialect: RIOT, Sequence: 1700000001, Images: []Target{slotted(4096, "slot0.1700000000.bin")}}, riotKey, "version 1700000000"},
		{"no image for flash", Recipe{Dialect: RIOT, Sequence: 1, Images: []Target{slotted(4096, "text")}}, riotKey, "no riotboot image"},
		{"any file for RAM", Recipe{Dialect: RIOT, Sequence: 1, Images: []Target{targetOf(files, "coap://h/text", "ram", "0")}}, riotKey, ""},
		{"MCUboot's class fits", Recipe{Sequence: 1, Images: []Target{targetOf(files, "coap://h/mcu", "app")}}, ownKey, ""},
		{"MCUboot's class does not", Recipe{Sequence: 1, Vendor: VendorID("riot-os.org"), Class: other, Images: []Target{targetOf(files, "coap://h/mcu", "app")}}, ownKey, "is for class"},
		{"a broken ESP-IDF image", Recipe{Sequence: 1, Images: []Target{targetOf(files, "coap://h/esp", "app")}}, ownKey, "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Check(made(t, c.recipe, c.key), Rules{Trusted: []Key{signerFrom(t, c.key).Key}, Stored: files.find})
			if err != nil {
				t.Fatal(err)
			}
			reasons := v.Reasons()
			if c.want == "" && len(reasons) > 0 || c.want != "" && (len(reasons) != 1 || !strings.Contains(reasons[0], c.want)) {
				t.Errorf("want %q, got %q", c.want, reasons)
			}
		})
	}
}

// TestWhatRIOTWouldRefuse is told before a device sees it.
func TestWhatRIOTWouldRefuse(t *testing.T) {
	files := shelf{"f": []byte("x")}
	long := "coap://[2001:db8::1]/" + strings.Repeat("a", 110) + "/f"
	part := func(seq uint64, uri string, id ...string) Recipe {
		return Recipe{Dialect: RIOT, Sequence: seq, Images: []Target{targetOf(files, uri, id...)}}
	}
	many := Recipe{Dialect: RIOT, Sequence: 1}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		many.Images = append(many.Images, targetOf(files, "coap://host/f", "ram", id))
	}
	for _, c := range []struct {
		name, want string
		recipe     Recipe
	}{
		{"a long URL", "133 bytes long, RIOT takes 127", part(1, long, "ram", "0")},
		{"a number of 33 bits", "32 bits", part(1<<32, "coap://h/f", "ram", "0")},
		{"a long name", "RIOT takes 32", part(1, "coap://h/f", strings.Repeat("n", 33))},
		{"another protocol", "cannot fetch http", part(1, "http://h/f", "ram", "0")},
		{"too many components", "RIOT takes 640", many},
	} {
		v, err := Check(made(t, c.recipe, "keys/riot-ed25519-private.pem"), Rules{})
		if err != nil || !slices.ContainsFunc(v.Reasons(), func(r string) bool { return strings.Contains(r, c.want) }) {
			t.Errorf("%s: %q, %v", c.name, v.Reasons(), err)
		}
	}
}

// TestWhatNoDeviceCouldDo is found by trying it on all sorts of devices.
func TestWhatNoDeviceCouldDo(t *testing.T) {
	id := ComponentID{"app"}
	for _, c := range []struct {
		name, want string
		seq        Sequence
	}{
		{"a fetch from nowhere", "uri is not set", Sequence{{Code: Fetch}}},
		{"a component there is not", "no component 7", Sequence{{Code: SetComponent, Index: Index{List: []uint64{7}}}}},
		{"a comparison with nothing", "image-digest is not set", Sequence{{Code: CheckImage}}},
		{"a copy of nothing", "not set", Sequence{{Code: CopyParameters, Copies: []Copied{{0, []int64{21}}}}}},
	} {
		m := &Manifest{Version: 1, Components: []ComponentID{id}, Sections: []Section{{Key: Install, Sequence: c.seq}}}
		e := &Envelope{manifest: m.encode()}
		if err := e.Sign(signerFrom(t, "keys/own-p256-private.pem")); err != nil {
			t.Fatal(err)
		}
		v, err := Check(e.Encode(), Rules{})
		if err != nil || len(v.Reasons()) != 1 || !strings.Contains(v.Reasons()[0], c.want) {
			t.Errorf("%s: %q, %v", c.name, v.Findings, err)
		}
	}
}

// TestTheEnvelopeHoldsNothingElse that nobody signed.
func TestTheEnvelopeHoldsNothingElse(t *testing.T) {
	e, err := Open(vectorFile(t, "own/ed25519-fully-specified.suit"))
	if err != nil {
		t.Fatal(err)
	}
	e.Members = append(e.Members, Member{keyText, []byte{0xa0}})
	e.Payloads = append(e.Payloads, Payload{"#extra", []byte("x")})
	v, err := Check(e.Encode(), Rules{Trusted: keysFrom(t, "keys/own-ed25519-public.pem")})
	if diff := cmp.Diff([]string{"error " + FoundStray, "warning " + FoundStray}, codes(v)); err != nil || diff != "" {
		t.Errorf("%s, %v", diff, err)
	}
}

// TestADependencyIsAManifestOfItsOwn, known by the digest of the manifest.
func TestADependencyIsAManifestOfItsOwn(t *testing.T) {
	needs, keys := vectorFile(t, "libcsuit/suit_manifest_expS2.suit"), keysFrom(t, "keys/libcsuit-es256-public.pem")
	for name, content := range map[string][]byte{
		"":                    vectorFile(t, "libcsuit/suit_manifest_expS0.suit"),
		"is not the manifest": vectorFile(t, "libcsuit/suit_manifest_exp0.suit"),
		"is no manifest":      []byte("text"),
	} {
		v, err := Check(needs, Rules{Trusted: keys, Stored: shelf{"dependent.suit": content}.find})
		if err != nil || !strings.Contains(strings.Join(v.Reasons(), ""), name) || name == "" && !v.OK() {
			t.Errorf("%s: %v, %v", name, v.Findings, err)
		}
	}
}

// TestWhatSomeDevicesRefuse is a warning: others do not mind.
func TestWhatSomeDevicesRefuse(t *testing.T) {
	ids := Params{{ParamVendor, VendorID("a")}, {ParamClass, VendorID("b")}}
	asked := Sequence{{Code: OverrideParameters, Params: ids}, {Code: CheckVendor}, {Code: CheckClass}}
	m := &Manifest{Version: 1, Sequence: 1, Components: []ComponentID{{"a"}, {"b"}}, Shared: asked,
		Sections: []Section{{Key: Validate, Sequence: Sequence{{Code: SetComponent, Index: Index{List: []uint64{0}}}, {Code: CheckVendor}}}}}
	e := &Envelope{manifest: m.encode()}
	e.manifest[1], e.manifest[2], e.manifest[3], e.manifest[4] = 2, 1, 1, 1 // the sequence number before the version
	if err := e.Sign(signerFrom(t, "keys/own-p256-private.pem")); err != nil {
		t.Fatal(err)
	}
	v, err := Check(e.Encode(), Rules{Trusted: keysFrom(t, "keys/own-p256-public.pem")})
	if diff := cmp.Diff([]string{"warning " + FoundStyle, "warning " + FoundStyle}, codes(v)); err != nil || diff != "" {
		t.Errorf("%s, %v", diff, err)
	}
}

// TestOtherDigestsAreTakenOfTheFile itself.
func TestOtherDigestsAreTakenOfTheFile(t *testing.T) {
	files := shelf{"f": []byte("content")}
	long, short := sha512.Sum512(files["f"]), sha512.Sum384(files["f"])
	for _, c := range []struct {
		digest Digest
		want   []string
	}{
		{Digest{SHA512, long[:]}, nil},
		{Digest{SHA384, short[:]}, nil},
		{Digest{SHA384, long[:48]}, []string{"error " + FoundPayloadDigest}},
		{Digest{-18, long[:32]}, []string{"warning " + FoundNoDigest}}, // SHAKE128
	} {
		m := &Manifest{Version: 1, Components: []ComponentID{{"app"}}, Sections: []Section{{Key: Install, Sequence: Sequence{
			{Code: OverrideParameters, Params: Params{{ParamVendor, VendorID("a")}, {ParamClass, VendorID("b")}, {ParamDigest, c.digest}, {ParamURI, "coap://h/f"}}},
			{Code: CheckVendor}, {Code: CheckClass}, {Code: Fetch}, {Code: CheckImage},
		}}}}
		e := &Envelope{manifest: m.encode()}
		if err := e.Sign(signerFrom(t, "keys/own-p256-private.pem")); err != nil {
			t.Fatal(err)
		}
		v, err := Check(e.Encode(), Rules{Trusted: keysFrom(t, "keys/own-p256-public.pem"), Stored: files.find})
		if diff := cmp.Diff(c.want, codes(v)); err != nil || diff != "" {
			t.Errorf("%s: %s, %v", c.digest, diff, err)
		}
	}
}

// TestWhatCannotBeChecked is a warning: files elsewhere, ciphertext, and
// files nobody compares with anything.
func TestWhatCannotBeChecked(t *testing.T) {
	libcsuit := keysFrom(t, "keys/libcsuit-es256-public.pem")
	r := draftRecipes(t)["example1"]
	r.Images[0].URI = "coap://elsewhere/f"
	for _, c := range []struct {
		name string
		file []byte
		keys []Key
		want string
	}{
		{"elsewhere", made(t, r, "keys/own-p256-private.pem"), keysFrom(t, "keys/own-p256-public.pem"), FoundElsewhere},
		{"encrypted", vectorFile(t, "libcsuit/suit_manifest_expAFS.suit"), vector{Key: "fwenc-hmac256"}.trusted(t), FoundNoDigest},
		{"a manifest it needs", vectorFile(t, "libcsuit/suit_manifest_expS2.suit"), libcsuit, FoundMissing},
	} {
		files := shelf{"encrypted-firmware": []byte("x")}
		v, err := Check(c.file, Rules{Trusted: c.keys, Stored: files.find})
		if err != nil || !slices.Contains(codes(v), "warning "+c.want) {
			t.Errorf("%s: %v, %v", c.name, v.Findings, err)
		}
	}
}

// TestWarningsLeaveRoomForErrors: nobody hides a fault behind many remarks.
func TestWarningsLeaveRoomForErrors(t *testing.T) {
	var seq Sequence
	for i := range Code(300) {
		seq = append(seq, Command{Code: -300 - i, Other: Raw{0}})
	}
	seq = append(Sequence{
		{Code: OverrideParameters, Params: Params{{ParamVendor, VendorID("a")}, {ParamClass, VendorID("b")}}}, {Code: CheckVendor}, {Code: CheckClass},
	}, seq...)
	m := &Manifest{Version: 1, Components: []ComponentID{{"app"}}, Sections: []Section{{Key: Install, Sequence: append(seq, Command{Code: Abort})}}}
	e := &Envelope{manifest: m.encode()}
	if err := e.Sign(signerFrom(t, "keys/own-p256-private.pem")); err != nil {
		t.Fatal(err)
	}
	v, err := Check(e.Encode(), Rules{Trusted: keysFrom(t, "keys/own-p256-public.pem"), Last: lastIs(9), Known: func(_, _ uuid.UUID) bool { return false }})
	if err != nil || len(v.Reasons()) != 2 || len(v.Findings) > 100 {
		t.Errorf("%q, %v", v.Reasons(), err)
	}
}

// TestAnEnvelopeThatLacksAFile it speaks of is of no use, now or later.
func TestAnEnvelopeThatLacksAFile(t *testing.T) {
	e, err := Open(vectorFile(t, "own/integrated-payload.suit"))
	if err != nil {
		t.Fatal(err)
	}
	e.Payloads = nil
	v, err := Check(e.Encode(), Rules{Trusted: keysFrom(t, "keys/own-ed25519-public.pem")})
	if err != nil || len(v.Reasons()) != 1 || !strings.Contains(v.Reasons()[0], "does not hold #fw") {
		t.Errorf("%v, %v", v.Findings, err)
	}
}

// TestADigestByAnUnknownAlgorithm covers nothing, whoever signed it.
func TestADigestByAnUnknownAlgorithm(t *testing.T) {
	e, err := Open(vectorFile(t, "own/es256.suit"))
	if err != nil {
		t.Fatal(err)
	}
	e.Digest.Algorithm = -18 // SHAKE128
	e.signed = appendDigest(nil, e.Digest)
	signer := signerFrom(t, "keys/own-p256-private.pem")
	b, err := sign(signer, ESP256, e.signed, false)
	if err != nil {
		t.Fatal(err)
	}
	e.Blocks = []Block{b}
	v, err := Check(e.Encode(), Rules{Trusted: []Key{signer.Key}})
	if err != nil || len(v.Reasons()) != 1 || !strings.Contains(v.Reasons()[0], "algorithm -18, which is not known") {
		t.Errorf("%v, %v", v.Findings, err)
	}
	if _, err := e.Authenticate([]Key{signer.Key}); err == nil {
		t.Error("a device takes it")
	}
}
