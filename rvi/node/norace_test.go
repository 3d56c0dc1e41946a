//go:build !race

package node

const (
	slack          = 1 << 20
	vehicles       = 1000
	activeVehicles = 100
)
