package operator

import (
	"strconv"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// parseUntil reads an end: an instant (RFC 3339), or a duration from now on
// such as 90m, 24h or 7d. "" is no end, the zero time.
func parseUntil(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		if !t.After(now) {
			return t, usage.Errorf("--until %s has passed", s)
		}
		return t, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return time.Time{}, usage.Errorf("--until %q: expected an instant such as 2026-01-31T12:00:00Z or a duration such as 90m, 24h or 7d", s)
	}
	return now.Add(d), nil
}
