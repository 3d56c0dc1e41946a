package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/suit"
)

// world is a server that devices know, and an author they trust.
type world struct {
	*testing.T
	server *coap.Server
	addr   string
	author suit.Signer

	mu       sync.Mutex
	files    map[string][]byte
	desired  []byte
	posts    []post
	down     bool // reports are answered with 5.03
	stubborn bool // wants the same whatever becomes of it
}

type post struct {
	path string
	body []byte
	who  string
}

// psks are the keys this server knows.
var psks = map[string]string{"dev-1": "secret-of-dev-1", "enrol-uuid-9": "one-time"}

func newWorld(t *testing.T) *world {
	t.Helper()
	private, _, err := suit.Generate(suit.KindEd25519)
	if err != nil {
		t.Fatal(err)
	}
	author, err := suit.ParseSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, author: author, files: map[string][]byte{}}
	w.server = &coap.Server{Handler: w, Log: slog.New(slog.DiscardHandler)}
	c := socket(t)
	w.addr = c.LocalAddr().String()
	background(t, func(ctx context.Context) error { return w.server.Serve(ctx, c) })
	return w
}

// secure lets the server speak coaps as well, and returns where.
func (w *world) secure() string {
	c := socket(w.T)
	psk := func(identity string) ([]byte, error) {
		if key, ok := psks[identity]; ok {
			return []byte(key), nil
		}
		return nil, fmt.Errorf("nobody is %q", identity)
	}
	background(w.T, func(ctx context.Context) error { return w.server.ServeDTLS(ctx, c, coap.DTLSConfig{PSK: psk}) })
	return "coaps://" + c.LocalAddr().String()
}

func socket(t *testing.T) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func background(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
}

// ServeCOAP is a server as devices know it.
func (w *world) ServeCOAP(rw coap.ResponseWriter, r *coap.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := r.Path()
	if r.Code == coap.POST {
		w.post(rw, r, path)
		return
	}
	if strings.HasPrefix(path, "/u/") && w.desired != nil {
		rw.Observable()
		coap.Write(rw, coap.ContentCode, coap.CBOR, w.desired)
		return
	}
	file, ok := w.files[path]
	if !ok {
		coap.Fail(rw, coap.NotFound, "there is no %s", path)
		return
	}
	sum := sha256.Sum256(file)
	rw.SendContent(coap.Content{Body: bytes.NewReader(file), Size: int64(len(file)), ETag: string(sum[:8])})
}

func (w *world) post(rw coap.ResponseWriter, r *coap.Request, path string) {
	switch {
	case w.down:
		coap.Fail(rw, coap.ServiceUnavailable, "not now")
		return
	case path == "/e":
		given, _ := cbor.Marshal(enrolled{ID: "uuid-9", Identity: "dev-1", Key: psks["dev-1"]})
		coap.Write(rw, coap.Created, coap.CBOR, given)
	case path == "/rd":
		rw.SetCode(coap.Created)
		for q := range r.Queries() {
			path += " " + q
		}
	}
	var s status
	if cbor.Unmarshal(r.Payload, &s) == nil && s.Code != nil && !w.stubborn {
		w.desired = nil // whatever came of it, it is not wanted any more
	}
	w.posts = append(w.posts, post{path, bytes.Clone(r.Payload), r.Peer.Identity})
}

// wants makes a manifest what the server wants installed.
func (w *world) wants(uri string, manifest []byte) {
	sum := sha256.Sum256(manifest)
	what, err := cbor.Marshal(desired{Sequence: 1, Digest: sum[:], URI: uri, Size: uint64(len(manifest))})
	if err != nil {
		w.Fatal(err)
	}
	w.mu.Lock()
	w.desired = what
	w.mu.Unlock()
	w.server.Changed("/u/dev-1")
}

// outcomes are what was reported at a path, without the progress.
func (w *world) outcomes(path string) (all []status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.posts {
		var s status
		if p.path == path && cbor.Unmarshal(p.body, &s) == nil && s.Code != nil {
			all = append(all, s)
		}
	}
	return all
}

// release is a version of a firmware.
type release struct{ suit.Recipe }

// release makes version n for a board, an image for each of two slots.
func (w *world) release(n uint64) *release {
	vendor := suit.VendorID("example.com")
	r := &release{suit.Recipe{Sequence: n, Vendor: vendor, Class: suit.ClassID(vendor, "lamp")}}
	for slot := range 2 {
		image := fmt.Appendf(nil, "%s for slot %d, version %d", strings.Repeat("firmware ", 200), slot, n)
		r.add(w, slot, image)
	}
	return r
}

