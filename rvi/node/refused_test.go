package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A link to a door that wants TLS, or none, ends without a word.
func TestAPeerThatHangsUpIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, w := &log{}, newNetwork()
		o := vehicleOptions(l)
		o.Dial = w.dial
		n := start(t, o)
		door := w.listen("server:8810")
		go func() {
			for {
				conn, err := door.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = conn.Read(make([]byte, 1000))
					_ = conn.Close()
				}()
			}
		}()
		go func() { _ = n.Connect(t.Context(), "server:8810") }()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := l.reasons(); !slices.Equal(got, []string{"refused"}) {
			t.Errorf("%q", got)
		}
		_ = door.Close()
	})
}
