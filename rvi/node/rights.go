package node

import (
	"errors"
	"strings"
	"time"
)

// Grant is what one credential allows its bearer: to host the services that
// Receive covers, and to invoke those that Invoke covers, from Start to Stop,
// both inclusive. A zero Start or Stop is no limit.
type Grant struct {
	Receive, Invoke []string
	Start, Stop     time.Time
}

// check says why the grant does not hold now: not_yet_valid or expired.
func (g Grant) check(now time.Time) error {
	switch {
	case !g.Start.IsZero() && now.Before(g.Start):
		return errNotYet
	case !g.Stop.IsZero() && now.After(g.Stop):
		return errExpired
	}
	return nil
}

var (
	errNotYet  = errors.New("not_yet_valid")
	errExpired = errors.New("expired")
)

// Rights are all grants of one node. They are asked anew for each message, as
// grants expire while a link is up.
type Rights []Grant

// MayReceive reports whether the bearer may host the service at that instant.
func (r Rights) MayReceive(name string, now time.Time) bool {
	return r.covers(name, now, func(g Grant) []string { return g.Receive })
}

// MayInvoke reports whether the bearer may invoke the service at that instant.
func (r Rights) MayInvoke(name string, now time.Time) bool {
	return r.covers(name, now, func(g Grant) []string { return g.Invoke })
}

func (r Rights) covers(name string, now time.Time, patterns func(Grant) []string) bool {
	for _, g := range r {
		if g.check(now) != nil {
			continue
		}
		for _, p := range patterns(g) {
			if Match(p, name) {
				return true
			}
		}
	}
	return false
}

// prefix is what the bearer is known by at that instant, with a trailing slash:
// the first pattern it may host, or "" if that stands for several nodes.
func (r Rights) prefix(now time.Time) string {
	for _, g := range r {
		if g.check(now) == nil && len(g.Receive) > 0 {
			return prefixOf(g.Receive[0])
		}
	}
	return ""
}

func prefixOf(pattern string) string {
	prefix := strings.TrimSuffix(pattern, "/") + "/"
	name, err := checkName(strings.TrimSuffix(prefix, "/"))
	if err != nil || name+"/" != prefix || strings.Count(prefix, "/") < 3 || strings.Contains(prefix, "/+/") || strings.HasPrefix(prefix, "+/") {
		return ""
	}
	return prefix
}
