package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// besides checks that a well-behaved vehicle on the same node is served while
// another misbehaves.
func besides(t *testing.T, n *Node, misbehave func()) {
	t.Helper()
	good := meet(t, n)
	good.say(hello + `{"cmd":"sa","stat":"av","svcs":["genivi.org/vin/GOOD/sota/notify"]}`)
	good.heard()
	misbehave()
	send(t, n, "genivi.org/vin/GOOD/sota/notify", `["still here"]`)
	if got := good.heard(); !strings.Contains(got, "still here") {
		t.Errorf("the others hear %q", got)
	}
}

func TestHalfAFrameForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		besides(t, n, func() {
			p := meet(t, n)
			p.say(hello + `{"cmd":"sa","st`)
			for range 11 {
				time.Sleep(5 * time.Second)
				p.say(`a`) // a trickle buys no time
			}
			if p.closed() {
				t.Error("closed too early")
			}
			time.Sleep(6 * time.Second)
			if !p.closed() {
				t.Error("still open after a minute")
			}
		})
		if got := l.reasons(); !slices.Equal(got, []string{"timeout"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestSilentStrangersAreSentAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		var crowd []*peer
		for range maxStrangers + 1 {
			crowd = append(crowd, meet(t, n))
		}
		if !crowd[maxStrangers].closed() || crowd[0].closed() {
			t.Error("the crowd is not bounded")
		}
		time.Sleep(strangerPatience + time.Second)
		if !crowd[0].closed() || n.state().Strangers != 0 {
			t.Errorf("%+v", n.state())
		}
		if got := l.reasons(); got[0] != "too_many_strangers" || got[1] != "timeout" {
			t.Errorf("%q", got[:2])
		}
	})
}

func TestAStringOfAGigabyte(t *testing.T) {
	for name, begin := range map[string]string{"json": `{"cmd":"`, "msgpack": "\x81\xa3cmd\xdb\x40\x00\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &log{}
				n := start(t, serverOptions(l))
				besides(t, n, func() {
					p := meet(t, n)
					p.say(hello)
					p.say(begin)
					said := 0
					for part := strings.Repeat("x", 64<<10); said < 1<<30 && !p.closed(); said += len(part) {
						p.say(part)
					}
					if said > 2<<20 {
						t.Errorf("swallowed %d bytes", said)
					}
				})
				if got := l.reasons(); !slices.Equal(got, []string{"too_large"}) {
					t.Errorf("%q", got)
				}
				if gone := n.lent(); gone != 0 {
					t.Errorf("%d bytes of buffers are missing", gone)
				}
			})
		})
	}
}

func TestTenThousandAnnouncements(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		besides(t, n, func() {
			p := meet(t, n)
			p.say(hello)
			for i := range 100 {
				var names []string
				for j := range 100 {
					names = append(names, fmt.Sprintf("%ssota/x%d", vin, 100*i+j))
				}
				p.say(string(appendSa(nil, true, names)))
			}
			got := 0
			for _, link := range n.Links() {
				got = max(got, len(link.Services))
			}
			if got != maxPeerNames {
				t.Errorf("%d names", got)
			}
		})
		if got := l.reasons(); slices.Compact(got)[0] != "too_many_services" {
			t.Errorf("%q", got)
		}
	})
}

