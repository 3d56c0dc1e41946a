package resource_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/coap/resource"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// noise is a file that no other is like.
func noise(seed uint64, size int) string {
	r := rand.NewChaCha8([32]byte{byte(seed)})
	b := make([]byte, size)
	_, _ = r.Read(b)
	return string(b)
}

func sha(content string) []byte {
	sum := sha256.Sum256([]byte(content))
	return sum[:]
}

func short(content string) string { return base64.RawURLEncoding.EncodeToString(sha(content)[:12]) }

// The three GETs of seed 003, by the clients of another hand.
func TestTheSeedsThreeFiles(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"manifest": noise(1, 300), "file1": noise(2, 8<<10), "file2": noise(3, 5000)}
	w.publish("myapp", "manifest", files["manifest"], "file1", files["file1"], "file2", files["file2"])
	for _, program := range []string{"coap-client-notls", "coap-client-openssl", "coap-client-gnutls"} {
		for name, want := range files {
			got, _ := libcoap(t, program, "-m", "get", "coap://"+w.addr+"/myapp/"+name)
			wantString(t, program+" "+name, got, want)
		}
	}
	for _, size := range []string{"16", "64", "256", "1024"} {
		got, _ := libcoap(t, "coap-client-notls", "-b", size, "-m", "get", "coap://"+w.addr+"/myapp/file2")
		wantString(t, "in blocks of "+size, got, files["file2"])
	}
	got, _ := libcoap(t, "coap-client-notls", "-m", "get", "coap+tcp://"+w.tcp+"/myapp/file1")
	wantString(t, "over TCP", got, files["file1"])
}

func TestPathsThatMeanFiles(t *testing.T) {
	w := newWorld(t)
	w.publish("myapp", "manifest", "the manifest", "file1", "the file")
	w.publish("raw/id", "file1", "raw")
	w.publish("fw/app/board", "app-slot0.riot.suit.7.bin", "seven")
	c := w.dial()
	sum := sha256.Sum256([]byte("the file"))
	for path, want := range map[string]string{
		"/myapp/manifest": "2.05 the manifest",
		"/raw_id/file1":   "2.05 raw",
		"/raw/id/file1":   "2.05 raw",
		"/fw/app/board/app-slot0.riot.suit.7.bin":      "2.05 seven",
		"/fw_app_board/app-slot0.riot.suit.latest.bin": "2.05 seven",
		"/fw/app/board/app-slot0.riot.suit.latest.bin": "2.05 seven",
		"/b/" + short("the file"):                      "2.05 the file",
		"/m/" + short("the manifest"):                  "2.05 the manifest",
		"/b/" + hex.EncodeToString(sum[:]):             "2.05 the file",
	} {
		wantString(t, path, w.get(c, path), want)
	}
	for _, path := range []string{"/", "/myapp", "/myapp/", "/myapp/none", "/none/manifest", "/../myapp/manifest", "/myapp/../myapp/manifest",
		"//", "/b/x", "/b/" + short("another"), "/b/" + short("the file") + "/x", "/b/" + strings.ToUpper(hex.EncodeToString(sum[:])), "/b", "/m/", "/b/b/b/b",
		"/" + strings.Repeat("a/", 20) + "x", "/\x00/\xff", "/fw/app/board"} {
		if got := w.get(c, path); !strings.HasPrefix(got, "4.04") {
			t.Errorf("%q: %s", path, got)
		}
	}
	if m, err := c.Do(t.Context(), coap.NewRequest(coap.FETCH, "/myapp/manifest")); err != nil || m.Code != coap.MethodNotAllowed {
		t.Errorf("FETCH: %v, %v", m.Code, err)
	}
	if m, err := c.Post(t.Context(), "/myapp/manifest", coap.TextPlain, nil); err != nil || m.Code != coap.MethodNotAllowed {
		t.Errorf("POST: %v, %v", m.Code, err)
	}
	if log := w.log.String(); strings.Contains(log, "ERROR") {
		t.Error(log)
	}
}

// one asks for one block and no more.
func (w *world) one(c *coap.Client, path string, options ...coap.Option) coap.Message {
	w.t.Helper()
	m := coap.NewRequest(coap.GET, path)
	for _, o := range options {
		m.Options.Add(o.ID, o.Value)
	}
	got, err := c.Do(w.ctx, m)
	if err != nil {
		w.t.Fatalf("%s: %v", path, err)
	}
	return got
}

