package rvi

import "time"

// How long the two sides wait for each other (rvi.md 4.6, 4.7).
const (
	AckTimeout  = 30 * time.Second // until a message without an ack is sent again
	Sends       = 5                // of one message, before the backend gives up
	Quiet       = 5 * time.Second  // within which the same is not asked for twice
	ReportLimit = 24 * time.Hour   // from finish to report

	StartTimeout = 60 * time.Second // until a device asks again for what it accepted
	Asks         = 5
	Silence      = 45 * time.Second // after which a device gives up on resuming
	IdleTransfer = 24 * time.Hour   // after which a device drops its chunks; see Device
	longestNudge = 10 * time.Minute // between two acks nobody asked for

	MessageLife       = 5 * time.Minute  // of what a backend sends, except notify
	DeviceMessageLife = 90 * time.Second // of what a device sends
)

// Rounds is how many times an update is notified to a vehicle that does not
// answer, before it has failed as unreachable.
const Rounds = 10

// NotifyAgain is how long after the given round, from 1 on, an update is
// notified again if the vehicle's services do not reappear before: from five
// minutes, twice as long each time, to an hour. After the last round ok is false.
func NotifyAgain(round int) (after time.Duration, ok bool) {
	if round >= Rounds {
		return 0, false
	}
	return min(5*time.Minute<<(max(round, 1)-1), time.Hour), true
}
