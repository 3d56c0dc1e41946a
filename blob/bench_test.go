package blob

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

func BenchmarkPut(b *testing.B) {
	files, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	const size = 32 << 20
	content := bytes.Repeat([]byte("updraft "), size/8)
	b.SetBytes(size)
	for b.Loop() {
		if _, err := files.Put(b.Context(), bytes.NewReader(content), size); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSums(b *testing.B) {
	buf := make([]byte, bufferSize)
	b.SetBytes(bufferSize)
	s := newSummer()
	for b.Loop() {
		s.add(buf, io.Discard)
	}
}

func BenchmarkOpen(b *testing.B) {
	files, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	const size = 32 << 20
	sums, err := files.Put(b.Context(), io.LimitReader(zeros{}, size), size)
	if err != nil {
		b.Fatal(err)
	}
	for _, known := range []bool{true, false} {
		b.Run(fmt.Sprintf("known=%v", known), func(b *testing.B) {
			for b.Loop() {
				if !known {
					files.verdicts = map[ota.Digest]verdict{}
				}
				f, err := files.Open(b.Context(), sums.SHA256)
				if err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
