//go:build race

package node

// slack is what the race detector adds to everything, as a part of it.
const (
	slack          = 4
	vehicles       = 100
	activeVehicles = 10
)
