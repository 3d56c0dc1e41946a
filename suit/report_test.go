package suit

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// TestAnothersReportIsRead: what an agent tells about an application that
// came out a bit different from what was wanted.
func TestAnothersReportIsRead(t *testing.T) {
	const wanted = "6658ea560262696dd1f13b782239a064da7c6c5cbaf52fded428a6fc83c7e5af"
	const found = "21d2e4b19e44c1906e58050577922d604c204ccc2fd2cb977fee8ed56b62fd30"
	wire, err := hex.DecodeString("a3" +
		"1863" + "8260822f5820" + wanted + // reference: no URI, digest
		"03" + "81" + "a2" + "0081486170702e7761736d" + "0e19fe6c" + // a claim about app.wasm
		"04" + "a3" + "0520" + "068580101000a1035824822f5820" + found + "070a") // result
	if err != nil {
		t.Fatal(err)
	}
	got, by, err := ReadReport(wire, nil)
	if err != nil || by != nil {
		t.Fatalf("by %v, %v", by, err)
	}
	sum := func(text string) Digest {
		b, _ := hex.DecodeString(text)
		return Digest{SHA256, b}
	}
	want := Report{
		Manifest: sum(wanted),
		Claims:   []Claim{{ComponentID{"app.wasm"}, Params{{ParamSize, uint64(65132)}}}},
		Result: &Result{Code: -1, Reason: ReasonCondition, Record: Record{
			Section: PayloadFetch, Offset: 16, Properties: Params{{ParamDigest, sum(found)}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Without the manifest it was about, less can be said.
	text := got.Result.Explain(&Manifest{})
	if want := "a condition does not hold: payload-fetch at 16, found image-digest sha-256:" + found; text != want {
		t.Error(text)
	}
	if text := (Result{Reason: 99}).Explain(&Manifest{}); text != "reason 99" {
		t.Error(text)
	}
}

// TestAReportNamesItsManifestAlways by a URI and a digest, though there may be
// no URI (draft-ietf-suit-report, SUIT_Reference).
func TestAReportNamesItsManifestAlways(t *testing.T) {
	digest := Digest{SHA256, make([]byte, 32)}
	want := append([]byte{0xa3, 3, 0x80, 4, 0xf5, 0x18, 99, 0x82, 0x60}, appendDigest(nil, digest)...)
	if got := (Report{Manifest: digest}).Encode(); !bytes.Equal(got, want) {
		t.Errorf("%s, not %s", diagnose(got), diagnose(want))
	}
}

func TestReportsThatAreNone(t *testing.T) {
	digest := hex.EncodeToString(appendDigest(nil, Digest{SHA256, make([]byte, 32)}))
	for name, c := range map[string]struct{ wire, want string }{
		"nothing":               {"", "EOF"},
		"a number":              {"01", "expected a map"},
		"no manifest":           {"a10 4f5", "names no manifest"},
		"no result":             {"a1186381" + digest, "no result"},
		"no digest":             {"a2186381 60 04f5", "expected an array"},
		"a result that is none": {"a2186381" + digest + "04f4", "expected a map"},
		"a short record":        {"a3186381" + digest + "0381 8100 04f5", "1 parts, not 5"},
		"a claim about nothing": {"a3186381" + digest + "0381 a10001 04f5", "expected an array"},
		"a detached signature":  {"d28440a0f640", "carries no report"},
		"a key twice":           {"a204f504f5", "twice"},
	} {
		wire, err := hex.DecodeString(strings.ReplaceAll(c.wire, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadReport(wire, nil); ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
