package operator_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator"
	"github.com/updraft-ota/updraft/ota"
)

// Where a package's bytes are is a URL of the listener that was asked, under
// the name the server was given.
func TestURLsBearTheServersName(t *testing.T) {
	w := start(t)
	_, err := w.fleet.PutPackage(t.Context(), ota.DefaultNamespace, fleet.NewPackage{ID: ota.PackageID{Name: "a?", Version: "1"}}, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/packages/a%3F/1/file"
	for _, tt := range []struct {
		host string
		port int
		tls  bool
		want string
	}{
		{"", 8080, false, path},
		{"", 8443, true, path},
		{"ota.example", 8080, false, "http://ota.example:8080" + path},
		{"ota.example", 8443, true, "https://ota.example:8443" + path},
		{"ota.example", 80, false, "http://ota.example" + path},
		{"ota.example", 443, true, "https://ota.example" + path},
		{"ota.example", 443, false, "http://ota.example:443" + path},
		{"ota.example:1234", 8080, false, "http://ota.example:1234" + path},
		{"ota.example:1234", 8443, true, "https://ota.example:1234" + path},
		{"::1", 8080, false, "http://[::1]:8080" + path},
		{"[::1]", 80, false, "http://[::1]" + path},
		{"[::1]:1234", 80, false, "http://[::1]:1234" + path},
		{"192.0.2.1", 8080, false, "http://192.0.2.1:8080" + path},
	} {
		api := operator.New(operator.Options{Fleet: w.fleet, Who: httpapi.NoAuth, Host: tt.host, Version: "1", Log: slog.New(slog.DiscardHandler)})
		ask := func(path string, into any) {
			at := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tt.port})
			r := httptest.NewRequestWithContext(at, "GET", path, nil)
			r.Host = "elsewhere"
			if tt.tls {
				r.TLS = new(tls.ConnectionState)
			}
			answer := httptest.NewRecorder()
			api.ServeHTTP(answer, r)
			if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil {
				t.Fatalf("%s: %v", answer.Body, err)
			}
		}
		var one operator.Package
		var all []operator.Package
		ask("/api/v1/packages/a%3F/1", &one)
		ask("/api/v1/packages", &all)
		if one.URI.URI != tt.want || len(all) != 1 || all[0].URI != one.URI {
			t.Errorf("%+v: %q and %+v", tt, one.URI.URI, all)
		}
	}
}
