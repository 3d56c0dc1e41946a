package coap

import (
	"context"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// recorder is a socket that keeps what is sent.
type recorder struct {
	mu   sync.Mutex
	sent []string // hex
	to   []route
}

func (r *recorder) receive(int, func([]byte, route)) error { select {} }

func (r *recorder) write(b []byte, to route) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent, r.to = append(r.sent, hex.EncodeToString(b)), append(r.to, to)
	return nil
}

func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(r.sent, " ")
	r.sent = nil
	return s
}

// last is what was sent last.
func (r *recorder) last(t testing.TB) []byte {
	t.Helper()
	sent := strings.Fields(r.take())
	if len(sent) == 0 {
		t.Fatal("nothing was sent")
	}
	raw, err := hex.DecodeString(sent[len(sent)-1])
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// bench is a server that is handed datagrams one by one.
type bench struct {
	*world
	u    *udpServer
	rec  *recorder
	s    *scratch
	from route
	id   uint16 // of the last exchange
}

func newBench(t testing.TB) *bench {
	b := &bench{world: newWorld(), rec: &recorder{}, s: newScratch()}
	b.file("/f", 100)
	b.srv.init()
	b.u = newUDPServer(context.Background(), b.srv, b.rec, nil)
	b.u.salt = 0x1111
	b.from = route{peer: netip.MustParseAddrPort("192.0.2.1:5683")}
	t.Cleanup(b.u.close)
	return b
}

// send hands the server a datagram in hex and returns what it sends.
func (b *bench) send(t testing.TB, datagram string) string {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(datagram, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	b.u.layer.receive(b.s, raw, b.from)
	b.u.wg.Wait()
	return b.rec.take()
}

// What RFC 7252 wants done with datagrams one does not like (coap-suit.md 2.1).
func TestMalformedDatagrams(t *testing.T) {
	const reset, silence = "70001234", ""
	long := strings.Repeat("41", 256)
	for _, c := range []struct{ name, send, want string }{
		{"nothing", "", silence},
		{"three bytes", "400112", silence},
		{"version 0", "00011234", silence},
		{"version 2", "80001234", silence},
		{"version 3", "c0011234 b166", silence},
		{"ping", "40001234", reset},
		{"empty NON", "50001234", silence},
		{"empty with a token", "41001234 aa", reset},
		{"empty with an option", "40001234 b166", reset},
		{"empty NON with a token", "51001234 aa", silence},
		{"token length 9", "49011234 010203040506070809", reset},
		{"token length 15", "4f011234 010203040506070809101112131415", reset},
		{"token length 9, NON", "59011234 010203040506070809", silence},
		{"token cut off", "44011234 0102", reset},
		{"option cut off", "40011234 bd", reset},
		{"option cut off, NON", "50011234 bd", silence},
		{"option value cut off", "40011234 b566", reset},
		{"16 bit delta cut off", "40011234 e0ff", reset},
		{"16 bit length cut off", "40011234 be01", reset},
		{"delta 15", "40011234 f0", reset},
		{"length 15", "40011234 bf", reset},
		{"option number over 65535", "40011234 e0ffff e0ffff", reset},
		{"payload marker, no payload", "40021234 b4706f7374 ff", reset},
		{"65 options", "40011234 b0" + strings.Repeat("00", 64), reset},
		{"code 1.01", "40211234 b166", reset},
		{"code 1.01, NON", "50211234 b166", silence},
		{"code 3.00", "40601234", reset},
		{"code 6.00", "40c01234", reset},
		{"code 7.01 of TCP", "40e11234", reset},
		{"response nobody waits for", "40451234 ff41", reset},
		{"response nobody waits for, NON", "50451234 ff41", silence},
		{"acknowledgement of nothing", "60001234", silence},
		{"request in an acknowledgement", "60011234 b166", silence},
		{"response in an acknowledgement", "60451234 ff41", silence},
		{"reset of nothing", "70001234", silence},
		{"reset with a code", "70011234 b166", silence},
		{"malformed reset", "79001234", silence},
		{"GET", "40011234 b166", "60451234 4476313030 812a ff"},
		{"OSCORE", "40011234 9100 2166", "60821234"},
		{"OSCORE, NON", "50011234 9100 2166", silence},
		{"Q-Block2, NON", "50011234 b166 d10706", silence},
		{"If-Match", "40011234 1101 a166", "60821234"},
		{"Q-Block2", "40011234 b166 d10706", "60821234"},
		{"option 65001", "40011234 b166 e0fcd1", "60821234"},
		{"option 65001, NON", "50011234 b166 e0fcd1", silence},
		{"two Accept options", "40011234 b166 61 2a 01 2a", "60821234"},
		{"Block2 of 4 bytes", "40011234 b166 c401020304", "60821234"},
		{"Uri-Host of no bytes", "40011234 30 81 66", "60821234"},
		{"Uri-Path of 256 bytes", "40011234 bdf3" + long, "60821234"},
		{"Proxy-Uri", "40011234 b166 d10b41", "60a51234"},
		{"Proxy-Scheme", "40011234 b166 d40f636f6170", "60a51234"},
		{"method 0.08", "40081234 b166", "60851234"},
		{"method 0.31", "401f1234 b166", "60851234"},
		{"method 0.31, NON", "501f1234 b166", "50850325"},
		{"block of size 7", "40011234 b166 c107", "60801234"},
		{"block of size 7 to send", "40021234 b166 d10307", "60801234"},
		{"block beyond the end", "40011234 b166 c176", "60801234 ff 7468697320626c6f636b206973206265796f6e642074686520656e64"},
		{"Accept of something else", "40011234 b166 613c", "60861234"},
		{"Accept of what there is", "40011234 b166 612a 6112", "the second block"},
		{"nothing there", "40011234 b167", "60841234 ff 7468657265206973206e6f202f67"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			got, want := b.send(t, c.send), strings.ReplaceAll(c.want, " ", "")
			switch c.name {
			case "GET": // 100 bytes of content follow
				if !strings.HasPrefix(got, want) || len(got) != len(want)+200 {
					t.Errorf("sent %s, want %s and 100 bytes", got, want)
				}
			case "Accept of what there is":
				if !strings.HasPrefix(got, "60451234") {
					t.Errorf("sent %s, want 2.05", got)
				}
			default:
				if got != want {
					t.Errorf("sent %s, want %s", got, want)
				}
			}
			if len(b.posts) > 0 {
				t.Error("the handler was asked")
			}
		})
	}
}

// Elective options that are unknown, repeated or too long are as if absent.
func TestElectiveOptionsAreIgnored(t *testing.T) {
	b := newBench(t)
	want := b.send(t, "40011234 b166")
	for name, datagram := range map[string]string{
		"unknown":           "40011234 b166 e106e841", // 2048
		"an ETag too long":  "40011234 49010203040506070809 7166",
		"two Size2 options": "40011234 b166 d10400 0100",
		"a long Hop-Limit":  "40011234 b166 53010203",
	} {
		if got := b.send(t, datagram); !strings.HasPrefix(got, want[:18]) {
			t.Errorf("%s: sent %s, want %s", name, got, want)
		}
	}
}

func TestNonConfirmableAnswerHasAnIDOfOurs(t *testing.T) {
	b := newBench(t)
	if got := b.send(t, "51011234 aa b166"); !strings.HasPrefix(got, "51450325aa") {
		t.Errorf("sent %.20s, want a NON with the ID 0325", got)
	}
}

func TestARepeatedRequestIsHandledOnce(t *testing.T) {
	b := newBench(t)
	const post = "41021234 aa b4706f7374 ff 6869"
	first, second := b.send(t, post), b.send(t, post)
	if first != second || len(b.posts) != 1 {
		t.Errorf("answered %s, then %s, with %d calls of the handler", first, second, len(b.posts))
	}
	if b.send(t, "41021235 aa b4706f7374 ff 6869"); len(b.posts) != 2 {
		t.Error("another message ID is another request")
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
