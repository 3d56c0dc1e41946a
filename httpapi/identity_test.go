package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

func TestWhoMaySpeakOfWhichNamespace(t *testing.T) {
	device := httpapi.Identity{Role: httpapi.Device, Device: deviceID, Namespace: "acme"}
	operator, anyone := httpapi.Identity{Role: httpapi.Operator}, httpapi.Identity{Role: httpapi.Anyone}
	const refused = ota.Namespace("")
	for _, tt := range []struct {
		who    httpapi.Identity
		header []string
		want   ota.Namespace
		kind   ota.Kind
	}{
		{device, nil, "acme", 0},
		{device, []string{"acme"}, "acme", 0},
		{device, []string{"default"}, refused, ota.KindForbidden},
		{device, []string{""}, refused, ota.KindForbidden},
		{operator, nil, ota.DefaultNamespace, 0},
		{operator, []string{"acme"}, "acme", 0},
		{anyone, []string{"acme"}, "acme", 0},
		{operator, []string{""}, refused, ota.KindInvalid},
		{operator, []string{"a\tb"}, refused, ota.KindInvalid},
		{operator, []string{"acme", "acme"}, refused, ota.KindInvalid},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		for _, h := range tt.header {
			r.Header.Add("x-ats-namespace", h)
		}
		ns, err := tt.who.Within(r)
		if tt.want == refused && ota.KindOf(err) != tt.kind || tt.want != refused && (ns != tt.want || err != nil) {
			t.Errorf("%+v %q: %q, %v", tt.who, tt.header, ns, err)
		}
	}
}

// A device that is refused gets to know at once, and its connection is not
// kept for a body that may never come.
func TestARefusedBodyIsNotWaitedFor(t *testing.T) {
	nobody := func(*http.Request) (httpapi.Identity, error) {
		return httpapi.Identity{}, ota.Fail(ota.KindUnauthenticated, "not_authenticated", "no")
	}
	srv := httptest.NewServer(httpapi.DeviceAPI(httpapi.OpenFor(nobody, nil), slog.New(slog.DiscardHandler)))
	t.Cleanup(srv.Close)
	for path, status := range map[string]int{base + "/installed": 401, "/api/v1/mydevice/x/installed": 400} {
		t.Run(path, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // so that a test that fails ends
			fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[", path)
			r := bufio.NewReader(conn)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if _, err := r.ReadByte(); resp.StatusCode != status || !resp.Close || err != io.EOF {
				t.Errorf("%s, closing: %v, then %v", resp.Status, resp.Close, err)
			}
		})
	}
}
