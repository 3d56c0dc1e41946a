package httpapi_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// secure serves h over TLS and returns a configuration that trusts it.
func secure(t *testing.T, h http.HandlerFunc) (*httptest.Server, httpapi.Config) {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv, httpapi.Config{Server: srv.URL, CAFile: bundle}
}

func TestCertificatesAreJudgedAtTheTimeGiven(t *testing.T) {
	srv, cfg := secure(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") })
	cert := srv.Certificate()
	for at, good := range map[time.Time]bool{
		cert.NotBefore.Add(-time.Second): false, cert.NotBefore: true, cert.NotAfter: true, cert.NotAfter.Add(time.Second): false,
	} {
		cfg.CertTime = func() time.Time { return at }
		_, err := client(t, cfg).Pending(t.Context())
		if good && err != nil || !good && ota.KindOf(err) != ota.KindUnreachable {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

// Only a server that has proved who it is, and has taken our token, tells the
// time.
func TestWhoTellsTheTime(t *testing.T) {
	date := time.Date(2031, 5, 4, 3, 2, 1, 0, time.UTC)
	status, token := http.StatusOK, http.StatusOK
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.Format(http.TimeFormat))
		switch {
		case r.URL.Path == "/token":
			w.WriteHeader(token)
			fmt.Fprint(w, `{"access_token":"t"}`)
		case r.URL.Path == "/elsewhere":
			fmt.Fprint(w, "[]")
		default:
			w.WriteHeader(status)
			fmt.Fprint(w, "[]")
		}
	}
	var told []time.Time
	expect := func(what string, want ...time.Time) {
		t.Helper()
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		told = nil
	}
	hear := func(at time.Time) { told = append(told, at) }

	plain := client(t, httpapi.Config{Server: answer(t, h).URL, Told: hear})
	if _, err := plain.Pending(t.Context()); err != nil {
		t.Error(err)
	}
	expect("over plain HTTP")

	_, cfg := secure(t, h)
	cfg.Told = hear
	if _, err := client(t, cfg).Pending(t.Context()); err != nil {
		t.Error(err)
	}
	expect("over TLS", date)

	cfg.Auth = cfg.Server
	c := client(t, cfg)
	if err := c.Authenticate(t.Context(), "id", "secret"); err != nil {
		t.Error(err)
	}
	expect("giving a token")
	if _, err := c.Pending(t.Context()); err != nil {
		t.Error(err)
	}
	expect("taking a token", date)
	status = http.StatusUnauthorized
	if _, err := c.Pending(t.Context()); ota.KindOf(err) != ota.KindUnauthenticated {
		t.Error(err)
	}
	expect("refusing a token")

	_, cfg = secure(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.Format(http.TimeFormat))
		http.Redirect(w, r, answer(t, h).URL+"/elsewhere", http.StatusFound)
	})
	cfg.Told = hear
	if _, err := client(t, cfg).Pending(t.Context()); err != nil {
		t.Error(err)
	}
	expect("elsewhere")
}
