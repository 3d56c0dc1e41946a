//go:build soak

package node

import "testing"

func TestSoakAThousandTransfersStandStill(t *testing.T) {
	for name, secure := range map[string]bool{"tcp": false, "tls": true} {
		t.Run(name, func(t *testing.T) { checkActive(t, stalledVehicles(t, 1000, secure, false), aWindow) })
	}
}
