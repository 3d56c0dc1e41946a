package httpapi

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// maxBackOff is the longest sleep between polls of a server that is down,
// unless the interval itself is longer.
const maxBackOff = 15 * time.Minute

// inbox makes notices out of polling: it compares what Pending answers from
// one time to the next.
type inbox struct {
	wake chan struct{} // holds one, if notices were added

	mu       sync.Mutex
	notices  []ota.Notice
	known    []ota.UpdateID // offered by the last answer
	failures int            // of Pending in a row, the server being out of reach
}

// Next implements ota.Inbox. It gives what was noticed since, and otherwise
// sleeps for the polling interval, a tenth more or less, and says that it is
// time to ask. While the server is out of reach the sleep doubles each time.
func (c *Client) Next(ctx context.Context) (ota.Notice, error) {
	var due <-chan time.Time // never, if polling is by hand
	if c.cfg.Poll > 0 {
		timer := time.NewTimer(c.inbox.sleep(c.cfg.Poll, c.cfg.Rand()))
		defer timer.Stop()
		due = timer.C
	}
	for {
		if n, ok := c.inbox.take(); ok {
			return n, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.inbox.wake:
		case <-due:
			return ota.Offered{}, nil
		}
	}
}

func (b *inbox) sleep(interval time.Duration, random float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.failures {
		if interval >= maxBackOff {
			break
		}
		interval = min(2*interval, maxBackOff)
	}
	return time.Duration(float64(interval) * (0.9 + 0.2*random))
}

func (b *inbox) take() (ota.Notice, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.notices) == 0 {
		return nil, false
	}
	n := b.notices[0]
	b.notices = b.notices[1:]
	return n, true
}

// observe notes an answer of Pending: what is gone from it was withdrawn.
func (b *inbox) observe(offers []ota.Offer, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		switch ota.KindOf(err) {
		case ota.KindUnreachable, ota.KindUnavailable, ota.KindTooMany, ota.KindInternal:
			b.failures++
		}
		return
	}
	b.failures = 0
	ids := make([]ota.UpdateID, 0, len(offers))
	for _, o := range offers {
		ids = append(ids, o.Update)
	}
	for _, id := range b.known {
		if !slices.Contains(ids, id) {
			b.notices = append(b.notices, ota.Withdrawn{Update: id})
		}
	}
	b.known = ids
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// concluded forgets an update the device itself has ended.
func (b *inbox) concluded(id ota.UpdateID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = slices.DeleteFunc(b.known, func(k ota.UpdateID) bool { return k == id })
}
