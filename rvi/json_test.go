package rvi

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func compareJSON(t interface{ Errorf(string, ...any) }, text []byte) {
	v, err := readJSON(text)
	deep := strings.Count(string(text), "[")+strings.Count(string(text), "{") > maxDepth
	if want := json.Valid(text) && utf8.Valid(text) && len(text) <= MaxParams; want != (err == nil) && !(want && deep) {
		t.Errorf("%q: %v, but encoding/json says %v", text, err, want)
	}
	if err == nil && !json.Valid(v) {
		t.Errorf("%q: took %q out", text, v)
	}
}

func TestJSONIsWhatEncodingJSONSaysItIs(t *testing.T) {
	token := rapid.SampledFrom([]string{"{", "}", "[", "]", ",", ":", `"a"`, `"`, `\`, `\u12`, `\u00e9`, `\n`, "1", "-", "0", ".5", "e3", "true", "null", " ", "\n", "\x00", "ü", "\xff"})
	rapid.Check(t, func(t *rapid.T) {
		compareJSON(t, []byte(strings.Join(rapid.SliceOfN(token, 0, 8).Draw(t, "tokens"), "")))
	})
}

func TestNumbers(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "9007199254740991": maxInteger, "9007199254740992": -1,
		"99999999999999999999999999": -1, "-1": -1, "-0": 0} {
		if n, ok := number([]byte(s)); !ok || n != want {
			t.Errorf("%s: %d %v", s, n, ok)
		}
	}
	for _, s := range []string{"1.0", "1e3", `"1"`, "null", "true", "[]"} {
		if n, ok := number([]byte(s)); ok {
			t.Errorf("%s: %d", s, n)
		}
	}
}

func TestChunkSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 200).Draw(t, "n")
		list := rapid.SliceOf(rapid.IntRange(1, 200)).Draw(t, "list")
		other := rapid.SliceOf(rapid.IntRange(1, 300)).Draw(t, "other")
		set, all := map[int]bool{}, map[int]bool{}
		within := true
		for _, i := range list {
			set[i], all[i] = true, true
			within = within && i <= n
		}
		for _, i := range other {
			all[i] = true
		}
		missing := 1
		for set[missing] {
			missing++
		}
		c := ChunkSet(list...)
		if c.Len() != len(set) || c.Missing(1) != missing || c.Within(n) != within || c.Covers(n) != (missing > n) {
			t.Fatalf("%v of %d: %d %d %v %v", list, n, c.Len(), c.Missing(1), c.Within(n), c.Covers(n))
		}
		for i := range c.All() {
			if !set[i] {
				t.Fatalf("%d is not in %v", i, list)
			}
		}
		joined := c.Clone()
		if grew := joined.Join(ChunkSet(other...)); grew != (len(all) > len(set)) || joined.Len() != len(all) || c.Len() != len(set) {
			t.Fatalf("%v joined %v: %d", list, other, joined.Len())
		}
		if c.Equal(joined) != (len(all) == len(set)) {
			t.Fatal("equal sets hold the same")
		}
	})
}

func BenchmarkReadChunk(b *testing.B) {
	params := Chunk{Unit: Unit{Package: ghc}, Index: 7, Bytes: make([]byte, ChunkSize)}.AppendParams(nil)
	b.SetBytes(int64(len(params)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadAtDevice("/sota/chunk", params); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteChunk(b *testing.B) {
	c := Chunk{Unit: Unit{Package: ghc}, Index: 7, Bytes: make([]byte, ChunkSize)}
	buf := c.AppendParams(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = c.AppendParams(buf[:0])
	}
}

func BenchmarkReadAckOf16384(b *testing.B) {
	params := Ack{From: Identity{VIN: vin}, Unit: Unit{Package: ghc}, Chunks: Upto(16384)}.AppendParams(nil)
	b.SetBytes(int64(len(params)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadAtBackend("/sota/ack", params); err != nil {
			b.Fatal(err)
		}
	}
}
