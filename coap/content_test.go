package coap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exchange hands the bench a request from a proven peer and returns the answer.
func (b *bench) exchange(t testing.TB, m Message) Message {
	t.Helper()
	b.prove()
	b.id++
	m.ID, m.Token = b.id, []byte("token")
	b.u.layer.receive(b.s, m.appendTo(nil), b.from)
	b.u.wg.Wait()
	raw := b.rec.last(t)
	var answer Message
	if _, err := answer.parse(raw); err != nil || answer.ID != m.ID && m.Type == Confirmable || string(answer.Token) != "token" {
		t.Fatalf("answered by %x, %v", raw, err)
	}
	return answer.clone()
}

func get(target string, block *Block) Message {
	m := NewRequest(GET, target)
	if block != nil {
		m.Options.AddUint(Block2, block.value())
	}
	return m
}

// What RFC 7959 wants of blocks, whichever is asked for first.
func TestBlocks(t *testing.T) {
	b := newBench(t)
	want := b.file("/f", 3000)
	b.file("/empty", 0)
	b.file("/short", 100)
	type answer struct {
		Code  Code
		Bytes int
		Block string
		Size2 bool
	}
	for _, c := range []struct {
		name, path string
		ask        *Block
		want       answer
		offset     int
	}{
		{"no Block2, more than a block", "/f", nil, answer{ContentCode, 1024, "0/more/6", true}, 0},
		{"no Block2, less than a block", "/short", nil, answer{ContentCode, 100, "", false}, 0},
		{"early negotiation", "/f", &Block{SZX: 2}, answer{ContentCode, 64, "0/more/2", true}, 0},
		{"early negotiation of little", "/short", &Block{SZX: 6}, answer{ContentCode, 100, "0/last/6", true}, 0},
		{"any block", "/f", &Block{Num: 20, SZX: 3}, answer{ContentCode, 128, "20/more/3", false}, 20 * 128},
		{"more in a request means nothing", "/f", &Block{Num: 20, SZX: 3, More: true}, answer{ContentCode, 128, "20/more/3", false}, 20 * 128},
		{"the last block", "/f", &Block{Num: 2, SZX: 6}, answer{ContentCode, 3000 - 2048, "2/last/6", false}, 2048},
		{"beyond the end", "/f", &Block{Num: 3, SZX: 6}, answer{BadRequest, 28, "", false}, -1},
		{"the last number there is", "/f", &Block{Num: maxBlockNum, SZX: 6}, answer{BadRequest, 28, "", false}, -1},
		{"size 7", "/f", &Block{SZX: 7}, answer{BadRequest, 0, "", false}, -1},
		{"nothing", "/empty", &Block{SZX: 2}, answer{ContentCode, 0, "0/last/2", true}, 0},
		{"nothing, no Block2", "/empty", nil, answer{ContentCode, 0, "", false}, 0},
		{"beyond nothing", "/empty", &Block{Num: 1, SZX: 2}, answer{BadRequest, 28, "", false}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := b.exchange(t, get(c.path, c.ask))
			got := answer{Code: m.Code, Bytes: len(m.Payload)}
			if block, ok := m.Options.block(Block2); ok {
				got.Block = blockText(block)
			}
			_, got.Size2 = m.Options.Get(Size2)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if c.offset >= 0 && c.path == "/f" && !bytes.Equal(m.Payload, want[c.offset:][:len(m.Payload)]) {
				t.Error("these are other bytes")
			}
		})
	}
}

func blockText(b Block) string {
	follows := "last"
	if b.More {
		follows = "more"
	}
	return fmt.Sprintf("%d/%s/%d", b.Num, follows, b.SZX)
}

// A server that wants smaller blocks counts in its own (RFC 7959 2.4).
func TestServerMakesBlocksSmaller(t *testing.T) {
	b := newBench(t)
	want := b.file("/f", 3000)
	b.srv.limits.Block = 64
	m := b.exchange(t, get("/f", &Block{Num: 2, SZX: 6}))
	if block, _ := m.Options.block(Block2); blockText(block) != "32/more/2" || !bytes.Equal(m.Payload, want[2048:2048+64]) {
		t.Errorf("answered by block %s of %d bytes", blockText(block), len(m.Payload))
	}
}

func TestBlocksThatCannotBeCounted(t *testing.T) {
	c := Content{Size: 16<<20 + 1}
	r := &Request{Code: GET}
	r.Options.AddUint(Block2, Block{SZX: 0}.value())
	if p := c.part(r, 6); p.code != BadRequest {
		t.Errorf("more than 2^20 blocks are answered by %v", p.code)
	}
	c.Size--
	if p := c.part(r, 6); p.code != ContentCode {
		t.Errorf("2^20 blocks are answered by %v", p.code)
	}
}

