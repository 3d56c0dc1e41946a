package suit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const samr21Manifest = "riot-draft-09/riot.samr21-xpro.1700000000.suit"

func TestADeviceInstallsWhatItShould(t *testing.T) {
	p, b := own(t)
	m, report, err := p.Install(t.Context(), vectorFile(t, "own/ed25519-fully-specified.suit"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Sequence != 1700000001 || report.Result != nil || report.URI != "coap://[::1]/m/full" {
		t.Errorf("manifest %d, report %+v", m.Sequence, report)
	}
	if !bytes.Equal(b.flash["00"], vectorFile(t, "own/payloads/fw-v2.bin")) {
		t.Error("the image is not in its place")
	}
}

func TestAPayloadInTheEnvelopeNeedsNoServer(t *testing.T) {
	p, b := own(t)
	if _, _, err := p.Install(t.Context(), vectorFile(t, "own/integrated-payload.suit")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"write 9 bytes to ram/0"}, b.log); diff != "" {
		t.Error(diff)
	}
}

// TestABoardTakesTheImageOfItsSlot, as images are linked for one address.
func TestABoardTakesTheImageOfItsSlot(t *testing.T) {
	for offset, name := range map[uint64]string{4096: "slot0", 133120: "slot1"} {
		p, b := samr21(t, offset)
		if _, _, err := p.Install(t.Context(), vectorFile(t, samr21Manifest)); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"fetch coap://[2001:db8::1]/fw/suit_update/samr21-xpro/" + name + ".1700000000.bin",
			"write 2304 bytes to h'00'",
		}
		if diff := cmp.Diff(want, b.log); diff != "" {
			t.Error(diff)
		}
	}
}

// TestADeviceRefuses what it should, and does not touch its flash for
// anything that it could know before.
func TestADeviceRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		file   string
		spoil  func(*Processor, *board)
		reason Reason
		text   string
		log    int // what was done before
	}{
		{"an older manifest", "own/rollback-older-sequence.suit", installed(1700000001), ReasonCondition, "is not newer", 0},
		{"a digest of another manifest", "own/bad-manifest-bit.suit", nil, ReasonUnauthorised, "another manifest", 0},
		{"a digest without the header", "own/bad-digest-without-bstr-header.suit", nil, ReasonUnauthorised, "another manifest", 0},
		{"a broken signature", "own/bad-signature-bit.suit", nil, ReasonUnauthorised, "trusted key", 0},
		{"somebody else's signature", "own/bad-key.suit", nil, ReasonUnauthorised, "trusted key", 0},
		{"no signature", "own/bad-no-block.suit", nil, ReasonUnauthorised, "not signed", 0},
		{"a signature that carries its digest", "own/odd-attached-payload.suit", nil, ReasonUnauthorised, "detached", 0},
		{"half a manifest", "own/bad-truncated.suit", nil, ReasonParse, "unexpected EOF", 0},
		{"a key given twice", "own/bad-duplicate-key.suit", nil, ReasonParse, "twice", 0},
		{"another version of the format", "own/bad-version-2.suit", nil, ReasonParse, "version 2", 0},
		{"another installation than was signed", "own/bad-severed-digest.suit", nil, ReasonUnauthorised, "not what was signed", 0},
		{"a manifest of another dialect", samr21Manifest, nil, ReasonParse, "dialect", 0},
		{"a manifest for another class", "own/ed25519-fully-specified.suit", func(_ *Processor, b *board) {
			b.class = ClassID(b.vendor, "another")
		}, ReasonCondition, "class-identifier", 0},
		{"a manifest of another vendor", "own/ed25519-fully-specified.suit", func(_ *Processor, b *board) {
			b.vendor = VendorID("example.com")
		}, ReasonCondition, "vendor-identifier", 0},
		{"a file that is not the one described", "own/ed25519-fully-specified.suit", func(_ *Processor, b *board) {
			for uri := range b.files {
				b.files[uri] = []byte("something else")
			}
		}, ReasonCondition, "14 bytes", 2},
		{"to go on without the file", "own/ed25519-fully-specified.suit", func(_ *Processor, b *board) { b.files = nil }, ReasonOperation, "4.04", 1},
		{"what it has no key for", "libcsuit/suit_manifest_expEW.suit", trusts("keys/libcsuit-es256-public.pem"), ReasonParameter, "encrypted", 0},
		{"commands it does not know", "libcsuit/suit_manifest_expU0.suit", trusts("keys/libcsuit-es256-public.pem"), ReasonCommand, "not support", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, b := own(t)
			if c.spoil != nil {
				c.spoil(p, b)
			}
			_, report, err := p.Install(t.Context(), vectorFile(t, c.file))
			f, ok := errors.AsType[*Failure](err)
			if !ok || f.Reason != c.reason || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v", err)
			}
			if report.Result == nil || report.Result.Reason != c.reason {
				t.Errorf("the report says %+v", report.Result)
			}
			if len(b.log) != c.log {
				t.Errorf("it did %q", b.log)
			}
		})
	}
}

