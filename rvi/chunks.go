package rvi

import (
	"iter"
	"math/bits"
	"slices"
)

// ChunkSize is how many bytes every chunk of a file has, except the last
// (rvi.md 4.12, A2).
const ChunkSize = 65_536

// MaxChunks is the largest number of chunks: 8 GiB. The list of that many still
// fits into a message of 1 MiB, and each ack repeats the whole list.
const MaxChunks = 1 << 17

// ChunkCount is the number of chunks of a file.
func ChunkCount(size int64) int { return int((size + ChunkSize - 1) / ChunkSize) }

// Chunks is a set of chunks' indices, of which the first is 1. Indices that no
// file can have, as a peer may list them, are kept as 0 and MaxChunks+1. The
// zero value is the empty set; a copy shares what it holds with the original.
type Chunks struct {
	words []uint64
	count int
}

// ChunkSet makes a set.
func ChunkSet(indices ...int) Chunks {
	var c Chunks
	for _, i := range indices {
		c.Add(i)
	}
	return c
}

// Upto is the set of 1 to n.
func Upto(n int) Chunks {
	var c Chunks
	for i := 1; i <= n; i++ {
		c.Add(i)
	}
	return c
}

// Add puts an index in and reports whether it is new.
func (c *Chunks) Add(i int) bool {
	i = min(max(i, 0), MaxChunks+1)
	if c.Has(i) {
		return false
	}
	if need := i/64 + 1; need > len(c.words) {
		c.words = append(c.words, make([]uint64, need-len(c.words))...)
	}
	c.words[i/64] |= 1 << (i % 64)
	c.count++
	return true
}

// Join puts all of another set in and reports whether any was new.
func (c *Chunks) Join(other Chunks) bool {
	before := c.count
	if more := len(other.words) - len(c.words); more > 0 {
		c.words = append(c.words, make([]uint64, more)...)
	}
	c.count = 0
	for i := range c.words {
		if i < len(other.words) {
			c.words[i] |= other.words[i]
		}
		c.count += bits.OnesCount64(c.words[i])
	}
	return c.count > before
}

// Has reports whether the index is in the set.
func (c Chunks) Has(i int) bool {
	return i >= 0 && i/64 < len(c.words) && c.words[i/64]&(1<<(i%64)) != 0
}

// Len is the number of indices.
func (c Chunks) Len() int { return c.count }

// Missing is the smallest index, from the given one on, that is not in the set.
func (c Chunks) Missing(from int) int {
	for i := from; ; i = (i/64 + 1) * 64 {
		if i/64 >= len(c.words) {
			return i
		}
		if gap := ^c.words[i/64] >> (i % 64); gap != 0 {
			return i + bits.TrailingZeros64(gap)
		}
	}
}

// Covers reports whether the set holds all chunks of a file of n.
func (c Chunks) Covers(n int) bool { return c.Missing(1) > n }

// Within reports whether all indices are ones a file of n chunks has.
func (c Chunks) Within(n int) bool {
	if c.Has(0) {
		return false
	}
	for i := len(c.words) - 1; i >= 0; i-- {
		if c.words[i] != 0 {
			return i*64+bits.Len64(c.words[i])-1 <= n
		}
	}
	return true
}

// All yields the indices in ascending order.
func (c Chunks) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for at, word := range c.words {
			for ; word != 0; word &= word - 1 {
				if !yield(at*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// Clone is a copy that shares nothing.
func (c Chunks) Clone() Chunks { return Chunks{words: slices.Clone(c.words), count: c.count} }

// Equal reports whether both sets hold the same.
func (c Chunks) Equal(other Chunks) bool {
	for i := range c.All() {
		if !other.Has(i) {
			return false
		}
	}
	return c.count == other.count
}
