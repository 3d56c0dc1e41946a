//go:build soak

package e2e_test

import "testing"

func TestSoakAnArtifactOf2GiBIsNeverInMemory(t *testing.T) { carryInLittleMemory(t, 2<<30, 64<<20) }