// riotRelease is one for riotboot, its header saying which version it is.
func (w *world) riotRelease(n, header uint64) *release {
	vendor := suit.VendorID("example.com")
	r := &release{suit.Recipe{Dialect: suit.RIOT, Sequence: n, Vendor: vendor, Class: suit.ClassID(vendor, "lamp")}}
	for slot, offset := range offsets {
		r.add(w, slot, riotImage(uint32(header), uint32(offset)+0x100))
		at := offset
		r.Images[slot].Slot = &at
	}
	return r
}

var offsets = [2]uint64{0x1000, 0x20800}

func (r *release) add(w *world, slot int, image []byte) {
	path, sum, number := fmt.Sprintf("/fw/slot%d.%d.bin", slot, r.Sequence), sha256.Sum256(image), uint64(slot)
	w.put(path, image)
	r.Images = append(r.Images, suit.Target{
		Component: firmware, Slot: &number, URI: "coap://" + w.addr + path, Sum: sum[:], Size: uint64(len(image)),
	})
}

// riotImage is an image for riotboot (6.5).
func riotImage(version, start uint32) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("RIOT"), version)
	b = binary.LittleEndian.AppendUint32(b, start)
	var lo, hi uint32 = 0xFFFF, 0xFFFF
	for i := 0; i < len(b); i += 2 {
		lo += uint32(binary.LittleEndian.Uint16(b[i:]))
		hi += lo
		lo, hi = lo&0xFFFF+lo>>16, hi&0xFFFF+hi>>16
	}
	b = binary.LittleEndian.AppendUint32(b, hi<<16|lo)
	b = append(b, bytes.Repeat([]byte{0xFF}, 0x100-len(b))...)
	return append(b, bytes.Repeat([]byte("code"), 500)...)
}

func (w *world) put(path string, file []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[path] = file
}

// publish signs a release and returns where its manifest is.
func (w *world) publish(r *release) (url string, manifest []byte) {
	w.Helper()
	e, err := r.Envelope()
	if err == nil {
		err = e.Sign(w.author)
	}
	if err != nil {
		w.Fatal(err)
	}
	path := fmt.Sprintf("/fw/manifest.%d", r.Sequence)
	w.put(path, e.Encode())
	return "coap://" + w.addr + path, e.Encode()
}

// log is what happened on a device.
type log struct {
	mu     sync.Mutex
	events []Event
	more   chan struct{}
}

func (l *log) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	close(l.more)
	l.more = make(chan struct{})
}

// await waits for an event of a kind, after n of that kind.
func (l *log) await(t *testing.T, kind string, n int) Event {
	t.Helper()
	patience := time.After(time.Minute)
	for {
		l.mu.Lock()
		found := slices.DeleteFunc(slices.Clone(l.events), func(e Event) bool { return e.Kind != kind })
		more := l.more
		l.mu.Unlock()
		if len(found) > n {
			return found[n]
		}
		select {
		case <-more:
		case <-patience:
			t.Fatalf("no %d. %s: %v", n+1, kind, l.kinds())
		}
	}
}

func (l *log) kinds() (kinds []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		kinds = append(kinds, e.String())
	}
	return kinds
}

// lamp is a device of this world.
func (w *world) lamp(change ...func(*Config)) (Config, *log) {
	vendor := suit.VendorID("example.com")
	c := Config{
		Name: "dev-1", Dir: w.TempDir(), Vendor: vendor, Class: suit.ClassID(vendor, "lamp"), Board: "lamp", Trusted: []suit.Key{w.author.Key},
		Offsets: offsets, SlotSize: 64 << 10, Path: "dev-1", Network: Network{Block: 64}, Poll: 20 * time.Millisecond,
		VendorName: "example.com", ClassName: "lamp",
	}
	l := &log{more: make(chan struct{})}
	c.Tell = l.add
	for _, f := range change {
		f(&c)
	}
	return c, l
}

// once runs a device until it has dealt with one manifest.
func (w *world) once(c Config) error {
	w.Helper()
	c.Once = true
	d, err := New(c)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	return d.Run(ctx, socket(w.T))
}

// run runs a device beside the test, and returns it with a client to it.
func (w *world) run(c Config) (*Device, *coap.Client) {
	w.Helper()
	d, err := New(c)
	if err != nil {
		w.Fatal(err)
	}
	at := socket(w.T)
	client, err := coap.Dial(w.Context(), at.LocalAddr().String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { client.Close() })
	background(w.T, func(ctx context.Context) error { return d.Run(ctx, at) })
	return d, client
}
