package node

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

type invalidVector struct {
	File, Layer, Receiver, Note string
	Expect                      struct {
		Action, Reason string
		Code           int
	}
	State struct {
		Receive    []string `json:"peer_right_to_receive"`
		Invoke     []string `json:"peer_right_to_invoke"`
		Authorized *bool
	}
}

func invalidVectors(t *testing.T, layer string) (list []invalidVector, text map[string]string) {
	t.Helper()
	text = map[string]string{}
	for _, v := range readJSON[struct{ Invalid []invalidVector }](t, "index.json").Invalid {
		if v.Layer != layer {
			continue
		}
		b, err := os.ReadFile(filepath.Join("testdata", v.File))
		if err != nil {
			t.Fatal(err)
		}
		list, text[v.File] = append(list, v), string(b)
	}
	if len(list) == 0 {
		t.Fatal("no vectors")
	}
	return list, text
}

var vectorTime = time.Unix(1445520300, 0)

func TestBadMessagesOfTheDataLink(t *testing.T) {
	list, texts := invalidVectors(t, "dlink")
	for _, v := range list {
		t.Run(strings.TrimPrefix(v.File, "invalid/"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { badMessage(t, v, texts[v.File]) })
		})
	}
}

func badMessage(t *testing.T, v invalidVector, text string) {
	l := &log{}
	o := vehicleOptions(l) // the services in the vectors are those of a vehicle
	if strings.Contains(text, "backend/sota") {
		o = serverOptions(l)
	}
	o.Now = func() time.Time { return vectorTime }
	rights := Rights{{Receive: []string{vin}, Invoke: []string{backend + "sota/", vin}}}
	if v.State.Receive != nil {
		rights[0].Receive = v.State.Receive
	}
	if v.State.Invoke != nil {
		rights[0].Invoke = v.State.Invoke
	}
	o.Plain = func(string) (Rights, bool) { return rights, true }
	n := start(t, o)
	boxes := []*inbox{}
	for _, s := range []string{"/sota/ack", "/sota/notify", "/sota/start"} {
		boxes = append(boxes, handle(t, n, s))
	}
	p := meet(t, n)
	greets := strings.Contains(text, `"au"`) || v.State.Authorized != nil
	if !greets {
		p.say(hello)
	}
	p.heard()
	synctest.Wait()
	before := n.state()
	l.reasons()
	p.say(text)
	if v.Expect.Reason == "incomplete" {
		_ = p.conn.Close()
	}
	synctest.Wait()
	if got := l.reasons(); !slices.Equal(got, []string{v.Expect.Reason}) {
		t.Errorf("audited as %q instead of %q", got, v.Expect.Reason)
	}
	if closed := v.Expect.Action == "close"; p.closed() != closed {
		t.Errorf("closed: %v", p.closed())
	} else if closed {
		before.Links, before.Strangers = 0, 0
	}
	if d := cmp.Diff(before, n.state()); d != "" {
		t.Error(d)
	}
	for _, b := range boxes {
		if got := b.take(); len(got) > 0 {
			t.Errorf("delivered %q", got)
		}
	}
}

func call(n *Node, body string) (status int, answer string) {
	w := httptest.NewRecorder()
	n.serveHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestBadCallsAtTheEdge(t *testing.T) {
	list, texts := invalidVectors(t, "edge")
	for _, v := range list {
		if v.Receiver != "node" {
			continue // what a service gets: see the client's tests
		}
		t.Run(strings.TrimPrefix(v.File, "invalid/"), func(t *testing.T) {
			l := &log{}
			o := vehicleOptions(l)
			o.Now = func() time.Time { return vectorTime }
			n := start(t, o)
			before := n.state()
			status, body := call(n, texts[v.File])
			var a struct {
				ID    json.RawMessage
				Error struct {
					Code int
					Data struct{ Reason string }
				}
			}
			if err := json.Unmarshal([]byte(body), &a); err != nil {
				t.Fatal(err, body)
			}
			if status != 200 || a.Error.Code != v.Expect.Code || a.Error.Data.Reason != v.Expect.Reason {
				t.Errorf("%d %s", status, body)
			}
			if d := cmp.Diff(before, n.state()); d != "" {
				t.Error(d)
			}
		})
	}
}
