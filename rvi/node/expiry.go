package node

import (
	"errors"
	"time"
)

// longestWait is how far ahead a message may expire; what asks for more is cut
// (rvi.md 2.5).
const longestWait = 30 * 24 * time.Hour

// milliseconds is where values begin that can only be epoch milliseconds, as
// rvi_core puts them on the data link: as seconds they would be in the year 5138.
const milliseconds = 100_000_000_000

// Expiry reads the timeout of a message (rvi.md 2.5): more than a day in the
// past it is relative and in milliseconds, otherwise it is an instant, in epoch
// seconds or, when too large for those, in epoch milliseconds. A negative value
// is an error.
func Expiry(timeout int64, now time.Time) (time.Time, error) {
	switch {
	case timeout < 0:
		return time.Time{}, errors.New("a timeout is not negative")
	case timeout >= milliseconds:
		return time.UnixMilli(timeout), nil
	case timeout < now.Unix()-86_400:
		return now.Add(time.Duration(timeout) * time.Millisecond), nil
	}
	return time.Unix(timeout, 0), nil
}

// bounded cuts an expiry that is too far ahead.
func bounded(expires, now time.Time) time.Time {
	if last := now.Add(longestWait); expires.After(last) {
		return last
	}
	return expires
}
