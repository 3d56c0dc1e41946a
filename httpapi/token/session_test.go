package token_test

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/token"
	"github.com/updraft-ota/updraft/ota"
)

// browser keeps cookies, as far as this test needs it.
type browser struct {
	t        *testing.T
	sessions *token.Sessions
	from     string
	safe     bool
	cookies  []*http.Cookie
}

func (b *browser) request() *http.Request {
	r := httptest.NewRequest("POST", "/login", nil)
	r.RemoteAddr = b.from + ":1"
	r.Header.Set("Origin", "http://example.com")
	if b.safe {
		r.TLS = &tls.ConnectionState{}
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	return r
}

func (b *browser) login(secret string) error {
	rec := httptest.NewRecorder()
	err := b.sessions.Login(rec, b.request(), secret)
	b.cookies = rec.Result().Cookies()
	return err
}

func (b *browser) is(want httpapi.Role) {
	b.t.Helper()
	who := b.sessions.Who(func(*http.Request) (httpapi.Identity, error) { return httpapi.Identity{}, nil })
	if id, err := who(b.request()); err != nil || id.Role != want {
		b.t.Errorf("it is %+v, %v; want role %d", id, err, want)
	}
}

func TestABrowserLogsIn(t *testing.T) {
	now := time.Now()
	sessions := token.NewSessions(sha256.Sum256([]byte("secret")))
	sessions.Now = func() time.Time { return now }
	b := &browser{t: t, sessions: sessions, from: "192.0.2.1"}
	b.is(0)
	if err := b.login("guess"); ota.KindOf(err) != ota.KindUnauthenticated || len(b.cookies) > 0 {
		t.Errorf("a guess: %v, cookies %v", err, b.cookies)
	}
	if err := b.login(" secret\n"); err != nil {
		t.Fatal(err)
	}
	if c := b.cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || strings.Contains(c.Value, "secret") || c.Path != "/" {
		t.Errorf("the cookie is %v", c)
	}
	b.is(httpapi.Operator)
	other := &browser{t: t, sessions: sessions, from: "192.0.2.1", cookies: []*http.Cookie{{Name: b.cookies[0].Name, Value: "made-up"}}}
	other.is(0)

	rec := httptest.NewRecorder()
	sessions.Logout(rec, b.request())
	if c := rec.Result().Cookies()[0]; c.MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", c)
	}
	b.is(0) // also if it kept the cookie

	if err := b.login("secret"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(token.SessionTTL)
	b.is(0)
}

// A cookie alone changes nothing: whoever sends it must say from which page.
func TestASessionSaysWhereItsRequestsComeFrom(t *testing.T) {
	b := &browser{t: t, sessions: token.NewSessions(sha256.Sum256([]byte("secret"))), from: "192.0.2.1"}
	if err := b.login("secret"); err != nil {
		t.Fatal(err)
	}
	who := b.sessions.Who(func(*http.Request) (httpapi.Identity, error) { return httpapi.Identity{}, nil })
	for _, c := range []struct {
		method, header string
		want           httpapi.Role
	}{
		{"POST", "", 0}, {"DELETE", "", 0}, {"PUT", "", 0}, {"GET", "", httpapi.Operator},
		{"POST", "Origin", httpapi.Operator}, {"POST", "Sec-Fetch-Site", httpapi.Operator},
	} {
		r := b.request()
		r.Method = c.method
		r.Header.Del("Origin")
		if c.header != "" {
			r.Header.Set(c.header, "same-origin")
		}
		if id, err := who(r); err != nil || id.Role != c.want {
			t.Errorf("%s with %q: %+v, %v; want role %d", c.method, c.header, id, err, c.want)
		}
	}
}

func TestOverTLSTheCookieIsForThisHostOnly(t *testing.T) {
	b := &browser{t: t, sessions: token.NewSessions(sha256.Sum256([]byte("secret"))), from: "192.0.2.1", safe: true}
	if err := b.login("secret"); err != nil {
		t.Fatal(err)
	}
	if c := b.cookies[0]; !c.Secure || !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" {
		t.Errorf("the cookie is %v", c)
	}
	b.is(httpapi.Operator)
}

func TestATokenCountsWhateverTheCookie(t *testing.T) {
	b := &browser{t: t, sessions: token.NewSessions(sha256.Sum256([]byte("secret"))), from: "192.0.2.1"}
	if err := b.login("secret"); err != nil {
		t.Fatal(err)
	}
	r := b.request()
	r.Header.Set("Authorization", "Bearer x")
	who := b.sessions.Who(func(*http.Request) (httpapi.Identity, error) { return httpapi.Identity{Role: httpapi.Device}, nil })
	if id, err := who(r); err != nil || id.Role != httpapi.Device {
		t.Errorf("it is %+v, %v", id, err)
	}
}

// Guesses slow down their own address, and nobody else's.
func TestGuessesAreSlowedDown(t *testing.T) {
	now := time.Now()
	sessions := token.NewSessions(sha256.Sum256([]byte("secret")))
	sessions.Now = func() time.Time { return now }
	b := &browser{t: t, sessions: sessions, from: "192.0.2.1"}
	for i := range 20 {
		if err := b.login(fmt.Sprint(i)); ota.KindOf(err) != ota.KindUnauthenticated {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if err := b.login("secret"); ota.KindOf(err) != ota.KindTooMany {
		t.Errorf("too fast: %v", err)
	}
	if err := (&browser{t: t, sessions: sessions, from: "192.0.2.2"}).login("secret"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	now = now.Add(time.Second)
	if err := b.login("secret"); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	now := time.Now()
	sessions := token.NewSessions(sha256.Sum256([]byte("secret")))
	sessions.Now = func() time.Time { return now }
	var first, second *browser
	for i := range 1001 {
		b := &browser{t: t, sessions: sessions, from: fmt.Sprintf("10.0.%d.%d", i/200, i%200)}
		if err := b.login("secret"); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
		switch i {
		case 0:
			first = b
		case 1:
			second = b
		}
	}
	first.is(0)
	second.is(httpapi.Operator)
}
