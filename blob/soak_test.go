//go:build soak

package blob

import "testing"

func TestSoakAnArtifactOf2GiBIsNeverInMemory(t *testing.T) { putAndOpenInLittleMemory(t, 2<<30) }
