package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// errMetered puts a download off until policy.metered_hook lets it go on.
var errMetered = errors.New("policy.metered_hook does not allow it now")

const (
	hookLimit  = 30 * time.Second // for the hook's answer; none is a no
	checkEvery = time.Minute      // while bytes arrive
)

// mayDownload asks policy.metered_hook, unless someone asked for the download.
// It fails with errMetered, or ctx's error.
func (a *Agent) mayDownload(ctx context.Context) error {
	hook := a.cfg.Policy.MeteredHook
	if hook == "" || !a.now.own {
		return nil
	}
	a.allow(callLimit)
	_, err := program{hook, hookLimit, 64 << 10}.run(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: %v", errMetered, err)
	}
	return nil
}

// unmetered reports whether a download may begin.
func (a *Agent) unmetered(ctx context.Context, id ota.UpdateID) bool {
	err := a.mayDownload(ctx)
	if err != nil {
		a.log.Info("a download waits", "update", id, "err", err)
	}
	return err == nil
}

// metered is a download's body that asks again now and then.
func (a *Agent) metered(ctx context.Context, r io.Reader) io.Reader {
	asked := time.Now()
	return guarded{r, func() error {
		if time.Since(asked) < checkEvery {
			return nil
		}
		asked = time.Now()
		return a.mayDownload(ctx)
	}}
}

// guarded ends when allowed says so.
type guarded struct {
	io.Reader
	allowed func() error
}

func (g guarded) Read(p []byte) (int, error) {
	if err := g.allowed(); err != nil {
		return 0, err
	}
	return g.Reader.Read(p)
}