func TestWhatComesWithAFile(t *testing.T) {
	w := newWorld(t)
	content := noise(4, 3000)
	w.publish("a", "manifest", "m", "file", content)
	c := w.dial()
	sum := sha256.Sum256([]byte(content))
	for range 2 { // looked up, and known
		m, err := c.Get(w.ctx, "/a/file")
		if err != nil || string(m.Payload) != content {
			t.Fatalf("%v", err)
		}
		etag, _ := m.Options.Get(coap.ETag)
		format, _ := m.Options.Uint(coap.ContentFormat)
		if string(etag) != string(sum[:8]) || format != 42 {
			t.Errorf("ETag %x, format %d", etag, format)
		}
	}
	held := coap.Option{ID: coap.ETag, Value: sum[:8]}
	if m := w.one(c, "/a/file", held); m.Code != coap.Valid || len(m.Payload) != 0 {
		t.Errorf("what it holds: %v", m.Code)
	}
	if m := w.one(c, "/b/"+short(content), held); m.Code != coap.Valid {
		t.Errorf("what it holds: %v", m.Code)
	} else if age, _ := m.Options.Uint(coap.MaxAge); age < 86400 {
		t.Errorf("it may be kept for %d s only", age)
	}
	accept := func(n byte) coap.Option { return coap.Option{ID: coap.Accept, Value: []byte{n}} }
	for path, want := range map[string]coap.Code{"/a/file": coap.NotAcceptable, "/a/manifest": coap.ContentCode, "/m/" + short("m"): coap.ContentCode} {
		if m := w.one(c, path, accept(60)); m.Code != want {
			t.Errorf("%s as CBOR: %v", path, m.Code)
		}
	}
	if m := w.one(c, "/a/manifest", accept(50)); m.Code != coap.NotAcceptable {
		t.Errorf("as JSON: %v", m.Code)
	}
	if m := w.one(c, "/a/file", coap.Option{ID: coap.Block2, Value: []byte{0x0f, 0xf6}}); m.Code != coap.BadRequest {
		t.Errorf("beyond the end: %v", m.Code)
	}
}

// node is a client as microcontrollers have one: it asks for blocks, of 64
// bytes, one by one, without tokens, and knows neither ETag nor Echo.
type node struct {
	*world
	conn net.Conn
	id   uint16
	szx  int
}

