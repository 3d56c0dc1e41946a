package node

import (
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Match reports whether a pattern of a credential covers a service name
// (rvi.md 3.6): segment by segment, "+" stands for any one segment, the pattern
// may be shorter than the name, and a trailing slash makes no difference. The
// empty pattern covers nothing.
func Match(pattern, name string) bool {
	pattern, name = strings.TrimSuffix(pattern, "/"), strings.TrimSuffix(name, "/")
	if pattern == "" {
		return false
	}
	for more := true; more; {
		var want, have string
		if name == "" {
			return false
		}
		want, pattern, more = strings.Cut(pattern, "/")
		have, name, _ = strings.Cut(name, "/")
		if want != "+" && want != have {
			return false
		}
	}
	return true
}

// checkPrefix normalises a node's prefix to end in exactly one slash (rvi.md 2.2).
func checkPrefix(s string) (string, error) {
	name, err := checkName(strings.Trim(s, "/"))
	if err != nil {
		return "", err
	}
	return name + "/", nil
}

// checkName returns a full service name without the "type:" some nodes put
// before it. A name has at least two segments, none of them empty, and no
// control characters (KindInvalid).
func checkName(s string) (string, error) {
	if org, _, _ := strings.Cut(s, "/"); strings.Contains(org, ":") {
		_, s, _ = strings.Cut(s, ":")
	}
	if len(s) > maxName {
		return "", ota.Invalid("a service name has at most %d bytes", maxName)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return "", ota.Invalid("a service name has no control characters")
	}
	if !strings.Contains(s, "/") || strings.Contains("/"+s+"/", "//") {
		return "", ota.Invalid("%q is no full service name such as genivi.org/vin/V/sota/notify", s)
	}
	return s, nil
}

// fullName puts the prefix before a local name, with or without its leading slash.
func (n *Node) fullName(local string) (string, error) {
	return checkName(n.prefix + strings.TrimPrefix(local, "/"))
}

// localName is what a local service is called when a message is delivered to
// it: without the prefix, with a leading slash. full is one of ours.
func (n *Node) localName(full string) string {
	return full[len(n.prefix)-1:]
}

func (n *Node) owns(full string) bool { return strings.HasPrefix(full, n.prefix) }

// nodeOf tells which node a name probably lives on: its first three segments.
// It only decides whose queue a message waits in.
func nodeOf(name string) string {
	at := 0
	for range 3 {
		i := strings.IndexByte(name[at:], '/')
		if i < 0 {
			return name
		}
		at += i + 1
	}
	return name[:at]
}
