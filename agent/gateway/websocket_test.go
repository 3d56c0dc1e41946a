package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// watcher is someone at the other end of a websocket.
type watcher struct {
	testing.TB
	*websocket.Conn
}

func watch(t testing.TB, addr string, options *websocket.DialOptions) watcher {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/any/path", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(8 << 20)
	return watcher{t, conn}
}

func (w watcher) say(text string) {
	w.Helper()
	if err := w.Write(w.Context(), websocket.MessageText, []byte(text)); err != nil {
		w.Fatal(err)
	}
}

// hear reads the next frame.
func (w watcher) hear() string {
	w.Helper()
	kind, b, err := w.Read(w.Context())
	if err != nil || kind != websocket.MessageText {
		w.Fatal(kind, err)
	}
	return string(b)
}

// expect reads frames and compares them.
func (w watcher) expect(want ...string) {
	w.Helper()
	for _, x := range want {
		if got := w.hear(); got != x {
			w.Errorf("heard %s, want %s", got, x)
		}
	}
}

// silent makes sure that nothing else came, by a command whose events follow.
func (w watcher) silent() {
	w.Helper()
	w.say(`"ListInstalledPackages"`)
	w.expect(`{"variant":"FoundInstalledPackages","fields":[[]]}`)
}

func openWebsocket(t testing.TB, c Teller) *Websocket {
	t.Helper()
	s, err := NewWebsocket(c, local)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryoneHearsEverythingAsItHappens(t *testing.T) {
	d := newDevice(t).start()
	d.link.offer("u1")
	s := openWebsocket(t, d)
	serve(t, s)
	one, two := watch(t, s.Addr(), nil), watch(t, s.Addr(), nil)
	one.say(`"GetUpdateRequests"`)
	want := []string{
		`{"variant":"UpdatesReceived","fields":[[{"requestId":"u1","status":"Pending","packageId":{"name":"pkg-u1","version":"1.0"},"installPos":0,"createdAt":"2016-10-10T15:23:30Z"}]]}`,
		`{"variant":"DownloadingUpdate","fields":["u1"]}`,
		fmt.Sprintf(`{"variant":"DownloadComplete","fields":[{"update_id":"u1","update_image":"%s/u1","signature":""}]}`, d.config.Device.PackagesDir),
	}
	one.expect(want...)
	two.expect(want...)
	two.say(`{"variant":"SendUpdateReport","fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":"ok","result_text":"<&>"}]}]}`)
	one.expect(`"UpdateReportSent"`)
	two.expect(`"UpdateReportSent"`)
	one.silent()
	two.expect(`{"variant":"FoundInstalledPackages","fields":[[]]}`)
	two.silent()
	if diff := cmp.Diff([]ota.Report{ota.Outcome("u1", ota.OK, "<&>")}, d.link.reports); diff != "" {
		t.Error(diff)
	}
}

func TestAWrongFrameIsAnsweredAndForgiven(t *testing.T) {
	d := newDevice(t).start()
	s := openWebsocket(t, d)
	serve(t, s)
	other, w := watch(t, s.Addr(), nil), watch(t, s.Addr(), nil)
	for said, want := range map[string]string{
		"ls":                `{"variant":"Error","fields":["Failed to parse JSON: invalid character 'l' looking for beginning of value"]}`,
		"":                  `{"variant":"Error","fields":["Failed to parse JSON: unexpected end of JSON input"]}`,
		"\"\xff\"":          `{"variant":"Error","fields":["Failed to parse JSON: it is not UTF-8"]}`,
		`"MakeCoffee"`:      `{"variant":"Error","fields":["Failed to decode JSON: there is no command \"MakeCoffee\""]}`,
		`["StartDownload"]`: "Failed to decode JSON",
		`{"fields":[]}`:     "Failed to decode JSON",
		`"Shutdown","fie`:   "Failed to parse JSON",
		"[[[":               "Failed to parse JSON",
	} {
		w.say(said)
		if got := w.hear(); !strings.Contains(got, want) || !strings.HasPrefix(got, `{"variant":"Error"`) {
			t.Errorf("%q: %s", said, got)
		}
	}
	if err := w.Write(t.Context(), websocket.MessageBinary, []byte(`"Shutdown"`)); err != nil {
		t.Fatal(err)
	}
	if got := w.hear(); !strings.Contains(got, "text frame") {
		t.Errorf("a binary frame: %s", got)
	}
	w.silent()
	other.silent() // has heard of none of it; its own events follow w's
}

func TestAFrameThatIsTooLongEndsTheConnection(t *testing.T) {
	d := newDevice(t).start()
	s := openWebsocket(t, d)
	serve(t, s)
	w := watch(t, s.Addr(), nil)
	w.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat(" ", maxInput+1)))
	if _, _, err := w.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Error(err)
	}
	watch(t, s.Addr(), nil).silent()
}

