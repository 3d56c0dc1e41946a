// Package blobtest is the contract of ota.Blobs as tests: every
// implementation runs the same suite.
package blobtest

import (
	"testing"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Subject is an implementation under test, empty, and what the suite must do
// behind its back.
type Subject struct {
	Blobs ota.Blobs
	// Damage changes stored bytes of a blob without changing their number.
	Damage func(t *testing.T, d ota.Digest)
	// Truncate takes the last stored byte of a blob away.
	Truncate func(t *testing.T, d ota.Digest)
	// Crash leaves what a put that was killed half-way leaves: n bytes.
	Crash func(t *testing.T, n int)
	// Traces counts what is stored, whole blobs and leftovers alike.
	Traces func(t *testing.T) int
}

// Run runs the suite. make gives a fresh subject whose clock is now.
func Run(t *testing.T, make func(t *testing.T, now func() time.Time) Subject) {
	stories := []struct {
		name string
		tell func(*testing.T, world)
	}{
		{"put and open", putAndOpen},
		{"an empty blob", emptyBlob},
		{"reading from anywhere", readAnywhere},
		{"exactly the allowed size", exactSize},
		{"one byte too large", tooLarge},
		{"a truncated upload", truncatedUpload},
		{"a canceled upload", canceledUpload},
		{"missing", missing},
		{"the same content twice", putTwice},
		{"the same content at once", putAtOnce},
		{"damaged", damaged},
		{"damaged after a good check", damagedLater},
		{"truncated", truncated},
		{"healed by another put", healed},
		{"opened by many at once", openAtOnce},
		{"an opener who leaves", openerLeaves},
		{"collect what is old and unused", collectOld},
		{"collect leftovers", collectLeftovers},
		{"collect while a put runs", collectDuringPut},
		{"put again while collect decides", putDuringCollect},
		{"put and collect at random", putCollectRace},
		{"collect stops with its question's error", collectError},
		{"an open blob outlives its removal", openOutlivesCollect},
		{"scrub tells the damaged", scrubTells},
		{"scrub ends with its context", scrubEnds},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
			s.tell(t, world{Subject: make(t, c.now), clock: c})
		})
	}
}
