package operator_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator"
	"github.com/updraft-ota/updraft/ota"
)

func TestEveryAnswerTellsVersionAndTrace(t *testing.T) {
	w := start(t)
	fresh := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, tt := range []struct {
		path, trace string
		status      int
		want        string // "": a fresh one
	}{
		{"/api/v1/devices", "", 200, ""},
		{"/api/v1/devices", none, 200, none},
		{"/api/v1/devices", strings.ToUpper("abcdefab-9999-4999-8999-999999999999"), 200, "abcdefab-9999-4999-8999-999999999999"},
		{"/api/v1/devices", "not a uuid", 200, ""},
		{"/api/v1/devices", none + "0", 200, ""},
		{"/api/v1/devices", strings.Repeat("9", 5000), 200, ""},
		{"/api/v1/devices/" + none, none, 404, none},
		{"/api/v1/devices?limit=x", none, 400, none},
		{"/api/v1/nothing", none, 404, none},
		{"/api/v1/openapi.json", none, 200, none},
	} {
		a := w.ask("GET", tt.path, "", tt.status, "x-ats-traceid", tt.trace)
		if got := a.Header.Get("x-ats-version"); got != "updraft/1.2" {
			t.Errorf("%s: version %q", tt.path, got)
		}
		got := a.Header.Get("x-ats-traceid")
		if tt.want == "" && !fresh.MatchString(got) || tt.want != "" && got != tt.want {
			t.Errorf("%s with trace %.40q: %q", tt.path, tt.trace, got)
		}
	}
	w.auth = ""
	if got := w.ask("GET", "/api/v1/devices", "", 401).Header.Get("x-ats-version"); got == "" {
		t.Error("a refusal tells no version")
	}
}

// broken is a store that is.
type broken struct{ ota.Store }

func (broken) Read(context.Context, func(ota.ReadTx) error) error {
	return errors.New("disk on fire")
}

func TestTheLogKnowsTheTrace(t *testing.T) {
	var log bytes.Buffer
	api := operator.New(operator.Options{Fleet: fleet.New(fleet.Options{Store: broken{}}), Who: httpapi.NoAuth, Version: "1", Log: slog.New(slog.NewTextHandler(&log, nil))})
	r := httptest.NewRequest("GET", "/api/v1/devices", nil)
	r.Header.Set("x-ats-traceid", none)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if w.Code != 500 || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "trace="+none) || !strings.Contains(log.String(), "disk on fire") {
		t.Errorf("log: %s", &log)
	}
}

func TestNamespaceNames(t *testing.T) {
	w := start(t)
	for ns, status := range map[string]int{
		"acme":                   200,
		"Acme Ltd / Köln":        200,
		strings.Repeat("n", 200): 200,
		strings.Repeat("n", 201): 400,
		"a\tb":                   400,
		"\xff":                   400,
		"":                       400,
	} {
		a := w.ask("GET", "/api/v1/devices", "", status, "x-ats-namespace", ns)
		if status == 400 && into[httpapi.Problem](t, a).Code != "invalid_entity" {
			t.Errorf("%q: %s", ns, a.text)
		}
	}
	twice := w.dial("GET /api/v1/devices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nx-ats-namespace: a\r\nx-ats-namespace: b\r\nConnection: close\r\n\r\n")
	w.hangsUp(twice, 400, "invalid_entity")
}
