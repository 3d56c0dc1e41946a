package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// onlyLoopback guards a server that asks nobody for proof: it answers under
// loopback names only, or a page elsewhere could have its own name resolve to
// 127.0.0.1 and speak to the server from its reader's browser (DNS rebinding).
// Pages that use the right name are httpapi.Door's to refuse.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			tell(w, http.StatusMisdirectedRequest, "misdirected", "this server answers under localhost and 127.0.0.1 only")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether a Host header names this machine to itself.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
