package agent

import (
	"fmt"
	"strings"
)

// Names as the D-Bus specification has them ("Valid Names").

func isBus(s string) error {
	if s != "session" && s != "system" {
		return fmt.Errorf("expected session or system, not %q", s)
	}
	return nil
}

func isDBusName(s string) error {
	if !dotted(s, "-") {
		return fmt.Errorf("expected a bus name such as org.genivi.SotaClient, not %q", s)
	}
	return nil
}

func isDBusInterface(s string) error {
	if !dotted(s, "") {
		return fmt.Errorf("expected an interface name such as org.genivi.SotaClient, not %q", s)
	}
	return nil
}

func isDBusPath(s string) error {
	ok := strings.HasPrefix(s, "/")
	for part := range strings.SplitSeq(strings.TrimPrefix(s, "/"), "/") {
		ok = ok && (nameable(part, "") || s == "/")
	}
	if !ok {
		return fmt.Errorf("expected an object path such as /org/genivi/SotaClient, not %q", s)
	}
	return nil
}

// dotted reports whether s is two or more elements with dots between them,
// none of which begins with a digit.
func dotted(s, more string) bool {
	parts := strings.Split(s, ".")
	for _, p := range parts {
		if !nameable(p, more) || '0' <= p[0] && p[0] <= '9' {
			return false
		}
	}
	return len(parts) > 1 && len(s) <= 255
}

// nameable reports whether s is one or more letters, digits, underscores and
// characters of more.
func nameable(s, more string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune(more, r))
	})
}