func (w *world) node() *node {
	w.t.Helper()
	c, err := net.Dial("udp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &node{world: w, conn: c, szx: 2}
}

func (n *node) block(path string, num int) string {
	n.t.Helper()
	n.ask(path, num)
	return n.answer()
}

func (n *node) ask(path string, num int) {
	n.t.Helper()
	n.id++
	b := []byte{0x40, 1, byte(n.id >> 8), byte(n.id)}
	last := 0
	for _, s := range strings.Split(path, "/")[1:] {
		b = append(append(b, byte((11-last)<<4|len(s))), s...)
		last = 11
	}
	v := num<<4 | n.szx
	b = append(b, byte((23-last)<<4|2), byte(v>>8), byte(v))
	if _, err := n.conn.Write(b); err != nil {
		n.t.Fatal(err)
	}
}

// post sends a request without payload, and tells the code of the answer, and
// whether it wants an Echo option returned.
func (n *node) post(target string) string {
	n.t.Helper()
	n.id++
	m := coap.NewRequest(coap.POST, target)
	b := []byte{0x40, byte(coap.POST), byte(n.id >> 8), byte(n.id)}
	last := coap.OptionID(0)
	for _, o := range m.Options {
		b = append(b, byte(o.ID-last)<<4)
		last = o.ID
		if n := len(o.Value); n < 13 {
			b[len(b)-1] |= byte(n)
		} else {
			b[len(b)-1] |= 13
			b = append(b, byte(n-13))
		}
		b = append(b, o.Value...)
	}
	if _, err := n.conn.Write(b); err != nil {
		n.t.Fatal(err)
	}
	answer := make([]byte, 1500)
	_ = n.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := n.conn.Read(answer)
	if err != nil {
		n.t.Fatal(err)
	}
	code := coap.Code(answer[1]).String()
	if got > 6 && answer[4] == 0xdc && answer[5] == 252-13 { // an option of 12 bytes
		code += " echo"
	}
	return code
}

func (n *node) answer() string {
	n.t.Helper()
	answer := make([]byte, 1500)
	_ = n.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := n.conn.Read(answer)
	if err != nil {
		n.t.Fatal(err)
	}
	if code := coap.Code(answer[1]); code != coap.ContentCode {
		return code.String()
	}
	_, payload, _ := strings.Cut(string(answer[:got]), "\xff")
	return payload
}

func TestAReplacedFileIsNotMixedWithTheOldOne(t *testing.T) {
	w := newWorld(t)
	was, is := noise(5, 1000), noise(6, 1000)
	w.publish("a", "file", was)
	slow, fast := w.node(), w.dial()
	got := slow.block("/a/file", 0) + slow.block("/a/file", 1)
	w.publish("a", "file", is)
	wantString(t, "who begins now", w.get(fast, "/a/file"), "2.05 "+is)
	for i := 2; i < 16; i++ {
		got += slow.block("/a/file", i)
	}
	wantString(t, "who had begun", got, was)
	wantString(t, "beyond the end of what it had begun", slow.block("/a/file", 16), "4.00")
	wantString(t, "the next time", slow.block("/a/file", 0), is[:64])

	p, _, err := w.Locate(w.ctx, ns, "a", "file")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Unpublish(w.ctx, ns, "a", p.ID.Version); err != nil {
		t.Fatal(err)
	}
	wantString(t, "as the new one was withdrawn", w.get(fast, "/a/file"), "2.05 "+was)
	if err := w.Unpublish(w.ctx, ns, "a", "r1"); err != nil {
		t.Fatal(err)
	}
	wantString(t, "nothing left", w.get(fast, "/a/file"), `4.04 nothing named "file" is published as "a"`)
	wantString(t, "by digest", w.get(fast, "/b/"+short(was)), "4.04 no file has such a digest")
}

// More files than are kept open, in turn and by several at once.
func TestManyFilesTakeFewDescriptors(t *testing.T) {
	w := newWorld(t)
	var files []string
	for i := range 300 {
		files = append(files, fmt.Sprint("f", i), fmt.Sprint("content ", i))
	}
	w.publish("a", files...)
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			c := w.dial()
			for i := range 300 {
				if m, err := c.Get(w.ctx, fmt.Sprint("/a/f", i)); err != nil || string(m.Payload) != fmt.Sprint("content ", i) {
					t.Errorf("%d: %v %q", i, err, m.Payload)
				}
			}
		}()
	}
	for range 4 {
		<-done
	}
}

func TestAClosedDoor(t *testing.T) {
	w := newWorld(t, func(o *resource.Options) { o.Private = true })
	w.publish("a", "manifest", "secret")
	c := w.dial()
	for _, path := range []string{"/a/manifest", "/b/" + short("secret"), "/m/" + short("secret"), "/.well-known/core", "/none/x"} {
		if got := w.get(c, path); !strings.HasPrefix(got, "4.01") || strings.Contains(got, "secret") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestCore(t *testing.T) {
	w := newWorld(t)
	w.publish("my<app>", "manifest", "m", "file1", "12345")
	c := w.dial()
	all := w.get(c, "/.well-known/core")
	for _, want := range []string{`</b>;rt="suit.payload";ct=42`, `</my%3Capp%3E/manifest>;rt="suit.manifest";ct=42;sz=1`, `</my%3Capp%3E/file1>;rt="suit.payload";ct=42;sz=5`} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not in %s", want, all)
		}
	}
	for query, want := range map[string]int{"rt=suit.manifest": 2, "rt=suit.*": 4, "href=/b": 1, "href=/b*": 1, "sz=5": 1, "x=y": 0, "rt=*": 4, "href=/my*": 2} {
		got, err := c.Get(w.ctx, "/.well-known/core?"+query)
		if err != nil || got.Code != coap.ContentCode {
			t.Fatalf("%s: %v %v", query, got.Code, err)
		}
		if n := strings.Count(string(got.Payload), "<"); n < want || want == 0 && n > 0 {
			t.Errorf("%s: %s", query, got.Payload)
		}
	}
	reads := w.reads.Load()
	w.get(c, "/.well-known/core")
	if n := w.reads.Load() - reads; n != 0 {
		t.Errorf("the store was read %d times for what had not changed", n)
	}
	for i := range 8 {
		var files []string
		for k := range 40 {
			files = append(files, fmt.Sprint("a-rather-long-name-of-a-file-", k), "x")
		}
		w.publish(fmt.Sprint("another", i), files...)
	}
	if all := w.get(c, "/.well-known/core"); len(all) > 17<<10 || len(all) < 15<<10 {
		t.Errorf("%d bytes", len(all))
	}
}

