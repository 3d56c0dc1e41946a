package coap

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// piece of a body that is posted.
func piece(num uint32, more bool, szx uint8, payload string) Message {
	m := NewRequest(POST, "/post")
	m.Options.AddUint(Block1, Block{Num: num, More: more, SZX: szx}.value())
	m.Payload = []byte(payload)
	return m
}

func TestBodiesInBlocks(t *testing.T) {
	full := strings.Repeat("x", 16)
	for _, c := range []struct {
		name  string
		parts []Message
		want  string // codes
		body  string // that the handler gets; empty if it is not asked
	}{
		{"in order", []Message{piece(0, true, 0, full), piece(1, true, 0, full), piece(2, false, 0, "end")}, "2.31 2.31 2.04", full + full + "end"},
		{"one block", []Message{piece(0, false, 0, "end")}, "2.04", "end"},
		{"blocks that shrink", []Message{piece(0, true, 1, full+full), piece(2, true, 0, full), piece(3, false, 0, "end")}, "2.31 2.31 2.04", full + full + full + "end"},
		{"one is missing", []Message{piece(0, true, 0, full), piece(2, false, 0, "end")}, "2.31 4.08", ""},
		{"the first is missing", []Message{piece(1, true, 0, full)}, "4.08", ""},
		{"begun anew", []Message{piece(0, true, 0, "________________"), piece(0, true, 0, full), piece(1, false, 0, "end")}, "2.31 2.31 2.04", full + "end"},
		{"shorter than it says", []Message{piece(0, true, 1, full)}, "4.00", ""},
		{"longer than it says", []Message{piece(0, false, 0, full+"y")}, "4.00", ""},
		{"the last is longer than it says", []Message{piece(0, true, 0, full), piece(1, false, 0, full+"y")}, "2.31 4.00", ""},
		{"empty but not the last", []Message{piece(0, true, 0, "")}, "4.00", ""},
		{"too long", []Message{piece(0, true, 0, full), piece(1, true, 0, full), piece(2, true, 0, full), piece(3, true, 0, full), piece(4, false, 0, "end")}, "2.31 2.31 2.31 2.31 4.13", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.srv.bodies.body = 64
			var codes []string
			for _, p := range c.parts {
				codes = append(codes, b.exchange(t, p).Code.String())
			}
			if got := strings.Join(codes, " "); got != c.want {
				t.Errorf("answered %s, want %s", got, c.want)
			}
			if c.body == "" && len(b.posts) > 0 || c.body != "" && (len(b.posts) != 1 || string(b.posts[0]) != c.body) {
				t.Errorf("the handler got %q, want %q", b.posts, c.body)
			}
		})
	}
}

func TestTooLongIsSaidAtOnce(t *testing.T) {
	b := newBench(t)
	m := piece(0, true, 0, strings.Repeat("x", 16))
	m.Options.AddUint(Size1, 1<<30)
	answer := b.exchange(t, m)
	if limit, _ := answer.Options.Uint(Size1); answer.Code != RequestEntityTooLarge || limit != 64<<10 {
		t.Errorf("answered %v with Size1 %d", answer.Code, limit)
	}
}

// However many bodies are begun, they are bounded for a peer and for all.
func TestUnfinishedBodiesAreBounded(t *testing.T) {
	a := newBodies(Limits{Bodies: 64 << 10}.withDefaults())
	now := time.Unix(1e9, 0)
	block := bytes.Repeat([]byte{1}, 1024)
	for i := range 1000 {
		r := &Request{Code: POST, Payload: block}
		r.Peer.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i / 10)}), 1)
		r.Options.AddTarget(fmt.Sprintf("/%d", i))
		if m := a.add(r, Block{More: true, SZX: 6}, now); m.Code != Continue {
			t.Fatalf("answered %v", m.Code)
		}
	}
	if a.used > 64<<10 || len(a.all) > 64 {
		t.Errorf("%d bytes in %d bodies", a.used, len(a.all))
	}
	for peer, n := range a.peers {
		if n > perPeerBodies {
			t.Errorf("%v has %d", peer, n)
		}
	}
	r := &Request{Code: POST, Payload: block}
	a.add(r, Block{More: true, SZX: 6}, now.Add(exchangeLifetime+time.Second))
	if len(a.all) != 1 || a.used < 1024 || a.used > 2048 || len(a.peers) != 1 || a.byAge.Len() != 1 {
		t.Errorf("after their time %d bodies of %d bytes are left", len(a.all), a.used)
	}
}

// What is remembered of a body counts whole: its name as well as its bytes.
func TestNamesOfBodiesCount(t *testing.T) {
	a := newBodies(Limits{Bodies: 64 << 10}.withDefaults())
	now := time.Unix(1e9, 0)
	for i := range 1000 {
		r := &Request{Code: POST, Payload: make([]byte, 16)}
		r.Peer.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(i))
		for range 4 {
			r.Options.AddString(URIPath, strings.Repeat("x", 250))
		}
		a.add(r, Block{More: true}, now)
	}
	if len(a.all) > 64 || a.used > 64<<10 {
		t.Errorf("%d bodies with names of 1000 bytes are kept, of %d bytes", len(a.all), a.used)
	}
	a.expire(now.Add(time.Hour))
	if a.used != 0 || len(a.peers) != 0 {
		t.Errorf("%d bytes of %d peers are left of nothing", a.used, len(a.peers))
	}
}
