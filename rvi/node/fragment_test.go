package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAMessageInPieces(t *testing.T) {
	for _, msgpack := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			l := &log{}
			n := start(t, serverOptions(l))
			ack := handle(t, n, "/sota/ack")
			p := meet(t, n)
			p.say(hello + `{"cmd":"sa","stat":"av","svcs":["` + vin + `sota/notify"]}`)
			p.heard()
			rcv := fmt.Sprintf(`{"cmd":"rcv","tid":1,"mod":"proto_json_rpc","data":{"service":"%ssota/ack","timeout":%d,"parameters":["é"]}}`, backend, time.Now().Unix()+60)
			whole := []byte(rcv)
			piece := func(from, to int) {
				if msgpack {
					b := appendRaw([]byte{0x81}, "frg")
					b = appendUint(appendUint(appendUint(append(b, 0x94), 9), uint64(len(whole))), uint64(from+1))
					p.say(string(appendRaw(b, whole[from:to])))
				} else {
					p.say(fmt.Sprintf(`{"frg":[9,%d,%d,%q]}`, len(whole), from+1, whole[from:to]))
				}
			}
			if msgpack {
				whole = toMsgpack(nil, whole)
			}
			piece(0, 10)
			piece(20, 30)
			if got := p.heard(); !msgpack && !strings.HasSuffix(got, `{"frg-get":[9,11,10]}`) {
				t.Errorf("asked for %q", got)
			}
			piece(5, 25)
			piece(30, len(whole))
			if got := p.heard(); !msgpack && !strings.HasSuffix(got, `{"frg-end":[9,0]}`) {
				t.Errorf("ended with %q", got)
			}
			if got := ack.take(); !slices.Equal(got, []string{`["é"]`}) {
				t.Errorf("delivered %q, complained of %q", got, l.reasons())
			}
		})
	}
}

func TestPiecesThatStopOrMakeNoSense(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		p := meet(t, n)
		p.say(hello)
		p.heard()
		for _, c := range []struct{ frg, reason, answer string }{
			{`[1,99999999,1,"{"]`, "bad_value:frg", `{"frg-end":[1,-2]}`},
			{`[1,10,11,"{"]`, "bad_value:frg", `{"frg-end":[1,-2]}`},
			{`[1,10,0,"{"]`, "bad_value:frg", `{"frg-end":[1,-2]}`},
			{`[1,10,-9223372036854775808,"{"]`, "bad_value:frg", `{"frg-end":[1,-2]}`},
			{`[1,10,1,""]`, "bad_value:frg", `{"frg-end":[1,-2]}`},
			{`[{},10,1,"x"]`, "bad_value:frg", ``},
			{`[1,10,1]`, "bad_value:frg", ``},
			{`[1,1,1,"x"]`, "parse_error", `{"frg-end":[1,0]}`},
			{`[1,20,1,"{\"frg\":[1,2,1,\"xx\"]}"]`, "protocol_violation", `{"frg-end":[1,0]}`},
		} {
			p.say(`{"frg":` + c.frg + `}`)
			if got := l.reasons(); !slices.Equal(got, []string{c.reason}) {
				t.Errorf("%s: %q", c.frg, got)
			}
			if got := p.heard(); got != c.answer {
				t.Errorf("%s: answered %q", c.frg, got)
			}
		}
		p.say(`{"frg":["b",10,1,"{"]}`)
		p.say(`{"frg":["b",99,50,"{"]}`)
		if got := l.reasons(); !slices.Equal(got, []string{"bad_value:frg"}) {
			t.Errorf("a message that changes its size: %q", got)
		}
		p.say(`{"frg":["a",10,1,"{"]}`)
		p.heard()
		time.Sleep(piecePatience + time.Second)
		if got := p.heard(); got != `{"frg-end":["a",-3]}` || !slices.Equal(l.reasons(), []string{"incomplete"}) {
			t.Errorf("given up with %q", got)
		}
		if gone := n.lent(); gone != 0 || p.closed() {
			t.Errorf("%d bytes of buffers are missing", gone)
		}
	})
}

func TestGapsAreFoundInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 40).Draw(t, "size")
		p := &piece{data: make([]byte, size)}
		there := make([]bool, size)
		for range rapid.IntRange(1, 20).Draw(t, "pieces") {
			from := rapid.IntRange(0, size-1).Draw(t, "from")
			to := rapid.IntRange(from+1, size).Draw(t, "to")
			p.add(span{int64(from), int64(to)})
			for i := from; i < to; i++ {
				there[i] = true
			}
			want := span{int64(size), int64(size)}
			if i := slices.Index(there, false); i >= 0 {
				want.from = int64(i)
				for want.to = want.from; int(want.to) < size && !there[want.to]; want.to++ {
				}
			}
			if got := p.gap(); got != want {
				t.Fatalf("%v: the first gap is %v, not %v", p.have, got, want)
			}
		}
	})
}
