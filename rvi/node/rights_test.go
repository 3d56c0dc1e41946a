package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func rcv(service, params string) string {
	return fmt.Sprintf(`{"cmd":"rcv","tid":1,"mod":"proto_json_rpc","data":{"service":%q,"timeout":%d,"parameters":%s}}`, service, time.Now().Unix()+60, params)
}

func sa(stat string, names ...string) string {
	b, _ := json.Marshal(map[string]any{"cmd": "sa", "stat": stat, "svcs": names})
	return string(b)
}

// known links a peer with rights of its own to a backend that hosts start and ack.
func known(t *testing.T, l *log, g Grant) (*Node, *peer, *inbox) {
	t.Helper()
	o := serverOptions(l)
	o.Plain = func(string) (Rights, bool) { return Rights{g}, true }
	o.Rights[0].Invoke = append(o.Rights[0].Invoke, backend)
	n := start(t, o)
	box := handle(t, n, "/sota/start")
	handle(t, n, "/sota/ack")
	return n, meet(t, n), box
}

func TestWhatAPeerMayAndMayNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n, p, box := known(t, l, Grant{Receive: []string{"genivi.org/", "example.com/"}, Invoke: []string{backend + "sota/start", backend + "other", vin}})
		refused := func(what, message string) {
			t.Helper()
			p.say(message)
			if got := l.reasons(); !slices.Equal(got, []string{"unauthorized"}) {
				t.Errorf("%s: %q", what, got)
			}
		}
		refused("to announce before au", sa("av", vin+"sota/notify"))
		refused("to send before au", rcv(backend+"sota/start", `1`))
		p.say(hello)
		if got := p.heard(); !strings.Contains(got, `["`+backend+`sota/start"]`) || strings.Contains(got, "sota/ack") {
			t.Errorf("hears %q", got)
		}
		handle(t, n, "/sota/report")
		if got := p.heard(); got != "" {
			t.Errorf("hears later %q", got)
		}
		refused("to announce what we may not invoke", sa("av", "example.com/a/b"))
		refused("to announce what is ours", sa("av", backend+"sota/start"))
		refused("to invoke what it may not", rcv(backend+"sota/ack", `1`))
		refused("to invoke what we may not host", rcv(backend+"other", `1`))
		refused("to have a message passed on", rcv(vin+"sota/notify", `1`))
		if got := n.state().Routes; len(got) > 0 || box.take() != nil {
			t.Errorf("routes %q", got)
		}
		p.say(strings.Replace(rcv(backend+"sota/start", `1`), fmt.Sprint(time.Now().Unix()+60), fmt.Sprint(time.Now().Unix()-1), 1))
		if got := l.reasons(); !slices.Equal(got, []string{"expired"}) || box.take() != nil {
			t.Errorf("expired: %q", got)
		}
	})
}

func TestOneLinkDoesNotTakeBackAnothersNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, serverOptions(&log{}))
		a, b := meet(t, n), meet(t, n)
		a.say(hello + sa("av", vin+"sota/notify", vin+"sota/chunk"))
		b.say(hello + sa("av", "genivi.org/vin/B/sota/notify"))
		b.say(sa("un", vin+"sota/notify"))
		if got := n.state().Routes; len(got) != 3 {
			t.Errorf("%q", got)
		}
		a.say(sa("un", vin+"sota/notify"))
		if got := n.state().Routes; len(got) != 2 {
			t.Errorf("%q", got)
		}
	})
}

func TestOurOwnServiceIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := serverOptions(&log{})
		o.Rights[0].Invoke = append(o.Rights[0].Invoke, backend)
		n := start(t, o)
		send(t, n, backend+"sota/start", `1`)
		send(t, n, backend+"sota/start", `2`)
		box := handle(t, n, "/sota/start")
		send(t, n, backend+"sota/start", `3`)
		synctest.Wait()
		if got := box.take(); !slices.Equal(got, []string{"1", "2", "3"}) || box.from[0].Addr != "" {
			t.Errorf("%q", got)
		}
	})
}