// Nothing is allocated for a block of a file that is being fetched: what a
// device asks for over and over costs no more than reading it.
func TestABlockNeedsNoMemory(t *testing.T) {
	w := newWorld(t)
	w.publish("a", "file", noise(9, 64<<10))
	n := w.node()
	n.block("/a/file", 0)
	ask := []byte{0x40, 1, 0, 0, 0xb1, 'a', 0x04, 'f', 'i', 'l', 'e', 0xc2, 0, 0}
	answer := make([]byte, 1500)
	num := 0
	allocs := testing.AllocsPerRun(2000, func() {
		num = (num + 1) % 1000
		n.id++
		v := num<<4 | 2
		ask[2], ask[3], ask[12], ask[13] = byte(n.id>>8), byte(n.id), byte(v>>8), byte(v)
		if _, err := n.conn.Write(ask); err != nil {
			t.Fatal(err)
		}
		if got, err := n.conn.Read(answer); err != nil || got < 64 || answer[1] != byte(coap.ContentCode) {
			t.Fatalf("%d: %x, %v", num, answer[:got], err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations per block", allocs)
	}
}

// A large file is read as a whole before it is served for the first time.
// Others are served meanwhile, however many ask for it.
func TestAFileThatIsBeingCheckedHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	large, small := noise(12, 5000), noise(13, 500)
	w.publish("a", "large", large, "small", small)
	checked, begun := make(chan struct{}), make(chan struct{}, 100)
	wait := func(d ota.Digest) {
		if string(d) == hex.EncodeToString(sha(large)) {
			begun <- struct{}{}
			<-checked
		}
	}
	w.slow.Store(&wait)
	nodes := make([]*node, 32)
	for i := range nodes {
		nodes[i] = w.node()
		nodes[i].ask("/a/large", 0)
		if i == 0 {
			<-begun
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if m, err := w.dial().Get(ctx, "/a/small"); err != nil || string(m.Payload) != small {
		t.Errorf("the small one: %v, %v", m.Code, err)
	}
	close(checked)
	for _, n := range nodes {
		wantString(t, "the large one", n.answer(), large[:64])
	}
}

// What one tenant's device fetched is not shown to another's at the same
// address.
func TestAnAddressThatAnotherDeviceGets(t *testing.T) {
	w := newWorld(t)
	contents := map[ota.Namespace]string{ns: noise(14, 2000), "other": noise(15, 2000)}
	keys := map[ota.Namespace]ota.PSK{}
	for space, content := range contents {
		n := named("node")
		n.PSK, n.Vendor, n.Class = true, "example.com", "x"
		var err error
		if _, keys[space], err = w.AddConstrained(w.ctx, space, n); err != nil {
			t.Fatal(err)
		}
		a, err := w.PutFile(w.ctx, "file", strings.NewReader(content), 1<<20)
		if err == nil {
			_, err = w.Publish(w.ctx, space, fleet.Publication{ID: "app", Files: []ota.Artifact{a}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := net.ResolveUDPAddr("udp", w.safe)
	if err != nil {
		t.Fatal(err)
	}
	at := "127.0.0.1:0"
	fetch := func(space ota.Namespace, num byte) string {
		t.Helper()
		conn, err := net.ListenPacket("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		at = conn.LocalAddr().String()
		c, err := coap.NewDTLSClient(w.ctx, conn, server, coap.DTLSClientConfig{Identity: keys[space].Identity, Key: []byte(keys[space].Key)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return string(w.one(c, "/app/file", coap.Option{ID: coap.Block2, Value: []byte{num<<4 | 6}}).Payload)
	}
	fetch(ns, 0)
	wantString(t, "the rest of another's", fetch("other", 1), contents["other"][1024:])
}
