package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// SessionTTL is how long a browser that logged in stays so: a working day.
const SessionTTL = 12 * time.Hour

// maxSessions bounds how many browsers are logged in; beyond it the session
// that ends first gives way.
const maxSessions = 1000

// Names of the cookie. Over TLS a browser sends it nowhere but here, not even
// to a neighbour under the same domain (RFC 6265bis, 4.1.3.2).
const (
	cookiePlain = "updraft-session"
	cookieSafe  = "__Host-updraft-session"
)

// Sessions are browsers whose user showed the operators' token once. They are
// kept in memory, by the SHA-256 of what the cookie holds, and end with the
// server.
//
// A cookie authorises whatever page makes its browser ask. That no page but
// ours does is up to SameSite=Strict and to httpapi.Door, which refuses what
// another site's page makes a browser change. Door lets through who does not
// say where the request comes from, as programs with a token do; a cookie does
// not count then.
type Sessions struct {
	Now func() time.Time // default time.Now

	operator [sha256.Size]byte
	attempts limiter
	mu       sync.Mutex
	until    map[[sha256.Size]byte]time.Time
}

// NewSessions makes sessions for who has the token of that SHA-256.
func NewSessions(operator [sha256.Size]byte) *Sessions {
	return &Sessions{Now: time.Now, operator: operator, until: map[[sha256.Size]byte]time.Time{}}
}

// Login begins a session. It fails with KindTooMany (slow_down) if there were
// too many attempts from where the request comes, and with KindUnauthenticated
// (wrong_token).
func (s *Sessions) Login(w http.ResponseWriter, r *http.Request, token string) error {
	if s.attempts.take(source(r), s.Now()) != nil {
		return ota.Fail(ota.KindTooMany, "slow_down", "too many attempts: wait a minute, then try again")
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], s.operator[:]) != 1 {
		return ota.Fail(ota.KindUnauthenticated, "wrong_token", "that is not the operators' token")
	}
	id := rand.Text()
	s.keep(sha256.Sum256([]byte(id)))
	setCookie(w, r, id, int(SessionTTL/time.Second))
	return nil
}

// Logout ends the request's session, if it has one.
func (s *Sessions) Logout(w http.ResponseWriter, r *http.Request) {
	for _, sum := range cookies(r) {
		s.mu.Lock()
		delete(s.until, sum)
		s.mu.Unlock()
	}
	setCookie(w, r, "", -1)
}

// Who takes a request of a session for an operator's, and asks next about any
// other. A token that is sent counts, whatever cookies come with it.
func (s *Sessions) Who(next httpapi.Who) httpapi.Who {
	return func(r *http.Request) (httpapi.Identity, error) {
		if r.Header.Get("Authorization") == "" && saysWhence(r) && s.open(r) {
			return httpapi.Identity{Role: httpapi.Operator}, nil
		}
		return next(r)
	}
}

// saysWhence reports whether a browser says of what may change something which
// page made it ask. All do, for years now.
func saysWhence(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	}
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}

func (s *Sessions) open(r *http.Request) bool {
	for _, sum := range cookies(r) {
		s.mu.Lock()
		until, ok := s.until[sum]
		s.mu.Unlock()
		if ok && s.Now().Before(until) {
			return true
		}
	}
	return false
}

func (s *Sessions) keep(sum [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	first, ends := [sha256.Size]byte{}, time.Time{}
	for sum, until := range s.until {
		if !now.Before(until) {
			delete(s.until, sum)
		} else if ends.IsZero() || until.Before(ends) {
			first, ends = sum, until
		}
	}
	if len(s.until) >= maxSessions {
		delete(s.until, first)
	}
	s.until[sum] = now.Add(SessionTTL)
}

// cookies are the sums of the session cookies that came along.
func cookies(r *http.Request) (sums [][sha256.Size]byte) {
	for _, c := range r.CookiesNamed(cookieName(r)) {
		if len(c.Value) <= 64 { // ours are shorter
			sums = append(sums, sha256.Sum256([]byte(c.Value)))
		}
	}
	return sums
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: OverTLS(r), SameSite: http.SameSiteStrictMode,
	})
}

func cookieName(r *http.Request) string {
	if OverTLS(r) {
		return cookieSafe
	}
	return cookiePlain
}

// OverTLS reports whether the browser speaks TLS, to us or to a proxy that says
// so. Who makes that up only has a cookie that no browser sends.
func OverTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}
