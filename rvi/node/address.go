package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// A network_address is a stranger's wish to be called somewhere. Only loopback,
// and what Options.EdgeAllow admits, is called: the name is resolved and checked
// when it is registered and again for each connection, and it is the checked
// address that is dialled, so that a name cannot mean something else a moment
// later (rvi.md 6.2 W3).

var hostSyntax = regexp.MustCompile(`^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// readAddress reads a network_address: an http or https URL, or host:port,
// which means http (rvi.md 2.3). The error is KindInvalid, code bad_network_address.
func readAddress(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s + "/"
	}
	u, err := url.Parse(s)
	if err != nil || len(s) > 2*maxName || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" || !hostSyntax.MatchString(u.Host) {
		return nil, badAddress("a network_address is http://host:port/path, https:// or host:port")
	}
	if port, _ := strconv.Atoi(u.Port()); u.Port() != "" && (port < 1 || port > 65535) {
		return nil, badAddress("the port of a network_address is from 1 to 65535")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

func badAddress(format string, args ...any) error {
	return ota.Fail(ota.KindInvalid, "bad_network_address", format, args...)
}

// allowed returns the first address of a host that may be called.
func (n *Node) allowed(ctx context.Context, host string) (netip.Addr, error) {
	addrs, err := n.lookup(ctx, host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%w: %w", errAway, err)
	}
	for _, a := range addrs {
		if a = a.Unmap().WithZone(""); n.admits(a) {
			return a, nil
		}
	}
	return netip.Addr{}, badAddress("%s is not on loopback; --edge-allow admits more", host)
}

func (n *Node) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return []netip.Addr{a}, nil
	}
	return n.opt.Resolve(ctx, host)
}

func (n *Node) admits(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, p := range n.opt.EdgeAllow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// dialEdge connects to a service at the edge.
func (n *Node) dialEdge(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ip, err := n.allowed(ctx, host)
	if err != nil {
		return nil, err
	}
	conn, err := n.opt.Dial(ctx, network, net.JoinHostPort(ip.String(), port))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	return conn, nil
}

// edgeClient calls services. It follows no redirects, which would lead past the
// checks, and uses no proxy.
func (n *Node) edgeClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: n.dialEdge, DisableCompression: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Timeout: answerPatience,
	}
}

// alive reports whether somebody listens at an address.
func (n *Node) alive(ctx context.Context, u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	conn, err := n.dialEdge(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return !errors.Is(err, errAway)
	}
	_ = conn.Close() // only asked whether it could be opened
	return true
}
