package token_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/token"
	"github.com/updraft-ota/updraft/ota"
)

const car = ota.DeviceID("0b9c1f3e-58a4-4d15-9d0f-8a7d8e0f1a2b")

// accounts is one device's credential, or none.
type accounts struct {
	current ota.Credential
	lookups int
	during  func() // what happens while a credential is looked up
}

func (a *accounts) set(clientID, secret string) {
	a.current = ota.Credential{ClientID: clientID, Device: car, Namespace: "acme", SecretHash: sha256.Sum256([]byte(secret))}
}

func (a *accounts) Authenticate(_ context.Context, clientID, secret string) (ota.Credential, error) {
	if clientID != a.current.ClientID || sha256.Sum256([]byte(secret)) != a.current.SecretHash {
		return ota.Credential{}, ota.Fail(ota.KindUnauthenticated, "invalid_client", "no")
	}
	return a.current, nil
}

func (a *accounts) Credential(_ context.Context, clientID string) (ota.Credential, error) {
	a.lookups++
	c := a.current
	if a.during != nil {
		a.during()
	}
	if clientID == "" || clientID != c.ClientID {
		return ota.Credential{}, ota.Fail(ota.KindNotFound, "missing_entity", "no")
	}
	return c, nil
}

type world struct {
	*accounts
	*token.Issuer
	file string
	now  time.Time
}

