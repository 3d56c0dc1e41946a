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
