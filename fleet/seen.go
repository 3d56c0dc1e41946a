package fleet

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// seen gathers when devices were last heard of. It is the one thing that is
// not written at once: a poll must not cost a transaction, and a few seconds
// of last-seen are no loss in a crash.
type seen struct {
	mu sync.Mutex
	at map[ota.DeviceID]time.Time
}

// SeenInterval is how often last-seen times are written.
const SeenInterval = 10 * time.Second

func (s *seen) record(id ota.DeviceID, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = make(map[ota.DeviceID]time.Time)
	}
	s.at[id] = t
}

func (s *seen) take() map[ota.DeviceID]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at
	s.at = nil
	return at
}

// giveBack keeps what could not be written, unless newer news came meanwhile.
func (s *seen) giveBack(at map[ota.DeviceID]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(at, s.at)
	s.at = at
}

// flushSeen writes the gathered times in one transaction. Operators' reads
// call it first, so that they see what happened before they asked.
func (f *Fleet) flushSeen(ctx context.Context) error {
	at := f.seen.take()
	if len(at) == 0 {
		return nil
	}
	err := f.write(ctx, func(tx ota.Tx) error {
		fresh, err := tx.Seen(at)
		if err != nil {
			return err
		}
		for _, id := range fresh {
			d, err := tx.Device(id)
			if err != nil {
				return err
			}
			if err := tell(tx, ota.DeviceActivated, d, "", nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.seen.giveBack(at)
	}
	return err
}
