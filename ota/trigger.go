package ota

import (
	"context"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Trigger speaks first to devices that are CoAP servers. A target is an
// authority with a path or without, and no scheme, such as
// "[fd00::1]:5683/fw" (seed 003); see Target.
type Trigger interface {
	// Post sends a text to a target. It fails with KindUnreachable if no
	// answer came before ctx ended, and with KindConflict (refused_by_device)
	// if the answer was no.
	Post(ctx context.Context, target, text string) error
	// Slot asks the device below a target which slot is free, and fails as
	// Post does, or with KindInvalid if the answer is no number.
	Slot(ctx context.Context, target string) (int, error)
}

// maxTarget is the longest target in bytes.
const maxTarget = 255

// Target checks what an operator named as a device to be told: an authority
// with a path or without, "[fd00::1]:5683/fw". It fails with KindInvalid
// (invalid_target) for anything a message must not or cannot be sent to: URLs
// of any scheme, queries, names of users, addresses that reach several
// machines or none, a port 0.
func Target(s string) error {
	refuse := func(why string) error {
		return Fail(KindInvalid, "invalid_target", "device %q: %s", clip(s), why)
	}
	authority, path, _ := strings.Cut(s, "/")
	switch {
	case s == "" || authority == "":
		return refuse("expected an address, with a port and a path if need be, such as [fd00::1]:5683/fw")
	case len(s) > maxTarget:
		return refuse("at most " + strconv.Itoa(maxTarget) + " bytes are allowed")
	case strings.Contains(s, "://"):
		return refuse("leave the scheme out: it is coap")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`?#@\"<>^{|}`+"`", r) }):
		return refuse("it holds characters that cannot be in an address and a path")
	case strings.Contains(path, "%") || strings.Contains("/"+path, "//") || strings.Contains("/"+path+"/", "/./") || strings.Contains("/"+path+"/", "/../"):
		return refuse("the path must be plain")
	}
	host, port, err := splitAuthority(authority)
	if err != "" {
		return refuse(err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return refuse("the port must be 1 to 65535")
	}
	if addr, err := netip.ParseAddr(host); err == nil && !Reachable(addr) {
		return refuse("it is not the address of one machine")
	}
	return nil
}

// Reachable reports whether an address is one machine's. Whoever looks up a
// name must ask again for what it means.
func Reachable(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func splitAuthority(s string) (host, port, why string) {
	if inside, ok := strings.CutPrefix(s, "["); ok {
		host, rest, closed := strings.Cut(inside, "]")
		addr, err := netip.ParseAddr(host)
		if !closed || err != nil || !addr.Is6() || rest != "" && !strings.HasPrefix(rest, ":") || rest == ":" {
			return "", "", "what is in brackets must be an IPv6 address"
		}
		return host, strings.TrimPrefix(rest, ":"), ""
	}
	if strings.Count(s, ":") > 1 {
		return "", "", "write an IPv6 address in brackets"
	}
	host, port, colon := strings.Cut(s, ":")
	if _, err := netip.ParseAddr(host); colon && port == "" || err != nil && !isHostName(host) {
		return "", "", "expected a name or an address before the port"
	}
	return host, port, ""
}

// isHostName reports whether s can be a machine's name (RFC 1123 2.1): labels of
// 1 to 63 bytes, of which the last is no number, or it would be an address. "_"
// is let pass, as networks of containers have it in names.
func isHostName(s string) bool {
	labels := strings.Split(strings.TrimSuffix(s, "."), ".") // a name may end with the root's
	for _, l := range labels {
		if l == "" || len(l) > 63 || l != strings.Trim(l, "-") ||
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return len(s) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// FileURL is where devices find a file of a publish id, below a root such as
// "coap://[fd00::1]:5683".
func FileURL(root, id, name string) string {
	return root + "/" + url.PathEscape(id) + "/" + url.PathEscape(name)
}
