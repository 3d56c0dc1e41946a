package operator

import (
	"regexp"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// compile reads a search pattern (RE2, unanchored). Empty matches everything.
// It fails with KindInvalid.
func compile(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > 1000 {
		return nil, ota.Invalid("regex is longer than 1000 bytes")
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, ota.Invalid("regex: %v", err)
	}
	return re, nil
}

// moment is a time that may be missing, in UTC.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
