package token

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits slows down whoever asks too often. Every request counts against its
// client id; only refused ones count against the address, as thousands of
// devices may share one.
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

// wait returns how long a bucket stays empty, 0 if it is not.
func wait(b *rate.Limiter, now time.Time) time.Duration {
	if missing := 1 - b.TokensAt(now); missing > 0 {
		return time.Duration(missing / float64(attempts) * float64(time.Second))
	}
	return 0
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
