package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// How often upkeep looks. The grace keeps bytes that an upload has just put
// but not yet referred to.
const (
	expireInterval  = 30 * time.Second
	collectInterval = time.Hour
	collectGrace    = time.Hour
	scrubInterval   = 24 * time.Hour
)

// Upkeep does what time demands until ctx ends: it writes last-seen times,
// ends updates whose time ran out, collects blobs nothing refers to, and
// reads all of them once a day; it returns once all of that has ended. Failures are logged and tried again.
func (f *Fleet) Upkeep(ctx context.Context) {
	var tasks sync.WaitGroup
	tasks.Go(func() { f.every(ctx, scrubInterval, "scrub blobs", f.scrub) })
	tasks.Go(func() { f.every(ctx, collectInterval, "collect blobs", f.Collect) })
	tasks.Go(func() { f.every(ctx, expireInterval, taskExpire, f.expire) })
	tasks.Go(func() { f.every(ctx, SeenInterval, taskSeen, f.flushSeen) })
	tasks.Wait()
}

func (f *Fleet) every(ctx context.Context, d time.Duration, what string, do func(context.Context) error) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f.attempt(ctx, what, do)
		}
	}
}

// attempt does a piece of upkeep. Reads do theirs by it too: a disk that is
// full must not hide from an operator what could be removed.
func (f *Fleet) attempt(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); err != nil && ctx.Err() == nil {
		f.Log.Error("upkeep failed, will try again", "task", what, "err", err)
	}
}

const (
	taskExpire = "expire updates"
	taskSeen   = "write last-seen times"
)

// expirePage bounds one transaction of the sweep.
const expirePage = 500

// expire ends pending updates whose time has run out.
func (f *Fleet) expire(ctx context.Context) error {
	for {
		var due []ota.Update
		err := f.Store.Read(ctx, func(tx ota.ReadTx) (err error) {
			due, err = tx.DueUpdates(tx.Now(), expirePage)
			return err
		})
		if err != nil || len(due) == 0 {
			return err
		}
		err = f.write(ctx, func(tx ota.Tx) error {
			due, err := tx.DueUpdates(tx.Now(), expirePage)
			if err != nil {
				return err
			}
			for _, u := range due {
				if u.Expire(tx.Now()) {
					if err := putUpdate(tx, u); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// Collect deletes bytes no package refers to.
func (f *Fleet) Collect(ctx context.Context) error {
	freed, err := f.Blobs.Collect(ctx, f.Now().Add(-collectGrace), func(d ota.Digest) (used bool, err error) {
		err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
			used, err = tx.BlobInUse(d)
			return err
		})
		return used, err
	})
	if freed > 0 {
		f.Log.Info("collected blobs nothing refers to", "bytes", freed)
	}
	return err
}

func (f *Fleet) scrub(ctx context.Context) error {
	return f.Blobs.Scrub(ctx, func(d ota.Digest, err error) {
		f.Log.Error("stored artifact is corrupt: publish it again", "sha256", d, "err", err)
	})
}
