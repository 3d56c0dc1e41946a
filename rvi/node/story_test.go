package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/updraft-ota/updraft/ota"
)

func bubble(t *testing.T, f func(*testing.T)) { t.Helper(); synctest.Test(t, f) }

// pair is a server and a vehicle's node, on a network of their own.
type pair struct {
	net             *network
	server, vehicle *Node
	sLog, vLog      *log
	cut             func() // ends the links there are
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{net: newNetwork(), sLog: &log{}, vLog: &log{}}
	p.server = start(t, serverOptions(p.sLog))
	o := vehicleOptions(p.vLog)
	o.Dial = p.net.dial
	p.vehicle = start(t, o)
	p.cut = func() {
		p.server.mu.Lock()
		for l := range p.server.links {
			_ = l.raw.Close()
		}
		p.server.unlock()
		synctest.Wait()
	}
	return p
}

func (p *pair) link(t *testing.T) {
	t.Helper()
	go p.serve(t, p.net.listen("server:8807"))
	go func() {
		if err := p.vehicle.Connect(t.Context(), "server:8807"); err != nil {
			t.Error(err)
		}
	}()
	synctest.Wait()
}

func (p *pair) serve(t *testing.T, l interface{ Close() error }) {
	if err := p.server.ServeLink(l.(*door)); err != nil {
		t.Error(err)
	}
}

func TestNotifyGoesDownAndStartComesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		start := handle(t, p.server, "/sota/start")
		notify := handle(t, p.vehicle, "sota/notify")
		p.link(t)
		if got := p.sLog.told(); !slices.Equal(got, []string{"+" + vin + "sota/notify"}) {
			t.Errorf("the server hears of %q", got)
		}
		if got := p.vLog.told(); !slices.Equal(got, []string{"+" + backend + "sota/start"}) {
			t.Errorf("the vehicle hears of %q", got)
		}
		send(t, p.server, vin+"sota/notify", `[{"packages":[]}]`)
		send(t, p.vehicle, backend+"sota/start", `[{"vin":"x"}]`)
		synctest.Wait()
		if got := notify.take(); !slices.Equal(got, []string{`[{"packages":[]}]`}) {
			t.Errorf("notified of %q", got)
		}
		if got := start.take(); !slices.Equal(got, []string{`[{"vin":"x"}]`}) {
			t.Errorf("started with %q", got)
		}
		if from := start.from[0]; from.Prefix != vin || !from.Rights.MayReceive(vin+"sota/chunk", time.Now()) {
			t.Errorf("from %+v", from)
		}
		links := p.server.Links()
		if len(links) != 1 || links[0].Peer.Prefix != vin || links[0].Sent != 1 || links[0].Received != 1 || links[0].Queued != 0 {
			t.Errorf("%+v", links)
		}
		if got := append(p.sLog.reasons(), p.vLog.reasons()...); len(got) > 0 {
			t.Errorf("complained of %q", got)
		}
	})
}

func TestMessagesWaitForTheirNodeAndKeepTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		chunk := handle(t, p.vehicle, "/sota/chunk")
		var want []string
		for i := range 5 {
			want = append(want, fmt.Sprint(i))
			send(t, p.server, vin+"sota/chunk", want[i])
		}
		p.link(t)
		if got := chunk.take(); !slices.Equal(got, want) {
			t.Fatalf("first got %q", got)
		}
		p.cut()
		for i := range 5 {
			want[i] = fmt.Sprint("1", i)
			send(t, p.server, vin+"sota/chunk", want[i])
		}
		if got := chunk.take(); got != nil {
			t.Fatalf("got %q without a link", got)
		}
		time.Sleep(5 * time.Second) // in the bubble: until the vehicle is back
		synctest.Wait()
		if got := chunk.take(); !slices.Equal(got, want) {
			t.Fatalf("then got %q", got)
		}
		if got := p.sLog.told(); strings.Count(strings.Join(got, " "), "-") != 1 {
			t.Errorf("announced %q", got)
		}
	})
}

func TestNobodyComesInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		send(t, n, vin+"sota/notify", `1`)
		if err := n.Send(t.Context(), vin+"sota/start", json.RawMessage(`2`), time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if got := l.reasons(); len(got) > 0 || n.state().Waiting != 2 {
			t.Fatalf("%q, %+v", got, n.state())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := l.reasons(); !slices.Equal(got, []string{"expired"}) || n.state().Waiting != 1 {
			t.Fatalf("%q, %+v", got, n.state())
		}
		_ = n.Close()
		if got := l.reasons(); !slices.Equal(got, []string{"closed"}) || n.state().Held != 0 {
			t.Fatalf("%q, %+v", got, n.state())
		}
	})
}

func TestAQueueIsFullForOnePeerAlone(t *testing.T) {
	l := &log{}
	o := serverOptions(l)
	o.QueueMessages = 3
	n := start(t, o)
	for range 3 {
		send(t, n, vin+"sota/chunk", `[]`)
	}
	err := n.Send(t.Context(), vin+"sota/notify", json.RawMessage(`[]`), time.Minute)
	if ota.KindOf(err) != ota.KindTooMany || ota.CodeOf(err) != "queue_full" {
		t.Errorf("the fourth: %v", err)
	}
	send(t, n, "genivi.org/vin/OTHER/sota/notify", `[]`)
	if got := l.reasons(); !slices.Equal(got, []string{"queue_full"}) {
		t.Errorf("%q", got)
	}
}

