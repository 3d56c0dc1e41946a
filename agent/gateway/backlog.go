package gateway

import (
	"context"
	"slices"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// backlog holds the notices that wait, the latest for each update, oldest
// first.
type backlog struct {
	mu    sync.Mutex
	list  []notice
	added chan struct{} // holds an item when there is something to look at
}

func newBacklog() *backlog { return &backlog{added: make(chan struct{}, 1)} }

func (b *backlog) add(n notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(n.update)
	if len(b.list) == maxUntold {
		b.list = slices.Delete(b.list, 0, 1)
	}
	b.list = append(b.list, n)
	select {
	case b.added <- struct{}{}:
	default:
	}
}

func (b *backlog) remove(id ota.UpdateID) {
	b.list = slices.DeleteFunc(b.list, func(n notice) bool { return n.update == id })
}

// first waits for a notice.
func (b *backlog) first(ctx context.Context) (notice, error) {
	for {
		b.mu.Lock()
		if len(b.list) > 0 {
			defer b.mu.Unlock()
			return b.list[0], nil
		}
		b.mu.Unlock()
		select {
		case <-b.added:
		case <-ctx.Done():
			return notice{}, ctx.Err()
		}
	}
}

// has reports whether n still waits: it may have been replaced by later news
// of its update.
func (b *backlog) has(n notice) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.list, n.same)
}

// done takes n out.
func (b *backlog) done(n notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = slices.DeleteFunc(b.list, n.same)
}

// same reports whether m is this very notice.
func (n notice) same(m notice) bool { return n.update == m.update && n.since.Equal(m.since) }