func TestPingsAndTheirAbsence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		silent, lively := meet(t, n), meet(t, n)
		silent.say(hello)
		lively.say(hello)
		silent.heard()
		time.Sleep(11 * time.Minute)
		if got := silent.heard(); got != ping+ping {
			t.Errorf("pinged with %q", got)
		}
		lively.say(ping)
		lively.heard()
		time.Sleep(14 * time.Minute)
		if lively.closed() || strings.Contains(lively.heard(), "au") {
			t.Error("closed too early")
		}
		time.Sleep(2 * time.Minute)
		if !lively.closed() || silent.closed() {
			t.Error("who pinged and stopped is gone; who never did is not")
		}
		if got := l.reasons(); !slices.Equal(got, []string{"timeout"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestWordingForThePeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		handle(t, n, "/sota/ack")
		p := meet(t, n)
		p.say(`{"cmd":"au","creds":[],"max_msg_size":400}` + sa("av", vin+"sota/notify"))
		p.say(strings.Replace(rcv(backend+"sota/ack", `{}`), "json_rpc", "msgpack_rpc", 1))
		p.heard()
		send(t, n, vin+"sota/notify", `"`+strings.Repeat("x", 400)+`"`)
		send(t, n, vin+"sota/notify", `"small"`)
		if got := p.heard(); !strings.Contains(got, `"mod":"proto_msgpack_rpc"`) || !strings.Contains(got, "small") || strings.Contains(got, "xx") {
			t.Errorf("heard %q", got)
		}
		if got := l.reasons(); !slices.Equal(got, []string{"too_large"}) {
			t.Errorf("%q", got)
		}
	})
}

// slow is a peer that reads only when it is told to.
func slow(t *testing.T, n *Node, names ...string) (read func() string, hangUp func()) {
	t.Helper()
	w := newNetwork()
	d := w.listen("n")
	go func() { _ = n.ServeLink(d) }()
	conn, err := w.dial(t.Context(), "", "n")
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	read = func() string {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		got := ""
		for {
			k, err := conn.Read(buf)
			got += string(buf[:k])
			if err != nil {
				return got
			}
		}
	}
	for _, s := range []string{hello, sa("av", names...)} {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		read()
	}
	return read, func() { _ = conn.Close(); synctest.Wait() }
}

func TestMessagesExpireBeforeASlowPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		read, hangUp := slow(t, n, vin+"sota/notify")
		for i, timeout := range []time.Duration{time.Minute, 5 * time.Second, time.Minute} {
			if err := n.Send(t.Context(), vin+"sota/notify", json.RawMessage(fmt.Sprintf(`"message %d"`, i)), timeout); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		time.Sleep(10 * time.Second)
		if got := read(); !strings.Contains(got, "message 0") || strings.Contains(got, "message 1") || !strings.Contains(got, "message 2") {
			t.Errorf("read %q", got)
		}
		if got := l.reasons(); !slices.Equal(got, []string{"expired"}) {
			t.Errorf("%q", got)
		}
		hangUp()
	})
}

func TestOrderIsThatOfSendingAcrossLinks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, serverOptions(&log{}))
		_, hangUp := slow(t, n, vin+"sota/start")
		send(t, n, vin+"sota/start", `"first"`)
		send(t, n, vin+"sota/chunk", `"second"`)
		hangUp()
		p := meet(t, n)
		p.say(hello + sa("av", vin+"sota/chunk", vin+"sota/start"))
		got := p.heard()
		if first, second := strings.Index(got, "first"), strings.Index(got, "second"); first < 0 || second < first {
			t.Errorf("heard %q", got)
		}
	})
}

func TestNewsComesInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := serverOptions(l)
		o.Announced = func(a Announcement) {
			if a.Available {
				time.Sleep(time.Second) // somebody slow
			}
			l.announced(a)
		}
		n := start(t, o)
		p := meet(t, n)
		go func() {
			time.Sleep(time.Millisecond)
			n.mu.Lock()
			for link := range n.links {
				link.kill()
			}
			n.unlock()
		}()
		p.say(hello + sa("av", vin+"sota/notify"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := l.told(); !slices.Equal(got, []string{"+" + vin + "sota/notify", "-" + vin + "sota/notify"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestReconnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := vehicleOptions(l)
		w := newNetwork()
		o.Dial = w.dial
		n := start(t, o)
		begin := time.Now()
		go func() { _ = n.Connect(t.Context(), "s") }()
		time.Sleep(time.Hour)
		synctest.Wait()
		var at []time.Duration
		for _, e := range l.events {
			at = append(at, e.At.Sub(begin))
		}
		for i, low, high := 1, 3750*time.Millisecond, 5*time.Second; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < low || d > high {
				t.Errorf("pause %d is %v", i, d)
			}
			low, high = min(2*low, 225*time.Second), min(2*high, 5*time.Minute)
		}
		if len(at) < 15 || len(at) > 25 {
			t.Errorf("tried %d times in an hour", len(at))
		}
		d := w.listen("s").(*door)
		for i := range 2 { // the second time it comes at once, as it was heard the first
			here := <-d.conns
			if pause := time.Since(begin); i == 1 && pause > 5*time.Second {
				t.Errorf("came back after %v", pause)
			}
			buf := make([]byte, 1000)
			k, _ := here.Read(buf)
			if got := string(buf[:k]); got != hello {
				t.Errorf("opens with %q", got)
			}
			go func() { _, _ = here.Write([]byte(hello)) }()
			k, _ = here.Read(buf)
			if got := string(buf[:k]); got != `{"cmd":"sa","stat":"av","svcs":[]}` {
				t.Errorf("goes on with %q", got)
			}
			begin = time.Now()
			_ = here.Close()
		}
		_ = d.Close()
	})
}

func TestLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		o := serverOptions(l)
		o.Links, o.QueuedBytes, o.BufferBytes = 2, 2000, 2*largeBuffer
		n := start(t, o)
		a, b, c := meet(t, n), meet(t, n), meet(t, n)
		if a.closed() || b.closed() || !c.closed() || !slices.Equal(l.reasons(), []string{"too_many_links"}) {
			t.Error("the number of links")
		}
		a.say(hello + sa("av", vin+"sota/notify") + `{"cmd":"` + strings.Repeat("x", 2000))
		b.say(hello + `{"cmd":"` + strings.Repeat("x", 2000))
		if a.closed() || !b.closed() || !slices.Equal(l.reasons(), []string{"out_of_buffers"}) {
			t.Error("the buffers")
		}
		big := json.RawMessage(`"` + strings.Repeat("x", 700) + `"`)
		for i, name := range []string{"genivi.org/vin/X/a", "genivi.org/vin/Y/a", "genivi.org/vin/Z/a"} {
			if err := n.Send(t.Context(), name, big, time.Minute); (err == nil) != (i < 2) {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if got := l.reasons(); !slices.Equal(got, []string{"queue_full"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestALinksQueueCountsToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := serverOptions(&log{})
		o.QueuedBytes = 2000
		n := start(t, o)
		_, hangUp := slow(t, n, vin+"sota/notify")
		big := json.RawMessage(`"` + strings.Repeat("x", 700) + `"`)
		for i := range 3 {
			if err := n.Send(t.Context(), vin+"sota/notify", big, time.Minute); (err == nil) != (i < 2) {
				t.Errorf("message %d: %v", i, err)
			}
		}
		hangUp()
		if s := n.state(); s.Waiting != 2 || s.Held == 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestThirtyDaysAreTheLongestWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		call(n, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"message","params":{"service_name":"%sx","timeout":%d,"parameters":1}}`, vin, time.Now().Unix()+90*86_400))
		time.Sleep(longestWait - time.Hour)
		if n.state().Waiting != 1 {
			t.Error("gone too early")
		}
		time.Sleep(2 * time.Hour)
		if got := l.reasons(); !slices.Equal(got, []string{"expired"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestTooManyGaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		p := meet(t, n)
		p.say(hello)
		for i := range maxGaps + 1 {
			p.say(fmt.Sprintf(`{"frg":[1,1000,%d,"x"]}`, 2*i+1))
		}
		if got := l.reasons(); !slices.Equal(got, []string{"too_many_fragments"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestAGrantHasABeginningAndAnEnd(t *testing.T) {
	r := Rights{{Receive: []string{"a/b/"}, Invoke: []string{"c/d/"}, Start: time.Unix(10, 0), Stop: time.Unix(20, 0)}}
	for at, want := range map[int64]bool{9: false, 10: true, 20: true, 21: false} {
		now := time.Unix(at, 0)
		if r.MayInvoke("c/d/e", now) != want || r.MayReceive("a/b/c", now) != want || r.MayInvoke("a/b/c", now) || r.MayReceive("c/d/e", now) {
			t.Errorf("at %d", at)
		}
	}
}
