package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A window of chunks waits as functions, and is made when it goes out.
func TestMessagesThatAreMadeLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		chunk, made := handle(t, p.vehicle, "/sota/chunk"), 0
		for i := range 100 {
			err := p.server.SendFunc(t.Context(), vin+"sota/chunk", func(b []byte) ([]byte, error) {
				made++
				switch i {
				case 3:
					return nil, errors.New("the file is gone")
				case 4:
					return append(b, "{"...), nil
				case 5:
					return b, nil // not needed any more
				}
				return fmt.Appendf(b, "[%d,%q]", i, strings.Repeat("A", 87<<10)), nil
			}, time.Minute)
			if err != nil {
				t.Fatal(i, err)
			}
		}
		if held := p.server.state().Held; made != 0 || held > 100<<10 {
			t.Errorf("%d made, %d bytes held before there is a link", made, held)
		}
		p.link(t)
		synctest.Wait()
		got := chunk.take()
		if len(got) != 97 || !strings.HasPrefix(got[0], "[0,") || !strings.HasPrefix(got[3], "[6,") || made != 100 {
			t.Errorf("got %d, made %d", len(got), made)
		}
		if got := p.sLog.reasons(); !slices.Equal(got, []string{"not_made", "not_made"}) {
			t.Errorf("%q", got)
		}
	})
}

// Who returns bytes of his own instead of appending keeps them as they are.
func TestMadeElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		chunk, own := handle(t, p.vehicle, "/sota/chunk"), []byte(`["mine"]`)
		p.link(t)
		for i := range 4 {
			err := p.server.SendFunc(t.Context(), vin+"sota/chunk", func(b []byte) ([]byte, error) {
				if i%2 == 0 {
					return own, nil
				}
				return append(b, `["another"]`...), nil
			}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := chunk.take(); !slices.Equal(got, []string{`["mine"]`, `["another"]`, `["mine"]`, `["another"]`}) {
			t.Errorf("%q", got)
		}
	})
}

func TestAMessageToOurselvesMadeLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := serverOptions(&log{})
		o.Rights[0].Invoke = append(o.Rights[0].Invoke, backend)
		n := start(t, o)
		box := handle(t, n, "/sota/start")
		if err := n.SendFunc(t.Context(), backend+"sota/start", func(b []byte) ([]byte, error) { return append(b, "[1]"...), nil }, time.Minute); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := box.take(); !slices.Equal(got, []string{"[1]"}) {
			t.Errorf("%q", got)
		}
	})
}

// A vehicle whose clock is wrong, fast or slow, is talked with all the same.
func TestAVehicleThatDoesNotKnowTheTime(t *testing.T) {
	for _, wrong := range []time.Duration{time.Hour, -time.Hour, -20 * 365 * 24 * time.Hour} {
		bubble(t, func(t *testing.T) {
			p := &pair{net: newNetwork(), sLog: &log{}, vLog: &log{}}
			p.server = start(t, serverOptions(p.sLog))
			o := vehicleOptions(p.vLog)
			o.Dial, o.ClockUnsure = p.net.dial, true
			o.Now = func() time.Time { return time.Now().Add(wrong) }
			p.vehicle = start(t, o)
			ack, chunk := handle(t, p.server, "/sota/ack"), handle(t, p.vehicle, "/sota/chunk")
			p.link(t)
			for _, send := range []error{
				p.server.Send(t.Context(), vin+"sota/chunk", json.RawMessage(`1`), 5*time.Minute),
				p.vehicle.Send(t.Context(), backend+"sota/ack", json.RawMessage(`2`), 90*time.Second),
			} {
				if send != nil {
					t.Fatal(send)
				}
			}
			synctest.Wait()
			if down, up := chunk.take(), ack.take(); !slices.Equal(down, []string{"1"}) || !slices.Equal(up, []string{"2"}) {
				t.Errorf("%v: down %q, up %q, %q %q", wrong, down, up, p.sLog.reasons(), p.vLog.reasons())
			}
		})
	}
}

// A vehicle that boots without the time has a node all the same: it is linked
// once it knows the time.
func TestAVehicleBootsBeforeItsCredentials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, w := newAuthority(t, 0), newNetwork()
		s := start(t, Options{Prefix: backend, Identity: a.identity(t, backendGrant), Audit: (&log{}).audit})
		ack := handle(t, s, "/sota/ack")
		var wrong atomic.Int64
		wrong.Store(-int64(10 * 365 * 24 * time.Hour))
		v := start(t, Options{Prefix: vin, Identity: a.identity(t, vehicleGrant), Audit: (&log{}).audit, Dial: w.dial, ClockUnsure: true,
			Now: func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }})
		notify := handle(t, v, "/sota/notify")
		door := w.listen("s")
		go func() { _ = s.ServeTLS(door) }()
		go func() { _ = v.ConnectTLS(t.Context(), "s") }()
		time.Sleep(time.Minute)
		wrong.Store(int64(10 * time.Minute))
		time.Sleep(5 * time.Minute)
		send(t, s, vin+"sota/notify", `1`)
		send(t, v, backend+"sota/ack", `2`)
		synctest.Wait()
		if got := append(notify.take(), ack.take()...); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("%q", got)
		}
	})
}
