package coap

// Block is the value of a Block1 or Block2 option: which part of a body this
// is, or is to be (RFC 7959 2.2).
type Block struct {
	Num  uint32 // counted in blocks of Size bytes; below 1<<20
	More bool   // others follow
	SZX  uint8  // 0 to 6: 16 to 1024 bytes; 7 means several of 1024, over TCP only
}

// maxBlockNum is the highest number a block can have.
const maxBlockNum = 1<<20 - 1

// Size is how long a block is, in bytes, unless it is the last.
func (b Block) Size() int { return 1 << (min(b.SZX, 6) + 4) }

// Offset is where in the body the block begins, in bytes.
func (b Block) Offset() int64 { return int64(b.Num) * int64(b.Size()) }

func (b Block) value() uint32 {
	v := b.Num<<4 | uint32(b.SZX)
	if b.More {
		v |= 8
	}
	return v
}

// block reads a block option; ok is false if there is none.
func (o Options) block(id OptionID) (b Block, ok bool) {
	v, ok := o.Uint(id)
	return Block{Num: v >> 4, More: v&8 != 0, SZX: uint8(v & 7)}, ok
}

// szx is the largest block size that is not over n bytes; n is at least 16.
func szx(n int) uint8 {
	for s := uint8(6); s > 0; s-- {
		if n >= 1<<(s+4) {
			return s
		}
	}
	return 0
}
