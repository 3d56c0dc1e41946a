package token

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits slow down whoever asks too often: a device that proved itself, by its
// client id; who did not, by address. Both are of our own making or checked,
// and so of bounded length: a foreign text would fill the memory.
const (
	attempts      = rate.Limit(1) // a second
	attemptsBurst = 20
	limited       = 1 << 14 // keys remembered, twice
)

type limiter struct {
	mu sync.Mutex
	recent[string, *rate.Limiter]
}

// of returns the bucket of a key. One that was forgotten begins anew, full.
func (l *limiter) of(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.young[key]; ok {
		return b
	}
	b, ok := l.old[key]
	if !ok {
		b = rate.NewLimiter(attempts, attemptsBurst)
	}
	l.size = limited
	l.put(key, b)
	return b
}

// take takes one request out of a key's bucket. From an empty one it takes
// nothing and refuses, telling how long to wait.
func (l *limiter) take(key string, now time.Time) *Refusal {
	b := l.of(key)
	if b.AllowN(now, 1) {
		return nil
	}
	missing := 1 - b.TokensAt(now)
	retry := time.Duration(missing / float64(attempts) * float64(time.Second))
	return &Refusal{"slow_down", "asked too often; try later", http.StatusTooManyRequests, retry}
}

// source is where a request comes from: its address, or of IPv6 the network,
// which has more addresses than anyone could count.
func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Unmap().Is4() {
		return host
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}