func TestWhatMayNotBeSent(t *testing.T) {
	l := &log{}
	n := start(t, serverOptions(l))
	for _, c := range []struct {
		service, params string
		timeout         time.Duration
		kind            ota.Kind
	}{
		{"example.com/x", `1`, time.Minute, ota.KindForbidden},
		{vin + "sota//notify", `1`, time.Minute, ota.KindInvalid},
		{vin + "sota/notify", `{`, time.Minute, ota.KindInvalid},
		{vin + "sota/notify", `1`, 0, ota.KindInvalid},
		{vin + "sota/notify", `1`, 31 * 24 * time.Hour, ota.KindInvalid},
		{vin + "sota/notify", `"` + strings.Repeat("x", 1<<20) + `"`, time.Minute, ota.KindTooLarge},
	} {
		if err := n.Send(t.Context(), c.service, json.RawMessage(c.params), c.timeout); ota.KindOf(err) != c.kind {
			t.Errorf("%s %.20s %v: %v", c.service, c.params, c.timeout, err)
		}
	}
	if _, err := n.Handle("/other", nil); ota.KindOf(err) != ota.KindForbidden {
		t.Errorf("hosted %v", err)
	}
	if s := n.state(); s.Waiting > 0 || len(s.Local) > 0 {
		t.Errorf("%+v", s)
	}
}

func TestANewerLinkReplacesTheOlder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		sa := `{"cmd":"sa","stat":"av","svcs":["` + vin + `sota/notify"]}`
		first := meet(t, n)
		first.say(hello + sa)
		second := meet(t, n)
		second.say(hello)
		if first.closed() {
			t.Error("replaced before the newer one said who it is")
		}
		second.say(sa)
		if !first.closed() || second.closed() || len(n.Links()) != 1 {
			t.Errorf("%+v", n.Links())
		}
		send(t, n, vin+"sota/notify", `[7]`)
		if got := second.heard(); !strings.Contains(got, `[7]`) {
			t.Errorf("heard %q", got)
		}
		if got := l.reasons(); !slices.Equal(got, []string{"replaced"}) {
			t.Errorf("%q", got)
		}
	})
}

// The set-up of rvi.md 3.3, from the recorded session, with the server as B.
func TestRecordedSetUp(t *testing.T) {
	type step struct {
		From    string
		Message json.RawMessage
	}
	session := readJSON[struct{ Steps []step }](t, "sessions/dlink-setup.json")
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := serverOptions(l)
		o.Now = func() time.Time { return vectorTime }
		n := start(t, o)
		boxes := map[string]*inbox{}
		for _, s := range []string{"start", "ack", "report", "packages"} {
			boxes[s] = handle(t, n, "/sota/"+s)
		}
		p := meet(t, n)
		for _, s := range session.Steps {
			if s.From == "A" {
				p.say(string(s.Message))
			}
		}
		if got := boxes["start"].take(); len(got) != 1 {
			t.Errorf("start came %d times", len(got))
		}
		want := []string{}
		for _, s := range []string{"ack", "packages", "report", "start"} {
			want = append(want, backend+"sota/"+s)
		}
		heard := p.heard()
		var last struct{ Svcs []string }
		_ = json.Unmarshal([]byte(heard[strings.LastIndex(heard, `{"cmd"`):]), &last)
		if d := cmp.Diff(want, last.Svcs); d != "" {
			t.Errorf("announced %s", d)
		}
		if got := n.Links()[0].Services; len(got) != 5 || slices.Contains(got, vin+"sota/notify") {
			t.Errorf("knows %q", got)
		}
	})
}

func TestPlainLinksAreRefusedUnlessAllowed(t *testing.T) {
	o := serverOptions(&log{})
	o.Plain = nil
	n := start(t, o)
	if err := n.ServeLink(newNetwork().listen("x")); ota.KindOf(err) != ota.KindForbidden {
		t.Error(err)
	}
	if err := n.Connect(t.Context(), "x"); ota.KindOf(err) != ota.KindForbidden {
		t.Error(err)
	}
}

func TestOnAPlainLinkTheFirstNameDecides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		ack := handle(t, n, "/sota/ack")
		p := meet(t, n)
		rcv := `{"cmd":"rcv","tid":1,"mod":"proto_json_rpc","data":{"service":"` + backend + `sota/ack","timeout":` +
			fmt.Sprint(time.Now().Unix()+60) + `,"parameters":[1]}}`
		p.say(hello)
		if got := p.heard(); !strings.HasSuffix(got, `{"cmd":"sa","stat":"av","svcs":[]}`) {
			t.Errorf("a stranger hears %q", got)
		}
		p.say(rcv)
		if got := l.reasons(); !slices.Equal(got, []string{"unauthorized"}) || ack.take() != nil {
			t.Errorf("before its name: %q", got)
		}
		p.say(`{"cmd":"sa","stat":"av","svcs":["` + vin + `sota/notify","genivi.org/vin/OTHER/sota/notify"]}`)
		if got := l.reasons(); !slices.Equal(got, []string{"unauthorized"}) {
			t.Errorf("a second vehicle: %q", got)
		}
		if got := p.heard(); !strings.Contains(got, backend+"sota/ack") {
			t.Errorf("then hears %q", got)
		}
		p.say(rcv)
		if got := ack.take(); len(got) != 1 {
			t.Errorf("acks %q", got)
		}
	})
}
