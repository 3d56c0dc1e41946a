package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a body that says how long it is, and does not come.
func stuck(t *testing.T, w *network, addr string, size int) net.Conn {
	t.Helper()
	c, err := w.dial(t.Context(), "", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: n\r\nContent-Length: %d\r\n\r\n{", size)
	synctest.Wait()
	return c
}

func TestHalfCallsForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, w := &log{}, newNetwork()
		n := start(t, serverOptions(l))
		edge := w.listen("n:80")
		go func() { _ = n.ServeEdge(edge) }()
		synctest.Wait()
		client := http.Client{Transport: &http.Transport{DialContext: w.dial, DisableKeepAlives: true}}
		ask := func() (int, error) {
			r, err := client.Post("http://n", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"get_available_services","params":{}}`))
			if err != nil {
				return 0, err
			}
			_, _ = io.Copy(io.Discard, r.Body)
			return r.StatusCode, r.Body.Close()
		}
		var crowd []net.Conn
		for range edgeBytes >> 20 {
			crowd = append(crowd, stuck(t, w, "n:80", 1<<20))
		}
		if status, err := ask(); status != 503 || err != nil {
			t.Errorf("with all buffers in use: %d, %v", status, err)
		}
		time.Sleep(framePatience)
		synctest.Wait()
		if status, err := ask(); status != 200 || err != nil || n.bodies.left.Load() != edgeBytes {
			t.Errorf("a minute later: %d, %v, %d", status, err, n.bodies.left.Load())
		}
		for range maxEdgeConns {
			crowd = append(crowd, stuck(t, w, "n:80", 100))
		}
		if _, err := ask(); err == nil {
			t.Error("one connection too many is not closed")
		}
		time.Sleep(framePatience)
		synctest.Wait()
		if status, err := ask(); status != 200 || err != nil {
			t.Errorf("a minute later: %d, %v", status, err)
		}
		if got := slices.Compact(l.reasons()); !slices.Equal(got, []string{"out_of_buffers", "too_many_connections"}) {
			t.Errorf("%q", got)
		}
		for _, c := range crowd {
			_ = c.Close()
		}
	})
}

// Whoever comes again and again does not fill the log.
func TestWhoKnocksForEverIsToldBriefly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := serverOptions(l)
		o.Links = 1
		n := start(t, o)
		meet(t, n)
		for range 3000 {
			here, there := net.Pipe()
			n.plain(n.ctx, there, false)
			_ = here.Close()
		}
		if got := len(l.reasons()); got != doorComplaints {
			t.Errorf("%d events", got)
		}
		time.Sleep(time.Second)
		here, there := net.Pipe()
		n.plain(n.ctx, there, false)
		_ = here.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.events) != 1 || !strings.Contains(l.events[0].Detail, "2900 others") {
			t.Errorf("%+v", l.events)
		}
	})
}

// What a prompt handler finds wrong is the answer; what waits is bounded.
func TestWhatAProgramAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := NewProgram(ProgramOptions{Null: true, Audit: func(Event) {}})
		slow := make(chan struct{})
		p.Take("/sota/start", func(_ context.Context, m Message) error {
			if string(m.Params) == `"wrong"` {
				return &Refusal{Code: -32100, Reason: "bad_chunk_size", Err: errors.New("it is too small")}
			}
			return nil
		})
		p.Handle("/sota/chunk", func(context.Context, Message) error { <-slow; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		go p.work(ctx)
		ask := func(service, params string) string {
			w := httptest.NewRecorder()
			body := `{"jsonrpc":"2.0","id":7,"method":"message","params":{"service_name":"` + service + `","parameters":` + params + `}}`
			p.serveHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
			return w.Body.String()
		}
		for params, want := range map[string]string{`"wrong"`: `"code":-32100,`, `"right"`: `{"jsonrpc":"2.0","id":7,"result":null}`} {
			if got := ask("/sota/start", params); !strings.Contains(got, want) || strings.Contains(got, "bad_chunk_size") != (params == `"wrong"`) {
				t.Errorf("%s: %s", params, got)
			}
		}
		big, took := `"`+strings.Repeat("x", 1<<20)+`"`, 0
		for strings.Contains(ask("/sota/chunk", big), "null") {
			took++
		}
		if took < 4 || took > programBytes>>20 {
			t.Errorf("%d MiB wait", took)
		}
		close(slow)
		synctest.Wait()
		if left := p.bodies.left.Load(); left != programBytes {
			t.Errorf("%d bytes are not given back", programBytes-left)
		}
		cancel()
		synctest.Wait()
	})
}

// A peer whose services come and go faster than anybody can hear of it waits,
// and what is remembered meanwhile is bounded.
func TestServicesThatComeAndGoForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := serverOptions(&log{})
		hear, heard := make(chan struct{}), map[bool]int{}
		o.Announced = func(a Announcement) { <-hear; heard[a.Available]++ }
		n := start(t, o)
		for i := range 3 {
			p := meet(t, n)
			_ = p.conn.SetWriteDeadline(time.Time{})
			name := fmt.Sprintf("genivi.org/vin/V%d/sota/notify", i)
			go func() { _, _ = io.WriteString(p.conn, hello+strings.Repeat(sa("av", name)+sa("un", name), 5000)) }()
		}
		synctest.Wait()
		n.mu.Lock()
		if got := len(n.deferred); got > maxDeferred+10 {
			t.Errorf("%d calls wait", got)
		}
		n.mu.Unlock()
		close(hear)
		synctest.Wait()
		if heard[true] != 15_000 || heard[false] != 15_000 {
			t.Errorf("heard %v", heard)
		}
	})
}

// Text that grows when it becomes JSON is not a way round the limits.
func TestControlCharactersInMsgpack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		ack := handle(t, n, "/sota/ack")
		p := meet(t, n)
		p.say(hello + sa("av", vin+"sota/notify"))
		for _, size := range []int{100_000, 900_000} {
			p.say(string(toMsgpack(nil, []byte(rcv(backend+"sota/ack", `"`+strings.Repeat("\\u0001", size)+`"`)))))
		}
		if got := len(ack.take()); got != 1 || !p.closed() || !slices.Equal(l.reasons(), []string{"too_large"}) {
			t.Errorf("%d taken", got)
		}
	})
}

// Half messages do not use up the buffers of those who send whole ones.
func TestACrowdOfHalfFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := serverOptions(l)
		o.BufferBytes = 4 << 20
		n := start(t, o)
		ack := handle(t, n, "/sota/ack")
		good := meet(t, n)
		good.say(hello + sa("av", "genivi.org/vin/GOOD/sota/notify"))
		for range 24 {
			meet(t, n).say(hello + `{"cmd":"` + strings.Repeat("x", 2000))
		}
		time.Sleep(3 * time.Second)
		for range 3 {
			good.say(rcv(backend+"sota/ack", `"`+strings.Repeat("A", 88<<10)+`"`))
		}
		if got := ack.take(); len(got) != 3 || good.closed() {
			t.Errorf("%d of the other's messages are taken", len(got))
		}
		if got := l.reasons(); !slices.Equal(got, []string{"out_of_buffers"}) {
			t.Errorf("%q", got)
		}
	})
}

// A program whose services come and go does not drown the peers that hear of it.
func TestAProgramThatComesAndGoesForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, vehicleOptions(l))
		flaps := func(times int) (taken int) {
			for range times {
				if strings.Contains(register(t, n, "/sota/notify", "127.0.0.1:9"), `"status":0`) {
					taken++
				}
				call(n, `{"jsonrpc":"2.0","id":1,"method":"unregister_service","params":{"service":"`+vin+`sota/notify"}}`)
			}
			return taken
		}
		if got := flaps(1000); got != n.opt.Services {
			t.Errorf("%d times at once", got)
		}
		time.Sleep(time.Second)
		if got := flaps(1000); got != servicesPerSecond {
			t.Errorf("%d times a second later", got)
		}
		if got := slices.Compact(l.reasons()); !slices.Equal(got, []string{"too_many_changes"}) {
			t.Errorf("%q", got)
		}
	})
}
