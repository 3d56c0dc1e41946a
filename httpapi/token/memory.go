package token

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// generation is how many entries each half of a recent map holds.
const generation = 1 << 16

// recent is a map that forgets what was not used for longest: when the young
// half is full it becomes the old one, and what was old is gone. What is
// found in the old half moves to the young.
type recent[K comparable, V any] struct {
	size       int
	young, old map[K]V
}

func (m *recent[K, V]) put(k K, v V) {
	if m.young == nil || len(m.young) >= m.size {
		m.old, m.young = m.young, make(map[K]V)
	}
	m.young[k] = v
}

// memory holds verified tokens, by their hash, until they expire or end.
type memory struct {
	mu    sync.RWMutex
	epoch uint64 // counts calls of forget
	recent[[sha256.Size]byte, verdict]
}

type verdict struct {
	httpapi.Identity
	expires time.Time
}

// find also returns the epoch, for keep.
func (m *memory) find(sum [sha256.Size]byte, now time.Time) (httpapi.Identity, uint64, bool) {
	m.mu.RLock()
	v, young := m.young[sum]
	old := false
	if !young {
		v, old = m.old[sum]
	}
	epoch := m.epoch
	m.mu.RUnlock()
	if !young && !old || !now.Before(v.expires) {
		return httpapi.Identity{}, epoch, false
	}
	if old {
		m.keep(sum, v.Identity, v.expires, epoch)
	}
	return v.Identity, epoch, true
}

// keep remembers a verdict that was reached since find told the epoch, unless
// something was forgotten in between; then it returns the new epoch.
func (m *memory) keep(sum [sha256.Size]byte, id httpapi.Identity, expires time.Time, epoch uint64) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch != epoch {
		return m.epoch, false
	}
	m.size = generation
	m.put(sum, verdict{id, expires})
	return epoch, true
}

func (m *memory) forget(device ota.DeviceID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	for _, half := range []map[[sha256.Size]byte]verdict{m.young, m.old} {
		for sum, v := range half {
			if v.Device == device {
				delete(half, sum)
			}
		}
	}
}
