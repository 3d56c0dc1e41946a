//go:build !race

package node

const (
	slack          = 1 << 20
	activeVehicles = 100
)
