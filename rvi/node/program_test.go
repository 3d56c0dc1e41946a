package node

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// attach starts a program at the edge of a node, on its network.
func attach(t *testing.T, w *network, n *Node, l *log) (*Program, func()) {
	t.Helper()
	edge := w.listen("127.0.0.1:8901")
	go func() { _ = n.ServeEdge(edge) }()
	p := NewProgram(ProgramOptions{Node: "http://127.0.0.1:8901", Address: "http://127.0.0.1:8090/", Audit: l.audit, Announced: l.announced})
	p.client.Transport = &http.Transport{DialContext: w.dial}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Serve(ctx, w.listen("127.0.0.1:8090")) }()
	return p, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// The topology of the seeds: a program, its node, the server's node.
func TestAProgramItsNodeAndTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		l := &log{}
		start := handle(t, p.server, "/sota/start")
		client, stop := attach(t, p.net, p.vehicle, l)
		defer stop()
		box := &inbox{}
		client.Handle("/sota/notify", box.handle)
		synctest.Wait()
		p.link(t)
		if got := l.told(); !slices.Equal(got, []string{"+" + backend + "sota/start"}) {
			t.Errorf("told of %q", got)
		}
		send(t, p.server, vin+"sota/notify", `[{"packages":[]}]`)
		if err := client.Send(t.Context(), backend+"sota/start", json.RawMessage(`[{"vin":"x"}]`), time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := box.take(); !slices.Equal(got, []string{`[{"packages":[]}]`}) {
			t.Errorf("notified of %q", got)
		}
		if got := start.take(); !slices.Equal(got, []string{`[{"vin":"x"}]`}) {
			t.Errorf("started %q", got)
		}
		if got := client.FullName("sota/notify"); got != vin+"sota/notify" {
			t.Errorf("it is called %q", got)
		}
		if err := client.Send(t.Context(), "example.com/x", json.RawMessage(`1`), time.Minute); ota.KindOf(err) != ota.KindForbidden {
			t.Error(err)
		}
		if got := l.reasons(); len(got) > 0 {
			t.Errorf("complained of %q", got)
		}
	})
}

func TestAProgramRegistersAnewAtANodeThatLostIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, l := newNetwork(), &log{}
		o := vehicleOptions(&log{})
		o.Dial = w.dial
		first := start(t, o)
		client, stop := attach(t, w, first, l)
		defer stop()
		client.Handle("/sota/notify", (&inbox{}).handle)
		synctest.Wait()
		_ = first.Close()
		time.Sleep(programCheck + time.Second)
		if err := client.Send(t.Context(), backend+"sota/ack", json.RawMessage(`1`), time.Minute); ota.KindOf(err) != ota.KindUnreachable {
			t.Error(err)
		}
		second := start(t, o)
		edge := w.listen("127.0.0.1:8901")
		go func() { _ = second.ServeEdge(edge) }()
		time.Sleep(programRetry)
		synctest.Wait()
		if got := second.state().Local; !slices.Equal(got, []string{vin + "sota/notify"}) {
			t.Errorf("%q", got)
		}
		if got := slices.Compact(l.reasons()); !slices.Equal(got, []string{"not_registered"}) {
			t.Errorf("%q", got)
		}
	})
}

// A node tells a new program nothing of what is there already, and nobody of
// what it forgot when it restarted.
func TestAProgramLearnsWhatIsThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, l := newPair(t), &log{}
		handle(t, p.server, "/sota/start")
		p.link(t)
		client, stop := attach(t, p.net, p.vehicle, l)
		defer stop()
		client.Handle("/sota/notify", (&inbox{}).handle)
		synctest.Wait()
		// The node may tell of it while the program asks, as it is new to both.
		if got := slices.Compact(l.told()); !slices.Equal(got, []string{"+" + backend + "sota/start"}) {
			t.Errorf("told of %q", got)
		}
		time.Sleep(3 * programCheck)
		synctest.Wait()
		if got := l.told(); got != nil {
			t.Errorf("told again of %q", got)
		}
		client.mu.Lock()
		client.others["example.com/lost"] = true
		client.mu.Unlock()
		time.Sleep(programCheck)
		synctest.Wait()
		if got := l.told(); !slices.Equal(got, []string{"-example.com/lost"}) {
			t.Errorf("told of %q", got)
		}
		call(p.vehicle, `{"jsonrpc":"2.0","id":1,"method":"unregister_service","params":{"service":"`+vin+`sota/notify"}}`)
		time.Sleep(programCheck)
		synctest.Wait()
		if got := l.told(); !slices.Equal(got, []string{"-" + backend + "sota/start", "+" + backend + "sota/start"}) {
			t.Errorf("of a node that restarted: told of %q", got)
		}
	})
}

func TestBadCallsOfTheNode(t *testing.T) {
	l := &log{}
	p := NewProgram(ProgramOptions{Audit: l.audit})
	p.Handle("sota/notify", (&inbox{}).handle)
	list, texts := invalidVectors(t, "edge")
	ask := func(body string) string {
		w := httptest.NewRecorder()
		p.serveHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		return w.Body.String()
	}
	tried := 0
	for _, v := range list {
		if v.Receiver != "device" {
			continue
		}
		tried++
		if got := ask(texts[v.File]); !strings.Contains(got, `"code":-32600`) || !strings.Contains(got, v.Expect.Reason) {
			t.Errorf("%s: %s", v.File, got)
		}
	}
	if tried == 0 {
		t.Error("no vectors")
	}
	for body, reason := range map[string]string{
		`{`: "parse_error", `[]`: "invalid_request", `{"jsonrpc":"2.0","id":1,"method":"x","params":{}}`: "method_not_found",
		`{"jsonrpc":"2.0","id":1,"method":"services_available","params":{"services":"x"}}`: "wrong_type:services",
		`{"jsonrpc":"2.0","id":1,"method":"message","params":{}}`:                          "missing_field:service_name",
	} {
		if got := ask(body); !strings.Contains(got, reason) {
			t.Errorf("%s: %s", body, got)
		}
	}
	message := `{"jsonrpc":"2.0","id":1,"method":"message","params":{"service_name":"/sota/notify","parameters":[{}]}}`
	for range programQueue {
		if got := ask(message); !strings.Contains(got, `"status":0`) {
			t.Fatal(got)
		}
	}
	if got := ask(message); !strings.Contains(got, "queue_full") || len(l.reasons()) != 1 {
		t.Error(got)
	}
}
