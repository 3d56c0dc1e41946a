package node

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARegistrationOutlivesTheNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, l := newNetwork(), &log{}
		kept, broken := map[string]string{}, error(nil)
		o := vehicleOptions(l)
		o.Dial = w.dial
		o.Keep = func(addresses map[string]string) error {
			if broken == nil {
				kept = addresses
			}
			return broken
		}
		first := start(t, o)
		register(t, first, "/sota/notify", "127.0.0.1:9")
		register(t, first, "/sota/start", "127.0.0.1:9")
		call(first, `{"jsonrpc":"2.0","id":1,"method":"unregister_service","params":{"service":"`+vin+`sota/start"}}`)
		want := map[string]string{vin + "sota/notify": "http://127.0.0.1:9/"}
		if d := cmp.Diff(want, kept); d != "" {
			t.Error(d)
		}
		broken = errors.New("no space left on device")
		if got := register(t, first, "/sota/chunk", "127.0.0.1:9"); !strings.Contains(got, `-32603`) || strings.Contains(got, "space") {
			t.Error(got)
		}
		if d := cmp.Diff([]string{vin + "sota/notify"}, first.state().Local); d != "" {
			t.Error(d)
		}
		_ = first.Close()

		o.Addresses = map[string]string{vin + "sota/notify": "http://127.0.0.1:9/", vin + "sota/x": "file:///etc/passwd", "genivi.org/vin/OTHER/y": "127.0.0.1:9"}
		l.reasons()
		second := start(t, o)
		if d := cmp.Diff([]string{vin + "sota/notify"}, second.state().Local); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"not_restored", "not_restored"}, l.reasons()); d != "" {
			t.Error(d)
		}
	})
}