// TestWhatWasTakenAwayIsMissed, unless it is only text.
func TestWhatWasTakenAwayIsMissed(t *testing.T) {
	e, err := Open(vectorFile(t, "own/severable-full.suit"))
	if err != nil {
		t.Fatal(err)
	}
	e.Sever(keyText)
	p, _ := own(t)
	if _, _, err := p.Install(t.Context(), e.Encode()); err != nil {
		t.Error(err)
	}
	e.Sever(int64(Install))
	p, b := own(t)
	_, _, err = p.Install(t.Context(), e.Encode())
	if f, ok := errors.AsType[*Failure](err); !ok || f.Reason != ReasonSevering || len(b.log) > 0 {
		t.Errorf("%v, %q", err, b.log)
	}
}

// TestThereIsNothingToDo: a manifest that nothing would check is not installed,
// whoever signed it.
func TestThereIsNothingToDo(t *testing.T) {
	class := Params{{ParamVendor, VendorID("example.com")}, {ParamClass, ClassID(VendorID("example.com"), "stove")}}
	m := &Manifest{Version: 1, Sequence: 9, Components: []ComponentID{{"\x00"}}, Shared: Sequence{
		{Code: OverrideParameters, Params: class}, {Code: CheckVendor}, {Code: CheckClass},
	}, Sections: []Section{{Key: InvokeSection, Sequence: Sequence{{Code: Invoke}}}}}
	e, signer := &Envelope{manifest: m.encode()}, signerFrom(t, "keys/own-p256-private.pem")
	if err := e.Sign(signer); err != nil {
		t.Fatal(err)
	}
	p := &Processor{Device: newBoard("example.com", "lamp", nil), Trusted: []Key{signer.Key}}
	_, report, err := p.Install(t.Context(), e.Encode())
	if err == nil || !strings.Contains(err.Error(), "neither installs nor checks") || report.Result == nil {
		t.Errorf("%v, %+v", err, report.Result)
	}
	v, err := Check(e.Encode(), Rules{Trusted: []Key{signer.Key}})
	if err != nil || v.OK() || !slices.Contains(codes(v), "error "+FoundBroken) {
		t.Errorf("%v, %v", v.Findings, err)
	}
}

// TestTheReportTellsWhatIsNotKnown from what is wrong.
func TestTheReportTellsWhatIsNotKnown(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Envelope)
		want  Reason
	}{
		"a structure": {func(e *Envelope) { e.Blocks = []Block{{raw: []byte{0xd8, 98, 0x80}}} }, ReasonCOSE},
		"an algorithm": {func(e *Envelope) {
			e.Blocks = []Block{{Structure: Sign1, protected: []byte{0xa1, 1, 0x38, 34}, signature: make([]byte, 96)}}
		}, ReasonAlgorithm},
		"a digest's algorithm": {func(e *Envelope) { e.signed = appendDigest(nil, Digest{-45, make([]byte, 64)}) }, ReasonAlgorithm},
		"one of two":           {func(e *Envelope) { e.Blocks = append(e.Blocks, Block{raw: []byte{0xd8, 98, 0x80}}) }, ReasonUnauthorised},
		"nobody":               {func(e *Envelope) { e.Blocks = nil }, ReasonUnauthorised},
	} {
		e, err := Open(vectorFile(t, "own/eddsa.suit"))
		if err != nil {
			t.Fatal(err)
		}
		c.spoil(e)
		p, b := own(t)
		p.Trusted = keysFrom(t, "keys/own-p256-public.pem")
		_, report, err := p.Install(t.Context(), e.Encode())
		if err == nil || report.Result.Reason != c.want || len(b.log) > 0 {
			t.Errorf("%s: %s, %v", name, report.Result.Reason, err)
		}
	}
}

