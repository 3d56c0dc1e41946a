package server

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// checkURLHost fails unless host can stand in a URL: a name or an IP address,
// with a port or without. "" can: URLs then do without.
func checkURLHost(flag, host string) error {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return nil
	}
	u, err := url.Parse("//" + host)
	if err == nil && u.Host == host && u.Hostname() != "" && !strings.HasSuffix(host, ":") {
		if _, err := strconv.ParseUint(u.Port(), 10, 16); err == nil || u.Port() == "" {
			return nil
		}
	}
	return usage.Errorf("--%s %q: expected a name or an address, with a port if it is another, such as ota.example.org:8443", flag, host)
}