func TestValidation(t *testing.T) {
	b := newBench(t)
	b.file("/f", 100)
	for _, path := range []string{"/f", "/state"} {
		m := b.exchange(t, get(path, nil))
		etag, ok := m.Options.Get(ETag)
		if !ok {
			t.Fatalf("%s has no ETag", path)
		}
		again := get(path, nil)
		again.Options.Add(ETag, []byte("other"))
		again.Options.Add(ETag, etag)
		if m := b.exchange(t, again); m.Code != Valid || len(m.Payload) != 0 {
			t.Errorf("%s: who has it is sent %v with %d bytes", path, m.Code, len(m.Payload))
		}
	}
}

func TestAccept(t *testing.T) {
	b := newBench(t)
	b.srv.Handler = HandlerFunc(func(w ResponseWriter, r *Request) { Write(w, ContentCode, CBOR, []byte{0xA0}) })
	b.srv.content = nil
	for format, want := range map[Format]Code{CBOR: ContentCode, JSON: NotAcceptable} {
		m := get("/", nil)
		m.Options.AddUint(Accept, uint32(format))
		if got := b.exchange(t, m); got.Code != want {
			t.Errorf("who accepts %d is sent %v, want %v", format, got.Code, want)
		}
	}
}

// What a handler writes is cut like a file is.
func TestWrittenAnswersAreCut(t *testing.T) {
	b := newBench(t)
	b.srv.content = nil
	body := strings.Repeat("</resource>,", 200)
	b.srv.Handler = HandlerFunc(func(w ResponseWriter, r *Request) {
		switch r.Path() {
		case "/long":
			Write(w, ContentCode, LinkFormat, []byte(body))
		case "/endless":
			for {
				if _, err := w.Write([]byte(body)); err != nil {
					return
				}
			}
		case "/panic":
			panic("a fault of the handler")
		}
	})
	m := b.exchange(t, get("/long", &Block{Num: 2, SZX: 6}))
	if block, _ := m.Options.block(Block2); m.Code != ContentCode || blockText(block) != "2/last/6" || string(m.Payload) != body[2048:] {
		t.Errorf("the last block is %s, %q", blockText(block), m.Payload)
	}
	for _, path := range []string{"/endless", "/panic"} {
		if m := b.exchange(t, get(path, nil)); m.Code != InternalServerError {
			t.Errorf("%s is answered by %v", path, m.Code)
		}
	}
}

// broken is a file whose disk is.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("broken") }

func TestContentThatCannotBeRead(t *testing.T) {
	b := newBench(t)
	b.files["/broken"] = Content{Body: broken{}, Size: 100}
	b.files["/shorter"] = Content{Body: strings.NewReader("short"), Size: 100}
	for _, path := range []string{"/broken", "/shorter"} {
		if m := b.exchange(t, get(path, nil)); m.Code != InternalServerError || len(m.Payload) != 0 {
			t.Errorf("%s is answered by %v and %d bytes", path, m.Code, len(m.Payload))
		}
	}
}

// A client that goes on after the content has changed begins anew.
func TestClientSeesThatContentChanged(t *testing.T) {
	w := newWorld()
	w.file("/f", 3000)
	c := dial(t, w.serve(t).String())
	c.Block = 256
	var want []byte
	got := &changing{after: 3, change: func() { want = w.file("/f", 2500) }}
	n, etag, err := c.Download(t.Context(), "/f", got, 0)
	if err != nil || n != 2500 || string(etag) != "v2500" || !bytes.Equal(got.b[:n], want) {
		t.Errorf("downloaded %d bytes, ETag %q, %v", n, etag, err)
	}
	size := 2500
	got = &changing{change: func() { size++; w.file("/f", size) }}
	if _, _, err := c.Download(t.Context(), "/f", got, 0); !errors.Is(err, ErrChanged) {
		t.Errorf("what changes with every block is downloaded: %v", err)
	}
}

// changing calls change before a write, or before each.
type changing struct {
	at
	after  int
	change func()
}

func (c *changing) WriteAt(p []byte, off int64) (int, error) {
	if c.n == c.after || c.after == 0 {
		c.change()
	}
	return c.at.WriteAt(p, off)
}

// A server that ends waits for its handlers, and tells them.
func TestServerEnds(t *testing.T) {
	began, ended := make(chan struct{}), false
	ctx, cancel := context.WithCancel(t.Context())
	s := &Server{Handler: HandlerFunc(func(_ ResponseWriter, r *Request) {
		close(began)
		<-r.Context().Done()
		ended = true
	})}
	w := newWire()
	sock, done := w.open(serverAddr, ""), make(chan error)
	go func() { done <- s.Serve(ctx, sock) }()
	c := NewClient(w.open(clientAddr, serverAddr))
	go func() {
		<-began
		cancel()
	}()
	ask, giveUp := context.WithTimeout(t.Context(), 5*time.Second)
	defer giveUp()
	go func() {
		_, _ = c.Get(ask, "/")
	}()
	if err := <-done; err != nil || !ended {
		t.Errorf("the server ended with %v, the handler: %v", err, ended)
	}
	c.Close()
	if _, err := c.Get(t.Context(), "/"); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed client says %v", err)
	}
}