func TestTenThousandRegistrations(t *testing.T) {
	l := &log{}
	o := vehicleOptions(l)
	o.Services = 100
	n := start(t, o)
	for i := range 10_000 {
		call(n, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"register_service","params":{"network_address":"127.0.0.1:%d","service":"/s%d"}}`, 1+i, i))
	}
	if s := n.state(); len(s.Local) != 100 || len(n.couriers) != 100 {
		t.Errorf("%d services, %d addresses", len(s.Local), len(n.couriers))
	}
	// Which of the two limits is met, and told of, depends on how fast that was.
	if got := l.reasons(); !slices.Contains(got, "too_many_services") && !slices.Contains(got, "too_many_changes") {
		t.Errorf("%d events", len(got))
	}
}

func TestAPeerThatStopsReading(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		besides(t, n, func() {
			w := newNetwork()
			d := w.listen("n")
			go func() { _ = n.ServeLink(d) }()
			conn, err := w.dial(t.Context(), "", "n")
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 4096)
			say := func(s string) {
				if _, err := conn.Write([]byte(s)); err != nil {
					t.Fatal(err)
				}
			}
			say(hello)
			_, _ = conn.Read(buf)
			_, _ = conn.Read(buf)
			say(`{"cmd":"sa","stat":"av","svcs":["` + vin + `sota/chunk"]}`)
			_, _ = conn.Read(buf)
			synctest.Wait()
			chunk := json.RawMessage(`"` + strings.Repeat("A", 87<<10) + `"`)
			sent := 0
			for err == nil && sent < 1000 {
				err = n.Send(t.Context(), vin+"sota/chunk", chunk, time.Hour)
				sent++
			}
			if sent < 5 || sent > 13 {
				t.Errorf("took %d chunks", sent)
			}
			time.Sleep(writePatience + time.Second)
			synctest.Wait()
			if s := n.state(); s.Links != 1 || s.Waiting != sent-1 {
				t.Errorf("%+v", s)
			}
			_ = conn.Close()
		})
		if got := l.reasons(); !slices.Equal(got, []string{"queue_full", "stalled"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestFragmentsAskedForButNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		w := newNetwork()
		go func() { _ = n.ServeLink(w.listen("n")) }()
		synctest.Wait()
		conn, err := w.dial(t.Context(), "", "n")
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; err == nil && i < 10_000; i++ {
			_, err = conn.Write([]byte(hello + `{"frg":[` + fmt.Sprint(i) + `,14,1,"{"]}`))
			synctest.Wait()
		}
		if err == nil {
			t.Error("never cut off")
		}
		if got := l.reasons(); !slices.Contains(got, "stalled") {
			t.Errorf("%q", got[:1])
		}
		if gone := n.lent(); gone != 0 {
			t.Errorf("%d bytes of buffers are missing", gone)
		}
		_ = conn.Close()
	})
}

func TestAFloodOfNonsenseFillsNoLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		besides(t, n, func() {
			p := meet(t, n)
			p.say(hello + strings.Repeat(`{"cmd":"nonsense"}`, 10_000))
			_ = p.conn.Close()
			synctest.Wait()
		})
		if got := l.reasons(); len(got) != complaints+1 || got[complaints] != "discarded" {
			t.Errorf("%d events", len(got))
		}
	})
}

func TestOnlyWhatWasHereIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		p := meet(t, n)
		p.say(hello + `{"cmd":"sa","stat":"av","svcs":["` + vin + `sota/notify"]}`)
		p.say(fmt.Sprintf(`{"cmd":"rcv","tid":1,"mod":"proto_json_rpc","data":{"service":"%ssota/ack","timeout":60000,"parameters":[{}]}}`, backend))
		if got := l.reasons(); !slices.Equal(got, []string{"unknown_service"}) || n.state().Waiting != 0 {
			t.Errorf("%q, %+v", got, n.state())
		}
	})
}

// One vehicle's messages leave room for those of others in the queue of a
// program that does not take them; its own wait for room, for a while.
func TestOneVehicleDoesNotFillAProgramsQueue(t *testing.T) {
	const many = 100
	for name, away := range map[string]time.Duration{"soon back": time.Second, "gone": time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &log{}
				o := serverOptions(l)
				w := newNetwork()
				o.Dial = w.dial
				n := start(t, o)
				register(t, n, "/sota/ack", "127.0.0.1:9")
				talk := func(name string, times int) {
					p := meet(t, n)
					p.say(hello + sa("av", "genivi.org/vin/"+name+"/sota/notify"))
					_ = p.conn.SetWriteDeadline(time.Time{})
					go func() {
						for i := range times {
							_, _ = io.WriteString(p.conn, strings.Replace(rcv(backend+"sota/ack", fmt.Sprintf(`["%s %d"]`, name, i)), fmt.Sprint(time.Now().Unix()+60), "80000000", 1))
						}
					}()
					synctest.Wait()
				}
				talk("LOUD", many)
				talk("MEEK", 1)
				time.Sleep(away)
				program := run(t, w, "127.0.0.1:9")
				if name == "soon back" {
					time.Sleep(2 * time.Second) // less than the vehicle waits for room
				} else {
					time.Sleep(lastPause)
				}
				got := slices.DeleteFunc(program.take(), func(s string) bool { return !strings.HasPrefix(s, "/ message") })
				refused := len(slices.DeleteFunc(l.reasons(), func(s string) bool { return s != "queue_full" }))
				if !slices.Contains(got, `/ message /sota/ack ["MEEK 0"]`) || got[1] != `/ message /sota/ack ["LOUD 1"]` || slices.Index(got, `/ message /sota/ack ["MEEK 0"]`) > 70 {
					t.Errorf("%d: %q", len(got), got)
				}
				if name == "soon back" && (len(got) != many+1 || refused != 0) || name == "gone" && (len(got) >= many || refused == 0) {
					t.Errorf("%d taken, %d refused", len(got), refused)
				}
			})
		})
	}
}

func FuzzLink(f *testing.F) {
	files, err := filepath.Glob("testdata/*valid/dlink-*")
	if err != nil || len(files) == 0 {
		f.Fatal("no vectors", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		if checkJSON(b) == nil {
			f.Add(toMsgpack(nil, b))
		}
	}
	o := serverOptions(&log{})
	o.Audit, o.Announced, o.MessageBytes = func(Event) {}, nil, 4096
	o.Now = func() time.Time { return vectorTime }
	f.Fuzz(func(t *testing.T, b []byte) {
		n := start(t, o)
		handle(t, n, "/sota/ack")
		here, there := net.Pipe()
		ended := make(chan struct{})
		go func() { defer close(ended); n.plain(n.ctx, there, false) }()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		_ = here.SetWriteDeadline(time.Now().Add(5 * time.Second))
		for _, part := range [][]byte{[]byte(hello), b} {
			if _, err := here.Write(part); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				t.Fatalf("%q: %v", b, err)
			}
		}
		_ = here.Close()
		<-ended
		if n.lent() != 0 || n.state().Links != 0 || n.state().Strangers != 0 {
			t.Fatalf("%q leaves something behind: %+v", b, n.state())
		}
		for _, name := range n.state().Routes {
			t.Fatalf("%q leaves %q", b, name)
		}
	})
}
