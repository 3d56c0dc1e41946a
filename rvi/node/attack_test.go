package node

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// Sums of what a peer says about a fragment must not wrap around.
func TestAFragmentFarBeyondItsMessage(t *testing.T) {
	for _, offset := range []int64{math.MaxInt64, math.MaxInt64 - 1, 12} {
		bubble(t, func(t *testing.T) {
			l := &log{}
			n := start(t, serverOptions(l))
			besides(t, n, func() {
				p := meet(t, n)
				p.say(hello)
				p.say(fmt.Sprintf(`{"frg":[1,20,%d,"0123456789"]}`, offset))
				b := appendRaw([]byte{0x81}, "frg")
				b = appendUint(appendUint(appendUint(append(b, 0x94), 2), 20), uint64(offset))
				p.say(string(appendRaw(b, "0123456789")))
			})
			if got := slices.Compact(l.reasons()); !slices.Equal(got, []string{"bad_value:frg"}) {
				t.Errorf("%q", got)
			}
		})
	}
}

// Pieces that bring nothing new are no progress (rvi.md 3.8).
func TestTheSamePieceAgainBuysNoTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		p := meet(t, n)
		p.say(hello)
		p.heard()
		for range 4 {
			p.say(`{"frg":[1,20,1,"012345"]}`)
			time.Sleep(piecePatience / 3)
		}
		if got := l.reasons(); !slices.Equal(got, []string{"incomplete"}) {
			t.Errorf("%q", got)
		}
	})
}

// Whoever begins messages of the largest size in pieces takes no room from
// peers that send whole ones.
func TestAFloodOfFragments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := serverOptions(l)
		o.BufferBytes = 8 << 20
		n := start(t, o)
		ack := handle(t, n, "/sota/ack")
		good := meet(t, n)
		good.say(hello + sa("av", "genivi.org/vin/GOOD/sota/notify"))
		for range 10 {
			bad := meet(t, n)
			bad.say(hello)
			for id := range maxPieces {
				bad.say(fmt.Sprintf(`{"frg":[%d,1048576,1,"{"]}`, id))
			}
		}
		good.say(rcv(backend+"sota/ack", `"`+strings.Repeat("A", 88<<10)+`"`))
		if got := ack.take(); len(got) != 1 || good.closed() {
			t.Errorf("the other's message is not taken: %q", slices.Compact(l.reasons()))
		}
		if got := slices.Compact(l.reasons()); !slices.Equal(got, []string{"too_many_fragments"}) {
			t.Errorf("%q", got)
		}
	})
}