func installed(n uint64) func(*Processor, *board) {
	return func(p *Processor, _ *board) { p.Installed = &n }
}

func trusts(name string) func(*Processor, *board) {
	return func(p *Processor, _ *board) {
		file, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
		if err == nil {
			p.Trusted, err = ParseKeys(file)
		}
		if err != nil {
			panic(err)
		}
	}
}

// TestTheSameAgain: the standard lets a device install the same manifest
// again, RIOT does not.
func TestTheSameAgain(t *testing.T) {
	p, b := own(t)
	installed(1700000001)(p, b)
	if _, _, err := p.Install(t.Context(), vectorFile(t, "own/eddsa.suit")); err != nil {
		t.Error(err)
	}
	p, b = samr21(t, 4096)
	installed(1700000000)(p, b)
	if _, _, err := p.Install(t.Context(), vectorFile(t, samr21Manifest)); err == nil {
		t.Error("RIOT installed the same again")
	}
	installed(1699999999)(p, b)
	if _, _, err := p.Install(t.Context(), vectorFile(t, samr21Manifest)); err != nil {
		t.Error(err)
	}
}

// TestNoSlotFits: RIOT tries each slot, and gives up after the last.
func TestNoSlotFits(t *testing.T) {
	p, b := samr21(t, 42)
	_, _, err := p.Install(t.Context(), vectorFile(t, samr21Manifest))
	if f, ok := errors.AsType[*Failure](err); !ok || f.Reason != ReasonCondition || f.At.Section != Shared || len(b.log) > 0 {
		t.Errorf("got %v after %q", err, b.log)
	}
}