// A subscriber that does not read delays nobody; when it reads again it is
// told how many events it has lost.
func TestASlowSubscriber(t *testing.T) {
	d := newDevice(t)
	d.installer = crowd{}
	d.start()
	s := openWebsocket(t, d)
	s.buffer, s.accept = 4, time.Hour
	serve(t, s)
	slow, quick := watch(t, s.Addr(), smallWindow()), watch(t, s.Addr(), nil)
	const events = 60
	for range events {
		quick.say(`"ListInstalledPackages"`)
		if got := quick.hear(); !strings.HasPrefix(got, `{"variant":"FoundInstalledPackages"`) {
			t.Fatalf("%.100s", got)
		}
	}
	heard, missed := 0, 0
	for heard+missed < events {
		var n int
		if got := slow.hear(); strings.HasPrefix(got, `{"variant":"FoundInstalledPackages"`) {
			heard++
		} else if _, err := fmt.Sscanf(got, `{"variant":"Error","fields":["Websocket Error: missed %d events"]}`, &n); err != nil {
			t.Fatalf("%.100s: %v", got, err)
		}
		missed += n
	}
	if missed == 0 || heard == 0 || heard+missed != events {
		t.Errorf("%d events: %d heard, %d missed", events, heard, missed)
	}
}

// One that never reads is let go, so that its events are not kept for ever.
func TestADeadSubscriber(t *testing.T) {
	d := newDevice(t)
	d.installer = crowd{}
	d.start()
	s := openWebsocket(t, d)
	s.accept = time.Millisecond
	serve(t, s)
	dead := watch(t, s.Addr(), smallWindow())
	for range 60 {
		d.do(agent.ListInstalledPackages{})
	}
	for range cap(s.busy) { // nobody is served any more
		s.busy <- struct{}{}
	}
	for range cap(s.busy) {
		<-s.busy
	}
	for err := error(nil); err == nil; {
		_, _, err = dead.Read(t.Context())
	}
}

// crowd has so many packages that listing them fills a connection's buffers.
type crowd struct{ fitter }

func (crowd) Installed(context.Context) ([]ota.PackageID, error) {
	list := make([]ota.PackageID, 1000)
	for i := range list {
		list[i] = ota.PackageID{Name: fmt.Sprint("package-", i), Version: strings.Repeat("x", 100)}
	}
	return list, nil
}

func smallWindow() *websocket.DialOptions {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(256 << 10)
		}
		return conn, err
	}}
	return &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}}
}

func TestALongCommandStopsNoOneElse(t *testing.T) {
	d := newDevice(t).start()
	d.link.set(func(u *uplink) { u.hold = make(chan struct{}) })
	s := openWebsocket(t, d)
	end := serve(t, s)
	w := watch(t, s.Addr(), nil)
	w.say(`"GetUpdateRequests"`)
	for range maxWaiting + 2 { // one is taken at once, maybe
		w.say(`"ListInstalledPackages"`)
	}
	if got := w.hear(); !strings.Contains(got, "are waiting already") {
		t.Error(got)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for err := error(nil); err == nil; {
			_, _, err = w.Read(t.Context())
		}
	}()
	if err := w.Ping(t.Context()); err != nil {
		t.Errorf("pings are not answered: %v", err)
	}
	end()
	<-gone
	close(d.link.hold)
}

