package suit

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/updraft-ota/updraft/ota"
)

func TestWhatCountsAsAManifest(t *testing.T) {
	good := vectorFile(t, "own/eddsa.suit")
	riot := vectorFile(t, samr21Manifest)
	text, _ := cbor.Marshal(map[string]string{"2": "a", "3": "b"})
	for name, c := range map[string]struct {
		file []byte
		want bool
	}{
		"tagged":                     {good, true},
		"not tagged":                 {riot, true},
		"tagged as something else":   {append([]byte{0xd8, 0x6a}, riot...), false},
		"tagged in a longer form":    {append([]byte{0xd9, 0, 107}, riot...), true},
		"keys in a longer form":      {[]byte{0xa2, 0x18, 2, 0x40, 0x18, 3, 0x40}, true},
		"of indefinite length":       {[]byte{0xbf, 2, 0x40, 3, 0x40, 0xff}, true},
		"with a key twice":           {[]byte{0xa3, 2, 0x40, 2, 0x40, 3, 0x40}, true},
		"with odd keys beside them":  {[]byte{0xa3, 2, 0x40, 0x81, 1, 0x40, 3, 0x40}, true},
		"without the manifest":       {[]byte{0xa1, 2, 0x40}, false},
		"followed by something":      {append(bytes.Clone(good), 0), false},
		"cut":                        {good[:len(good)-1], false},
		"keys that are texts":        {text, false},
		"an array":                   {[]byte{0x82, 2, 3}, false},
		"nothing":                    {nil, false},
		"firmware":                   {vectorFile(t, "own/payloads/fw-v2.bin"), false},
		"a bare tag":                 {[]byte{0xd8, 0x6b}, false},
		"a map that promises a lot":  {[]byte{0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		"very long":                  {make([]byte, MaxEnvelope+1), false},
		"a hundred thousand arrays":  {nestedArrays(100_000), false},
		"the draft's signed example": {vectorFile(t, "draft-37/example2.signed.suit"), true},
	} {
		if got := IsSUIT(c.file); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, v := range suits(t) {
		if got := IsSUIT(v.bytes(t)); got == strings.Contains(v.File, "truncated") {
			t.Errorf("%s: %v", v.File, got)
		}
	}
}

// nestedArrays are arrays in each other, the innermost empty.
func nestedArrays(n int) []byte { return append(bytes.Repeat([]byte{0x81}, n-1), 0x80) }

// envelopeOf puts content where a manifest goes.
func envelopeOf(manifest []byte) []byte {
	e := &Envelope{manifest: manifest}
	if err := e.digest(); err != nil {
		panic(err)
	}
	return e.Encode()
}

// manifestOf puts a value under a key of a manifest that is right otherwise.
func manifestOf(key int64, value []byte) []byte {
	entries := map[int64][]byte{keyVersion: {1}, keySequence: {1}, keyCommon: appendBytes(nil, []byte{0xa0})}
	entries[key] = value
	return appendEntries(nil, entries)
}

// TestHostileManifestsAreRefused quickly, with an error that says why.
func TestHostileManifestsAreRefused(t *testing.T) {
	arrays := nestedArrays(100_000)
	deep := []byte{0x80}
	for range 100 {
		deep = appendBytes(appendInt(appendHead(nil, majorArray, 2), int64(RunSequence)), deep)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nested arrays":                    {arrays, "nested"},
		"nested arrays in an envelope":     {slices.Concat([]byte{0xa3, 2, 0x40, 3, 0x40, 16}, arrays), "nested"},
		"nested arrays as manifest":        {envelopeOf(arrays), "at most 65536"},
		"less nested arrays as manifest":   {envelopeOf(nestedArrays(60_000)), "nested"},
		"nested arrays as a section":       {envelopeOf(manifestOf(20, appendBytes(nil, nestedArrays(60_000)))), "nested"},
		"nested arrays as an argument":     {envelopeOf(manifestOf(20, appendBytes(nil, slices.Concat([]byte{0x82, 20}, nestedArrays(20))))), "nested"},
		"sequences nested in each other":   {envelopeOf(manifestOf(20, appendBytes(nil, deep))), "nested in each other"},
		"nested tags":                      {bytes.Repeat([]byte{0xc1}, 100_000), "nested"},
		"an array that promises a lot":     {[]byte{0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff}, "CBOR"},
		"a byte string that promises more": {[]byte{0xa2, 2, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "EOF"},
		"indefinite length":                {[]byte{0xbf, 2, 0x40, 3, 0x40, 0xff}, "indefinite"},
		"a key in a longer form":           {[]byte{0xa2, 0x18, 2, 0x40, 3, 0x40}, "shortest"},
		"a key twice":                      {[]byte{0xa3, 2, 0x40, 2, 0x40, 3, 0x40}, "twice"},
		"a key twice, deep inside":         {envelopeOf(manifestOf(-300, []byte{0x81, 0xa2, 1, 1, 1, 1})), "twice"},
		"the manifest first":               {[]byte{0xa2, 3, 0x40, 2, 0x41, 0x80}, "come before"},
		"no manifest":                      {[]byte{0xa1, 2, 0x41, 0x80}, "no manifest"},
		"a key nobody knows":               {[]byte{0xa3, 2, 0x41, 0x80, 3, 0x40, 0x18, 99, 0x40}, "99 is not known"},
		"no digest":                        {[]byte{0xa2, 2, 0x43, 0x81, 0x41, 0x80, 3, 0x40}, "digest has 0 parts"},
		"something after the manifest":     {envelopeOf(append(manifestOf(4, []byte{0x61, 'u'}), 0)), "extraneous"},
		"a manifest without a number":      {envelopeOf([]byte{0xa1, 1, 1}), "key 2 is missing"},
		"a key of a later draft":           {envelopeOf(manifestOf(99, []byte{1})), "99 is not known"},
		"a sequence that is odd":           {envelopeOf(manifestOf(20, appendBytes(nil, []byte{0x81, 1}))), "no argument"},
		"a text that is not UTF-8":         {envelopeOf(manifestOf(4, []byte{0x61, 0xff})), "UTF-8"},
		"a UUID of 15 bytes":               {envelopeOf(manifestOf(20, appendBytes(nil, slices.Concat([]byte{0x82, 20, 0xa1, 1, 0x4f}, make([]byte, 15))))), "16 bytes"},
		"too many parameters":              {envelopeOf(manifestOf(20, appendBytes(nil, append([]byte{0x82, 20}, manyPairs(33)...)))), "more than 32"},
		"a command about no component":     {envelopeOf(manifestOf(20, appendBytes(nil, []byte{0x82, 12, 0x80}))), "selects no component"},
		"a short digest":                   {envelopeOf(manifestOf(20, []byte{0x82, 0x2f, 0x41, 0})), "1 bytes long, not 32"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			v, err := Check(c.file, Rules{})
			if err != nil || v.OK() || !strings.Contains(strings.Join(v.Reasons(), "; "), c.want) {
				t.Errorf("%q, %v; want %q", v.Reasons(), err, c.want)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func manyPairs(n uint64) []byte {
	b := appendHead(nil, majorMap, n)
	for i := range n {
		b = appendBool(appendHead(b, majorUint, 100+i), true)
	}
	return b
}

func TestLongFilesAreTooLarge(t *testing.T) {
	if _, err := Open(make([]byte, MaxEnvelope+1)); ota.KindOf(err) != ota.KindTooLarge {
		t.Errorf("got %v", err)
	}
	if _, _, err := ReadReport(make([]byte, MaxReport+1), nil); ota.KindOf(err) != ota.KindTooLarge {
		t.Errorf("got %v", err)
	}
}

// TestManyAlternativesAreCutShort: what would be endless devices to think of.
func TestManyAlternativesAreCutShort(t *testing.T) {
	var seq Sequence
	for i := range 40 {
		seq = append(seq, Command{Code: TryEach, Tries: []Sequence{
			{{Code: OverrideParameters, Params: Params{{ParamUseBefore, uint64(i)}, {ParamURI, "a"}}}, {Code: CheckUseBefore}},
			{{Code: OverrideParameters, Params: Params{{ParamURI, "b"}}}},
		}}, Command{Code: Fetch})
	}
	m := &Manifest{Version: 1, Components: []ComponentID{{"app"}}, Sections: []Section{{Key: Install, Sequence: seq}}}
	v, err := Check(envelopeOf(m.encode()), Rules{})
	if err != nil || !slices.Contains(codes(v), "warning "+FoundNotAll) {
		t.Errorf("%v, %v", codes(v), err)
	}
}

// TestASmallManifestMayNotAskForMuchWork: sequences in sequences, for all of
// many components, again and again.
func TestASmallManifestMayNotAskForMuchWork(t *testing.T) {
	all := Command{Code: SetComponent, Index: Index{All: true}}
	params := make(Params, maxParams)
	for i := range params {
		params[i] = Param{ParamKey(-300 - i), Raw{1}}
	}
	for name, inner := range map[string]Command{
		"selecting":  all,
		"setting":    {Code: OverrideParameters, Params: params},
		"asking":     {Code: CheckUseBefore},
		"trying":     {Code: TryEach, Tries: []Sequence{{{Code: CheckUseBefore}, {Code: Abort}}, {}}},
		"setting as": {Code: OverrideMultiple, Many: []IndexParams{{0, params}, {1, params}}},
	} {
		t.Run(name, func(t *testing.T) {
			seq := Sequence{all, inner, inner, inner, inner}
			for range maxNested - 1 {
				seq = Sequence{all, {Code: RunSequence, Run: seq}}
			}
			m := &Manifest{Version: 1, Sections: []Section{{Key: Install, Sequence: seq}}}
			for i := range maxTargets {
				m.Components = append(m.Components, ComponentID{string(rune('a' + i%26)), string(rune('a' + i/26))})
			}
			file := envelopeOf(m.encode())
			began := time.Now()
			v, err := Check(file, Rules{})
			if err != nil || !strings.Contains(strings.Join(v.Reasons(), "; "), "steps") {
				t.Errorf("%q, %v", v.Reasons(), err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%d bytes took %s", len(file), took)
			}
		})
	}
}