// TestAfterInstallationItIsStarted by what the same manifest says.
func TestAfterInstallationItIsStarted(t *testing.T) {
	image := []byte("firmware")
	sum := sha256.Sum256(image)
	r := Recipe{Sequence: 5, Vendor: VendorID("example.com"), Class: ClassID(VendorID("example.com"), "lamp"), Invoke: true,
		Images: []Target{
			{Component: ComponentID{"app"}, URI: "#app", Sum: sum[:], Size: 8, Content: image},
			{Component: ComponentID{"spare"}, URI: "coap://host/app", Sum: sum[:], Size: 8},
		}}
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	signer := signerFrom(t, "keys/own-hmac256.hex")
	if err := e.Sign(signer); err != nil {
		t.Fatal(err)
	}
	b := newBoard("example.com", "lamp", map[string][]byte{"coap://host/app": image})
	p := &Processor{Device: b, Trusted: []Key{signer.Key}}
	file := e.Encode()
	if _, _, err := p.Install(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Boot(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	want := []string{"write 8 bytes to app", "fetch coap://host/app", "write 8 bytes to spare", "invoke app "}
	if diff := cmp.Diff(want, b.log); diff != "" {
		t.Error(diff)
	}
	b.flash["spare"] = []byte("bit rot!")
	if _, _, err := p.Boot(t.Context(), file); err == nil {
		t.Error("it was started with a spare that does not match")
	}
}

// TestTheReportPointsAtTheCommand that failed, and tells what was found.
func TestTheReportPointsAtTheCommand(t *testing.T) {
	p, b := own(t)
	for uri := range b.files {
		b.files[uri] = []byte("x")
	}
	file := vectorFile(t, "own/ed25519-fully-specified.suit")
	_, report, err := p.Install(t.Context(), file)
	if err == nil {
		t.Fatal("installed")
	}
	e, _ := Open(file)
	m, _ := e.Manifest()
	failed := m.Section(Install).Sequence[2]
	at := report.Result.Record
	if failed.Code != CheckImage || at.Section != Install || at.Offset != uint64(failed.Offset) {
		t.Errorf("%s is at %d, the report says %+v", failed.Code, failed.Offset, at)
	}
	sum := sha256.Sum256([]byte("x"))
	image := vectorFile(t, "own/payloads/fw-v2.bin")
	want := fmt.Sprintf("a condition does not hold: condition-image-match in install, component 00, found image-digest sha-256:%x instead of sha-256:%x, found image-size 1 instead of %d",
		sum, sha256.Sum256(image), len(image))
	if got := report.Result.Explain(m); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if size := at.Properties.Get(ParamSize); size != uint64(1) {
		t.Errorf("measured %v", at.Properties)
	}
	signer := signerFrom(t, "keys/own-p256-private.pem")
	wire, err := SignReport(report, signer)
	if err != nil {
		t.Fatal(err)
	}
	got, by, err := ReadReport(wire, []Key{signer.Key})
	if err != nil || by == nil || by.Fingerprint() != signer.Fingerprint() {
		t.Fatalf("by %v, %v", by, err)
	}
	if diff := cmp.Diff(report, got); diff != "" {
		t.Error(diff)
	}
	if _, by, err := ReadReport(wire, keysFrom(t, "keys/own-ed25519-public.pem")); err != nil || by != nil {
		t.Errorf("by %v, %v", by, err)
	}
	if _, by, err := ReadReport(report.Encode(), []Key{signer.Key}); err != nil || by != nil {
		t.Errorf("not signed, but by %v, %v", by, err)
	}
}

// TestNestedSequencesMayNotMultiply without end.
func TestNestedSequencesMayNotMultiply(t *testing.T) {
	seq := Sequence{{Code: CheckVendor}}
	for range maxNested {
		inner := seq
		seq = nil
		for range 30 {
			seq = append(seq, Command{Code: RunSequence, Run: inner})
		}
	}
	m := &Manifest{Components: []ComponentID{{"a"}}, Shared: Sequence{
		{Code: OverrideParameters, Params: Params{{ParamVendor, VendorID("example.com")}}},
	}, Sections: []Section{{Key: Install, Sequence: seq}}}
	var report Report
	err := run(context.Background(), newBoard("example.com", "x", nil), &Envelope{}, m, []SectionKey{Install}, &report)
	if err == nil || !strings.Contains(err.Error(), "steps") {
		t.Errorf("got %v", err)
	}
}

// TestConditionsAndDirectives: what ends a sequence, what is passed over, and
// what ends it all (draft-37, 8.4.8 and 8.4.10).
func TestConditionsAndDirectives(t *testing.T) {
	set := func(ps ...Param) Command { return Command{Code: OverrideParameters, Params: ps} }
	at := func(n uint64) Param { return Param{ParamSlot, n} }
	write := func(text string) Sequence { return Sequence{set(Param{ParamContent, []byte(text)}), {Code: Write}} }
	check, abort := Command{Code: CheckSlot}, Command{Code: Abort}
	soft := set(Param{ParamSoftFailure, true})
	then := func(seqs ...Sequence) Sequence { return slices.Concat(seqs...) }
	one := func(cs ...Command) Sequence { return cs }

	for _, c := range []struct {
		name   string
		seq    Sequence
		shared Sequence
		wrote  string
		reason Reason
	}{
		{name: "the first that works", seq: one(Command{Code: TryEach, Tries: []Sequence{
			then(one(set(at(1)), check), write("one")), then(one(set(at(7)), check), write("seven")), write("other")}}), wrote: "seven"},
		{name: "none works", seq: one(Command{Code: TryEach, Tries: []Sequence{one(abort), one(abort)}}), reason: ReasonCondition},
		{name: "nothing is good enough", seq: then(one(Command{Code: TryEach, Tries: []Sequence{one(abort), nil}}), write("on")), wrote: "on"},
		{name: "a condition that cannot be answered does not hold", seq: one(Command{Code: TryEach, Tries: []Sequence{
			one(Command{Code: CheckBattery}), one(Command{Code: CheckDevice}), write("last")}}), wrote: "last"},
		{name: "a directive that fails ends it all", seq: one(Command{Code: TryEach, Tries: []Sequence{
			one(Command{Code: Fetch}), write("not this")}}), reason: ReasonParameter},
		{name: "a sequence may end early", seq: then(one(Command{Code: RunSequence, Run: then(one(soft, abort), write("not this"))}), write("on")), wrote: "on"},
		{name: "a sequence that is not soft may not", seq: one(Command{Code: TryEach, Tries: []Sequence{
			one(Command{Code: RunSequence, Run: one(abort)}), write("not this")}}), reason: ReasonCondition},
		{name: "a try may insist", seq: one(Command{Code: TryEach, Tries: []Sequence{
			one(set(Param{ParamSoftFailure, false}), abort), write("not this")}}), reason: ReasonCondition},
		{name: "a section is not soft", seq: one(soft, abort), reason: ReasonOperation},
		{name: "what is shared only asks", shared: write("x"), seq: one(), reason: ReasonOperation},
		{name: "set does not override", seq: one(set(at(7)), Command{Code: SetParameters, Params: Params{at(1)}}, check)},
		{name: "not this image", seq: then(one(set(Param{ParamDigest, Digest{SHA256, make([]byte, 32)}}), Command{Code: CheckOtherImage}), write("x"),
			one(Command{Code: CheckContent})), wrote: "x"},
		{name: "not what was written", seq: then(write("x"), one(set(Param{ParamContent, []byte("y")}), Command{Code: CheckContent})), wrote: "x", reason: ReasonCondition},
		{name: "a copy of nowhere", seq: one(set(Param{ParamSource, uint64(9)}), Command{Code: Copy}), reason: ReasonOperation},
		{name: "all components", seq: then(one(Command{Code: SetComponent, Index: Index{All: true}}), write("x"),
			one(Command{Code: SetComponent, Index: Index{List: []uint64{1}}}, set(Param{ParamSource, uint64(0)}), Command{Code: Copy})), wrote: "xxx"},
		{name: "swapped", seq: then(write("x"), one(Command{Code: SetComponent, Index: Index{List: []uint64{1}}}), write("y"),
			one(set(Param{ParamSource, uint64(0)}), Command{Code: Swap}, set(Param{ParamContent, []byte("x")}), Command{Code: CheckContent},
				Command{Code: SetComponent, Index: Index{List: []uint64{0}}}, set(Param{ParamContent, []byte("y")}), Command{Code: CheckContent})), wrote: "xy"},
		{name: "swapped with nowhere", seq: one(set(Param{ParamSource, uint64(9)}), Command{Code: Swap}), reason: ReasonOperation},
		{name: "for none of the components", seq: then(one(Command{Code: SetComponent, Index: Index{List: []uint64{}}}, abort), write("x")), reason: ReasonComponent},
		{name: "parameters of a component there is not", seq: one(Command{Code: OverrideMultiple, Many: []IndexParams{{2, Params{at(7)}}}}), reason: ReasonComponent},
		{name: "one component is not soft", seq: one(Command{Code: RunSequence, Run: one(
			Command{Code: OverrideMultiple, Many: []IndexParams{{0, Params{{ParamSoftFailure, true}}}}}, abort)}), reason: ReasonParameter},
		{name: "a component there is not", seq: one(Command{Code: SetComponent, Index: Index{List: []uint64{2}}}), reason: ReasonComponent},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &Manifest{Components: []ComponentID{{"a"}, {"b"}}, Shared: c.shared, Sections: []Section{{Key: Install, Sequence: c.seq}}}
			b := &recorder{board: newBoard("v", "c", nil)}
			b.slot = 7
			var report Report
			err := run(t.Context(), b, &Envelope{}, m, []SectionKey{Install}, &report)
			var reason Reason
			if f, ok := errors.AsType[*Failure](err); ok {
				reason = f.Reason
			}
			if reason != c.reason || b.wrote != c.wrote {
				t.Errorf("wrote %q, %v", b.wrote, err)
			}
		})
	}
}

// recorder notes what is written, copies included.
type recorder struct {
	*board
	wrote string
}

func (r *recorder) Write(c ComponentID, content []byte, ps Params) error {
	r.wrote += string(content)
	return r.board.Write(c, content, ps)
}

func (r *recorder) Copy(c, from ComponentID, ps Params) error {
	return r.Write(c, r.flash[from.String()], ps)
}
