//go:build race

package node

// slack is what the race detector adds to everything, as a part of it.
const (
	slack          = 4
	activeVehicles = 10
)
