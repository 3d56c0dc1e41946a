package token

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

type nobody struct{ Accounts }

func (nobody) Authenticate(context.Context, string, string) (ota.Credential, error) {
	return ota.Credential{}, ota.Fail(ota.KindUnauthenticated, "invalid_client", "unknown")
}

// What a stranger calls himself may be 60 kB long, and another each time.
func TestNamesOfStrangersAreNotRemembered(t *testing.T) {
	e := &endpoint{issuer: &Issuer{Accounts: nobody{}, Now: time.Now}, log: slog.New(slog.DiscardHandler)}
	for _, name := range []string{"stranger", "another", "and another"} {
		r := httptest.NewRequest("POST", "/token", strings.NewReader("grant_type=client_credentials"))
		r.SetBasicAuth(name, "x")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		e.ServeHTTP(httptest.NewRecorder(), r)
	}
	if n := len(e.clients.young) + len(e.clients.old); n != 0 {
		t.Errorf("%d names are remembered", n)
	}
	if len(e.addresses.young) != 1 {
		t.Errorf("%d addresses are remembered, want the one", len(e.addresses.young))
	}
}
