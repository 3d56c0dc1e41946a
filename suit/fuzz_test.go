package suit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// FuzzEnvelope: nothing makes the reader, the listing, the check or a device
// panic or run on; what is readable is written and read again as the same;
// and whatever is readable was recognised.
func FuzzEnvelope(f *testing.F) {
	for _, v := range suits(f) {
		f.Add(v.bytes(f))
	}
	f.Add(nestedArrays(1000))
	trusted := append(keysFrom(f, "keys/own-ed25519-public.pem"), keysFrom(f, "keys/riot-ed25519-public.pem")...)
	f.Fuzz(func(t *testing.T, file []byte) {
		recognised := IsSUIT(file)
		e, err := Open(file)
		if err != nil {
			return
		}
		if !recognised {
			t.Error("it is a manifest that was not recognised as one")
		}
		again, err := Open(e.Encode())
		if err != nil || !bytes.Equal(again.Encode(), e.Encode()) {
			t.Errorf("written and read again: %v", err)
		}
		trustsNobody(t, file)
		if err := List(e, trusted).WriteText(io.Discard); err != nil {
			t.Error(err)
		}
	})
}

func trustsNobody(t *testing.T, file []byte) {
	for _, dialect := range []Dialect{Standard, RIOT} {
		p := &Processor{Device: newBoard("a", "b", nil), Dialect: dialect}
		if _, _, err := p.Install(t.Context(), file); err == nil {
			t.Error("a device that trusts nobody installed it")
		}
	}
}

// FuzzManifest does the same with what is in an envelope, whoever signed it.
func FuzzManifest(f *testing.F) {
	for _, v := range suits(f) {
		if e, err := Open(v.bytes(f)); err == nil {
			f.Add(e.manifest, e.Dialect == RIOT)
		}
	}
	f.Fuzz(func(t *testing.T, manifest []byte, riot bool) {
		if len(manifest) > MaxManifest {
			return
		}
		e := &Envelope{manifest: manifest}
		if riot {
			e.Dialect = RIOT
		} else if err := e.digest(); err != nil {
			t.Fatal(err)
		}
		v, err := Check(e.Encode(), Rules{Stored: shelf{}.find})
		if err != nil {
			t.Fatal(err)
		}
		m := v.Manifest
		if m == nil {
			return
		}
		e.manifest = m.encode()
		if again, err := e.Manifest(); err != nil || !bytes.Equal(again.encode(), e.manifest) {
			t.Errorf("written and read again: %v", err)
		}
		if err := List(e, nil).WriteText(io.Discard); err != nil {
			t.Error(err)
		}
		var report Report
		_ = run(t.Context(), newBoard("riot-os.org", "native", nil), e, m, []SectionKey{Install, Validate, InvokeSection}, &report)
		if got, _, err := ReadReport(report.Encode(), nil); err != nil || len(got.Records) != len(report.Records) {
			t.Errorf("the report: %v", err)
		}
	})
}

// FuzzCOSE: a block that is readable comes out as it went in, and vouches for
// nothing but what its maker signed.
func FuzzCOSE(f *testing.F) {
	for _, v := range suits(f) {
		if e, err := Open(v.bytes(f)); err == nil {
			for _, b := range e.Blocks {
				f.Add(b.encode())
			}
		}
	}
	f.Add([]byte{0xd8, 98, 0x80})
	private, _, err := Generate(KindEd25519)
	if err != nil {
		f.Fatal(err)
	}
	stranger, err := ParseSigner(private)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		it, err := whole(wire)
		if err != nil {
			return
		}
		b, err := readBlock(it)
		if err != nil {
			if ota.KindOf(err) != ota.KindInvalid {
				t.Errorf("of kind %s: %v", ota.KindOf(err), err)
			}
			return
		}
		if !bytes.Equal(b.encode(), wire) {
			t.Error("it came out otherwise")
		}
		if b.Verify(stranger.Key, b.Payload) {
			t.Error("it vouches for a stranger")
		}
	})
}

// FuzzReport: what is readable is written and read again as the same.
func FuzzReport(f *testing.F) {
	f.Add(Report{Manifest: Digest{SHA256, make([]byte, 32)}}.Encode())
	f.Add(Report{URI: "coap://h/m", Manifest: Digest{SHA512, make([]byte, 64)}, Nonce: []byte{1}, Capabilities: Raw{0xa0},
		Records: []Record{{Manifest: []uint64{1}, Section: Install, Offset: 7, Component: 1, Properties: Params{{ParamSize, uint64(3)}}}},
		Claims:  []Claim{{ComponentID{"app"}, Params{{ParamVersion, Versions{3, []int64{1, 2}}}}}},
		Result:  &Result{Code: -7, Reason: ReasonCondition, Record: Record{Section: Validate}}}.Encode())
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, _, err := ReadReport(wire, nil)
		if err != nil {
			return
		}
		again, _, err := ReadReport(r.Encode(), nil)
		if err != nil || !bytes.Equal(again.Encode(), r.Encode()) {
			t.Errorf("%v: %x, %x", err, r.Encode(), again.Encode())
		}
	})
}

// FuzzImage: firmware headers may say what they like; texts from them are
// fit to be shown.
func FuzzImage(f *testing.F) {
	for _, seed := range [][]byte{smallMCUboot(), smallESP(), vectorFile(f, "riot-draft-09/payloads/slot0.1700000000.bin")[:riotbootHeader]} {
		if img, err := ReadImage(bytes.NewReader(seed), int64(len(seed))); err != nil || len(img.Problems) > 0 {
			f.Fatalf("%+v, %v", img, err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := ReadImage(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if ota.KindOf(err) != ota.KindNotFound {
				t.Error(err)
			}
			return
		}
		for _, text := range append(img.Problems, img.Version) {
			if clean(text) != text {
				t.Errorf("%q is not fit to be shown", text)
			}
		}
	})
}

// smallMCUboot is an image of no bytes, with a digest.
func smallMCUboot() []byte {
	le := binary.LittleEndian
	h := le.AppendUint32(nil, mcubootMagic)
	h = append(h, make([]byte, mcubootHeader-4)...)
	h[8] = mcubootHeader
	sum := sha256.Sum256(h)
	h = le.AppendUint16(le.AppendUint16(h, mcubootTLV), 4+4+sha256.Size)
	h = le.AppendUint16(le.AppendUint16(h, tlvSHA256), sha256.Size)
	return append(h, sum[:]...)
}

// smallESP is an application of one segment, which is its description.
func smallESP() []byte {
	b := append([]byte{espMagic, 1}, make([]byte, espDescription+espDescriptionSize-2)...)
	le := binary.LittleEndian
	le.PutUint32(b[espHeader+4:], espDescriptionSize)
	le.PutUint32(b[espDescription:], espDescriptionMagic)
	sum := checksum(espSeed)
	_, _ = sum.Write(b[espDescription:])
	b = append(b, make([]byte, 16-len(b)%16)...)
	b[len(b)-1] = byte(sum)
	return b
}
