package coap

import (
	"fmt"
	"strings"
	"testing"
)

func TestMux(t *testing.T) {
	says := func(name string) Handler {
		return HandlerFunc(func(w ResponseWriter, r *Request) { fmt.Fprint(w, name) })
	}
	var m Mux
	m.Handle("/u", says("u"))
	m.Handle("/u/all", says("all"))
	b := newBench(t)
	m.Handle("/fw", b.world)
	b.file("/fw/f", 10)
	b.srv.Handler, b.srv.content = &m, &m
	for path, want := range map[string]string{
		"/u": "u", "/u/device1": "u", "/u/a/b": "u", "/u/all": "all", "/u/all/x": "all", "/up": "", "/": "", "//": "",
	} {
		got := b.exchange(t, get(path, nil))
		if want == "" && got.Code != NotFound || want != "" && string(got.Payload) != want {
			t.Errorf("%s is answered by %v %q, want %q", path, got.Code, got.Payload, want)
		}
	}
	if got := b.exchange(t, get("/fw/f", nil)); len(got.Payload) != 10 {
		t.Errorf("content is answered by %v", got.Code)
	}
	m.Handle("/", says("rest"))
	if got := b.exchange(t, get("/up", nil)); string(got.Payload) != "rest" {
		t.Errorf("the rest is answered by %q", got.Payload)
	}
}

// Clients that want no answer get none (RFC 7967).
func TestNoResponse(t *testing.T) {
	b := newBench(t)
	post := NewRequest(POST, "/post")
	post.Options.AddUint(NoResponse, 2) // not of class 2
	post.Type, post.ID = NonConfirmable, 1
	b.u.layer.receive(b.s, post.appendTo(nil), b.from)
	b.u.wg.Wait()
	if got := b.rec.take(); got != "" || len(b.posts) != 1 {
		t.Errorf("answered by %q, %d posts", got, len(b.posts))
	}
	post.Type, post.ID = Confirmable, 2
	b.u.layer.receive(b.s, post.appendTo(nil), b.from)
	b.u.wg.Wait()
	if got := b.rec.take(); got != "60000002" {
		t.Errorf("answered by %q, want an empty acknowledgement", got)
	}
	lost := NewRequest(GET, "/nothing")
	lost.Options.AddUint(NoResponse, 2)
	if got := b.exchange(t, lost); got.Code != NotFound {
		t.Errorf("a failure is answered by %v", got.Code)
	}
}

// A path of many segments is looked up as fast as a short one.
func TestLongPathsCostLittle(t *testing.T) {
	var m Mux
	m.Handle("/u", panics{})
	m.Handle("/u/all", panics{})
	m.Handle("/fw", panics{})
	for path, want := range map[string]string{
		"/u": "/u", "/u/x": "/u", "/u/al": "/u", "/u/all": "/u/all", "/u/alle": "/u", "/u/all/": "/u/all",
		"/up": "", "/fwd/x": "", "/": "", "/fw/" + strings.Repeat("/", 1000): "/fw", strings.Repeat("/", 1000): "",
	} {
		if got := m.prefix([]byte(path)); len(got) > len("/u/all") {
			t.Errorf("%.20s is looked up from %.20s on", path, got)
		}
		if got := m.find([]byte(path)); (got != nil) != (want != "") {
			t.Errorf("%.20s is found: %v", path, got != nil)
		}
	}
}
