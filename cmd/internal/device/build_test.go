package device

import (
	"testing"
	"time"
)

func TestBuildDate(t *testing.T) {
	defer func(was string) { built = was }(built)
	for text, want := range map[string]time.Time{
		"":                     {}, // a test is built without version control
		"2026-11-21T12:00:00Z": time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		"yesterday":            {},
	} {
		built = text
		if got := buildDate(); !got.Equal(want) {
			t.Errorf("%q: %s", text, got)
		}
	}
}
