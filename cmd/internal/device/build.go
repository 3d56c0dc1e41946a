package device

import (
	"runtime/debug"
	"time"
)

// built is set by make and scripts/deb (RFC 3339), with
//
//	-ldflags "-X github.com/updraft-ota/updraft/cmd/internal/device.built=2026-11-21T12:00:00Z"
var built string

// buildDate is the day before which this program cannot run, so that a clock
// that says otherwise is wrong: the time of the commit it was built from, or
// zero if nobody knows. A plain "go build" in a clone tells it too.
func buildDate() time.Time {
	text := built
	if info, ok := debug.ReadBuildInfo(); ok && text == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				text = s.Value
			}
		}
	}
	t, _ := time.Parse(time.RFC3339, text)
	return t
}
