package operator

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// originated gives the URLs in answers an origin that begins with host. Scheme
// and port are those of the listener the request came by; a port that host
// brings along wins. Without host, URLs stay paths: on whatever server was
// asked.
func originated(host string, next http.Handler) http.Handler {
	if host == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), originKey{}, origin(host, r))))
	})
}

type originKey struct{}

// absolute makes a path on this server the URL that a caller is told.
func absolute(ctx context.Context, path string) string {
	origin, _ := ctx.Value(originKey{}).(string)
	return origin + path
}

func origin(host string, r *http.Request) string {
	scheme, port := "http://", 80
	if r.TLS != nil {
		scheme, port = "https://", 443
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return scheme + host
	}
	usual := ":" + strconv.Itoa(port)
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		port = at.Port
	}
	return scheme + strings.TrimSuffix(net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port)), usual)
}