func start(t *testing.T) *world {
	w := &world{accounts: &accounts{}, file: filepath.Join(t.TempDir(), "token.key"), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.set("client", "secret")
	w.restart(t)
	return w
}

func (w *world) restart(t *testing.T) {
	t.Helper()
	var err error
	if w.Issuer, err = token.NewIssuer(w.file, w.accounts); err != nil {
		t.Fatal(err)
	}
	w.Issuer.Now = func() time.Time { return w.now }
}

func (w *world) issue(t *testing.T) string {
	t.Helper()
	tok, err := w.Issue(w.current)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// holds says whether a token is worth anything.
func (w *world) holds(t *testing.T, tok string) bool {
	t.Helper()
	id, err := w.Verify(t.Context(), tok)
	if err == nil {
		if diff := cmp.Diff(httpapi.Identity{Role: httpapi.Device, Device: car, Namespace: "acme"}, id); diff != "" {
			t.Error(diff)
		}
		return true
	}
	if ota.KindOf(err) != ota.KindUnauthenticated || id != (httpapi.Identity{}) {
		t.Errorf("%v %v", id, err)
	}
	return false
}

func TestATokenHoldsUntilItExpires(t *testing.T) {
	w := start(t)
	tok := w.issue(t)
	for range 3 {
		if !w.holds(t, tok) {
			t.Fatal("a fresh token is refused")
		}
	}
	if w.lookups != 1 {
		t.Errorf("%d lookups for three uses, want one", w.lookups)
	}
	w.now = w.now.Add(time.Hour - time.Nanosecond)
	if !w.holds(t, tok) {
		t.Error("refused before its time")
	}
	w.now = w.now.Add(time.Nanosecond)
	if w.holds(t, tok) {
		t.Error("a remembered token outlives its time")
	}
}

func TestARemovedDevicesTokenEndsForGood(t *testing.T) {
	w := start(t)
	tok := w.issue(t)
	w.holds(t, tok)
	w.set("", "")
	w.Revoke(car)
	if w.holds(t, tok) {
		t.Error("holds after the device was removed")
	}
	w.restart(t)
	if w.holds(t, tok) {
		t.Error("holds again after a restart")
	}
	w.set("another client", "another secret")
	if w.holds(t, tok) {
		t.Error("holds again once the device was added anew")
	}
	w.set("client", "another secret")
	if w.holds(t, tok) {
		t.Error("holds after the secret changed")
	}
	w.set("client", "secret")
	if !w.holds(t, tok) {
		t.Error("the same credential is refused: the test proves nothing")
	}
}

func TestATokenCheckedDuringARemovalEnds(t *testing.T) {
	w := start(t)
	tok := w.issue(t)
	w.during = func() { // the lookup still saw the credential
		w.during = nil
		w.set("", "")
		w.Revoke(car)
	}
	if w.holds(t, tok) {
		t.Error("what was true before the removal was remembered")
	}
}

func TestForgedTokens(t *testing.T) {
	w := start(t)
	good := w.issue(t)
	parts := strings.Split(good, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	key := []byte(strings.Repeat("0123456789abcdef", 4))
	signed := func(alg jose.SignatureAlgorithm) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := jwt.Signed(s).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	for name, tok := range map[string]string{
		"empty":            "",
		"noise":            "x.y.z",
		"no signature":     parts[0] + "." + parts[1] + ".",
		"algorithm none":   b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"another payload":  parts[0] + "." + b64([]byte(strings.Replace(string(payload), "acme", "evil", 1))) + "." + parts[2],
		"another key":      signed(jose.HS256),
		"longer algorithm": signed(jose.HS512),
		"huge":             good + strings.Repeat("A", 5000),
		"cut":              good[:len(good)-1],
	} {
		if w.holds(t, tok) {
			t.Errorf("%s: taken", name)
		}
	}
	if !w.holds(t, good) {
		t.Error("the genuine one is refused")
	}
}

func TestOurKeyAloneIsNoToken(t *testing.T) {
	w := start(t)
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	var key []byte
	if _, err := fmt.Sscanf(string(text), "%x", &key); err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, claims := range []map[string]any{
		{"iss": "updraft", "client_id": "client"},
		{"iss": "updraft", "client_id": "client", "exp": w.now.Add(time.Hour).Unix()},
		{"iss": "other", "client_id": "client", "exp": w.now.Add(time.Hour).Unix()},
	} {
		tok, err := jwt.Signed(s).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		if w.holds(t, tok) {
			t.Errorf("%v: taken", claims)
		}
	}
}

func TestWhoIsAsking(t *testing.T) {
	w := start(t)
	who := w.Who(sha256.Sum256([]byte("admin")))
	for header, want := range map[string]httpapi.Role{
		"":                         0,
		"Bearer":                   0,
		"Bearer ":                  0,
		"Basic admin":              0,
		"Bearer Admin":             0,
		"Bearer admin":             httpapi.Operator,
		"bearer admin":             httpapi.Operator,
		"Bearer " + w.issue(t):     httpapi.Device,
		"Bearer " + w.issue(t)[1:]: 0,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		id, err := who(r)
		if id.Role != want || (err == nil) != (want != 0) || err != nil && ota.KindOf(err) != ota.KindUnauthenticated {
			t.Errorf("%q: %+v %v", header, id, err)
		}
	}
}

func TestTheKeyFile(t *testing.T) {
	w := start(t)
	info, err := os.Stat(w.file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if names, _ := os.ReadDir(filepath.Dir(w.file)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	if err := os.Chmod(w.file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := token.NewIssuer(w.file, nil); err == nil || !strings.Contains(err.Error(), w.file) {
		t.Errorf("a key others may read: %v", err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("abcd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token.NewIssuer(short, nil); err == nil {
		t.Error("a short key was taken")
	}
}

// post asks for a token.
func post(t *testing.T, h http.Handler, form url.Values, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest("POST", "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	body, _ := io.ReadAll(rec.Result().Body)
	return rec.Result(), string(body)
}

func TestTokenEndpoint(t *testing.T) {
	grant := url.Values{"grant_type": {"client_credentials"}}
	full := url.Values{"grant_type": {"client_credentials"}, "client_id": {"client"}, "client_secret": {"secret"}}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	for _, tt := range []struct {
		name   string
		form   url.Values
		change func(*http.Request)
		status int
		code   string
	}{
		{"basic", grant, basic("client", "secret"), 200, ""},
		{"form", full, nil, 200, ""},
		{"wrong secret", grant, basic("client", "secreT"), 401, "invalid_client"},
		{"unknown client", grant, basic("clienT", "secret"), 401, "invalid_client"},
		{"no credentials", grant, nil, 401, "invalid_client"},
		{"twice", full, basic("client", "secret"), 400, "invalid_request"},
		{"no grant", nil, basic("client", "secret"), 400, "invalid_request"},
		{"another grant", url.Values{"grant_type": {"password"}}, basic("client", "secret"), 400, "unsupported_grant_type"},
		{"repeated", url.Values{"grant_type": {"a", "b"}}, basic("client", "secret"), 400, "invalid_request"},
		{"JSON", grant, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, "invalid_request"},
		{"large", url.Values{"x": {strings.Repeat("x", 20_000)}}, nil, 413, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t)
			resp, body := post(t, w.Endpoint(slog.New(slog.DiscardHandler)), tt.form, tt.change)
			var told struct {
				token.Answer
				token.Refusal
			}
			if err := json.Unmarshal([]byte(body), &told); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || told.Error != tt.code || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if (resp.Header.Get("WWW-Authenticate") != "") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q", resp.Header.Get("WWW-Authenticate"))
			}
			if tt.status != 200 {
				return
			}
			scope := "ota-core." + string(car) + ".read ota-core." + string(car) + ".write"
			if !w.holds(t, told.AccessToken) || told.TokenType != "bearer" || told.ExpiresIn != 3600 || told.Scope != scope {
				t.Errorf("%s", body)
			}
		})
	}
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	w := start(t)
	h := w.Endpoint(slog.New(slog.DiscardHandler))
	grant := url.Values{"grant_type": {"client_credentials"}}
	ask := func(id, secret, addr string) int {
		resp, _ := post(t, h, grant, func(r *http.Request) { r.SetBasicAuth(id, secret); r.RemoteAddr = addr })
		if resp.StatusCode == 429 && resp.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
		}
		return resp.StatusCode
	}
	for i := range 20 {
		if got := ask("client", "secret", fmt.Sprintf("10.0.0.%d:1", i)); got != 200 {
			t.Fatalf("request %d: %d", i, got)
		}
	}
	if got := ask("client", "secret", "10.0.1.1:1"); got != 429 {
		t.Errorf("one client, many addresses: %d", got)
	}
	w.now = w.now.Add(time.Second)
	if got := ask("client", "secret", "10.0.1.1:1"); got != 200 {
		t.Errorf("a second later: %d", got)
	}
	for i := range 20 {
		if got := ask(fmt.Sprint("guess", i), "x", fmt.Sprintf("[2001:db8::%d]:1", i)); got != 401 {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	if got := ask("guess", "x", "[2001:db8::ffff]:1"); got != 429 {
		t.Errorf("many guesses from one network: %d", got)
	}
	if got := ask("guess", "x", "[2001:db8:1::1]:1"); got != 401 {
		t.Errorf("another network: %d", got)
	}
}

// An address may be a proxy's or a whole depot's, and a client id is no secret.
func TestOthersGuessesDoNotKeepADeviceOut(t *testing.T) {
	w := start(t)
	h := w.Endpoint(slog.New(slog.DiscardHandler))
	ask := func(id, secret string) int {
		resp, _ := post(t, h, url.Values{"grant_type": {"client_credentials"}}, func(r *http.Request) { r.SetBasicAuth(id, secret) })
		return resp.StatusCode
	}
	for _, guessed := range []string{"client", "other"} {
		for range 50 {
			ask(guessed, "guess")
		}
		if got := ask(guessed, "guess"); got != 429 {
			t.Errorf("a guess too many for %q: %d", guessed, got)
		}
		if got := ask("client", "secret"); got != 200 {
			t.Errorf("after guesses for %q the device itself: %d", guessed, got)
		}
	}
}

func BenchmarkVerifyAgain(b *testing.B) {
	a := &accounts{}
	a.set("client", "secret")
	i, err := token.NewIssuer(filepath.Join(b.TempDir(), "k"), a)
	if err != nil {
		b.Fatal(err)
	}
	tok, err := i.Issue(a.current)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := i.Verify(b.Context(), tok); err != nil {
			b.Fatal(err)
		}
	}
}