func TestShutdownNeverWaits(t *testing.T) {
	d := newDevice(t).start()
	d.link.set(func(u *uplink) { u.hold = make(chan struct{}) })
	s := openWebsocket(t, d)
	serve(t, s)
	w := watch(t, s.Addr(), nil)
	w.say(`"GetUpdateRequests"`)
	w.say(`"Shutdown"`)
	if _, b, err := w.Read(t.Context()); err == nil {
		t.Errorf("heard %s", b)
	}
	<-d.ended
}

func TestSubscribersAreLetIn(t *testing.T) {
	d := newDevice(t).start()
	s, err := NewWebsocket(d, Network{Addr: "127.0.0.1:0", Token: secret, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	header := func(name, value string) *websocket.DialOptions {
		return &websocket.DialOptions{HTTPHeader: http.Header{name: {value}}}
	}
	watch(t, s.Addr(), header("Authorization", "Bearer "+string(secret))).silent()
	w := watch(t, s.Addr(), &websocket.DialOptions{Subprotocols: []string{"chat", "bearer." + string(secret)}})
	if w.silent(); w.Subprotocol() != "bearer."+string(secret) {
		t.Errorf("sub-protocol %q", w.Subprotocol())
	}
	for _, c := range []struct {
		options *websocket.DialOptions
		status  int
	}{
		{nil, 401},
		{header("Authorization", "Bearer x"), 401},
		{&websocket.DialOptions{Subprotocols: []string{"bearer.x"}}, 401},
		{header("Origin", "http://evil.example"), 403},
		{&websocket.DialOptions{Host: "evil.example"}, 421},
	} {
		_, resp, err := websocket.Dial(t.Context(), "ws://"+s.Addr(), c.options)
		if err == nil || resp.StatusCode != c.status {
			t.Errorf("%+v: %v, want %d", c.options, err, c.status)
		}
	}
}

// get asks the websocket's address over plain HTTP.
func get(t testing.TB, s *Websocket, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func logOf(t testing.TB, s *Websocket, path string) (list []told) {
	t.Helper()
	status, body := get(t, s, path)
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 {
		t.Fatalf("%s: %d %s", path, status, body)
	}
	return list
}

func TestLateJoinersReadTheLog(t *testing.T) {
	d := newDevice(t).start()
	s := openWebsocket(t, d)
	serve(t, s)
	d.do(agent.GetUpdateRequests{})
	all := logOf(t, s, "/events")
	if len(all) != 4 || string(all[0].Event) != `"AlreadyAuthenticated"` || string(all[3].Event) != `"NoUpdateRequests"` || all[0].At.IsZero() {
		t.Fatalf("%+v", all)
	}
	last := all[3].Seq
	if all[0].Seq != last-3 || all[2].Seq != last-1 {
		t.Errorf("numbers %d, %d, %d", all[0].Seq, all[1].Seq, last)
	}
	if got := logOf(t, s, fmt.Sprintf("/events?since=%d&limit=1", last-2)); len(got) != 1 || got[0].Seq != last-1 {
		t.Errorf("%v", got)
	}
	if _, got := get(t, s, fmt.Sprintf("/events?since=%d", last)); got != "[]" {
		t.Errorf("nothing is written as %s", got)
	}
	waits := make(chan []told)
	go func() { waits <- logOf(t, s, fmt.Sprintf("/events?since=%d&wait=60", last)) }()
	d.do(agent.GetUpdateRequests{})
	if got := <-waits; len(got) != 1 || got[0].Seq != last+1 {
		t.Errorf("%v", got)
	}
	for path, want := range map[string]int{
		"/": 426, "/events/": 426, "/events?since=-1": 400, "/events?since=": 400, "/events?limit=1001": 400, "/events?wait=61": 400, "/events?wait=0": 200,
	} {
		if status, body := get(t, s, path); status != want || status != 200 && !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	resp, err := http.Post("http://"+s.Addr()+"/events", "", strings.NewReader(`"Shutdown"`))
	if err != nil || resp.StatusCode != 405 {
		t.Error(resp, err)
	}
	resp.Body.Close()
}

func TestOneWhoWaitsForNewsIsLetGo(t *testing.T) {
	d := newDevice(t).start()
	s := openWebsocket(t, d)
	end := serve(t, s)
	last := d.Since(0)[len(d.Since(0))-1].Seq
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /events?since=%d&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n", last)
	end()
	io.Copy(io.Discard, conn)
}
