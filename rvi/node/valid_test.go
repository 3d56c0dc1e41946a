package node

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every valid message of the data link, in both framings, is taken without a
// complaint.
func TestGoodMessagesOfTheDataLink(t *testing.T) {
	files, err := filepath.Glob("testdata/valid/dlink-*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no vectors")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, msgpack := range []bool{false, true} {
			message := string(b)
			if msgpack {
				message = string(toMsgpack(nil, b))
			}
			bubble(t, func(t *testing.T) { goodMessage(t, filepath.Base(file), message) })
		}
	}
}

func goodMessage(t *testing.T, name, message string) {
	l := &log{}
	o := serverOptions(l)
	if strings.Contains(name, "rcv") && name != "dlink-rcv-s.json" {
		o = vehicleOptions(l)
	}
	o.Now = func() time.Time { return vectorTime }
	o.Plain = func(string) (Rights, bool) {
		return Rights{{Receive: []string{vin}, Invoke: []string{"genivi.org/"}}}, true
	}
	n := start(t, o)
	var boxes []*inbox
	for _, s := range []string{"/sota/ack", "/sota/notify", "/sota/finish"} {
		boxes = append(boxes, handle(t, n, s))
	}
	p := meet(t, n)
	p.say(hello)
	p.heard()
	l.reasons()
	p.say(message)
	if p.closed() {
		t.Errorf("%s: closed", name)
	}
	var want []string
	if strings.HasPrefix(name, "dlink-frg-") && name != "dlink-frg-last.json" {
		want = []string{"unknown_fragment"} // answers to what we never send
	}
	if got := l.reasons(); !slices.Equal(got, want) {
		t.Errorf("%s: %q", name, got)
	}
	delivered := 0
	for _, b := range boxes {
		delivered += len(b.take())
	}
	if rcv := strings.Contains(name, "rcv"); rcv != (delivered == 1) {
		t.Errorf("%s: delivered %d times", name, delivered)
	}
	switch name {
	case "dlink-sa-av.json":
		if got := n.state().Routes; len(got) != 6 {
			t.Errorf("%s: %q", name, got)
		}
	case "dlink-frg.json":
		if got := p.heard(); !strings.Contains(got, "frg-get") {
			t.Errorf("%s: answered %q", name, got)
		}
	}
}

func valid(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/valid/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCallsAtTheEdge(t *testing.T) {
	l := &log{}
	o := vehicleOptions(l)
	o.Now = func() time.Time { return vectorTime }
	o.Resolve = resolver{"sota_client_1": "127.0.0.1", "core": "::1"}.lookup
	n := start(t, o)
	for _, c := range []struct{ request, response string }{
		{"edge-register-schemeless.json", "edge-register-response.json"},
		{"edge-register-http.json", ""},
		{"edge-register-path.json", ""},
		{"edge-register-no-slash.json", ""},
		{"edge-get-available.json", ""},
		{"edge-unregister.json", "edge-unregister-response.json"},
		{"edge-unregister.json", "edge-unregister-response.json"},
		{"edge-get-prefix.json", "edge-get-prefix-response.json"},
		{"edge-message-relative-timeout.json", ""},
	} {
		status, body := call(n, valid(t, c.request))
		if status != 200 || !strings.Contains(body, `"status":0`) {
			t.Errorf("%s: %d %s", c.request, status, body)
		}
		if c.response == "" {
			continue
		}
		var want, got map[string]any
		_ = json.Unmarshal([]byte(valid(t, c.response)), &want)
		_ = json.Unmarshal([]byte(body), &got)
		delete(want["result"].(map[string]any), "method") // sent by some, and ignored
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", c.request, d)
		}
	}
	want := []string{vin + "sota/ack", vin + "sota/notify", vin + "sota/start"}
	if d := cmp.Diff(want, n.state().Local); d != "" {
		t.Error(d)
	}
	if s := n.state(); s.Waiting != 1 {
		t.Errorf("%+v", s)
	}
	// Nobody is there, which only the services themselves miss.
	if got := slices.Compact(l.reasons()); len(got) > 0 && !slices.Equal(got, []string{"not_delivered"}) {
		t.Errorf("%q", got)
	}
}

func TestIdsAreEchoedAsTheyCame(t *testing.T) {
	n := start(t, vehicleOptions(&log{}))
	for _, id := range []string{`9007199254740993`, `-1`, `1.50`, `"a\u00e9"`, `null`} {
		_, body := call(n, `{"jsonrpc":"2.0","id":`+id+`,"method":"get_available_services","params":[1]}`)
		if !strings.Contains(body, `"id":`+id+`,`) {
			t.Errorf("%s: %s", id, body)
		}
	}
	if status, body := call(n, `{"jsonrpc":"2.0","method":"get_available_services","params":{}}`); status != 200 || body != "" {
		t.Errorf("a notification is answered with %d %q", status, body)
	}
}
