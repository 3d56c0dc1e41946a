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
	hookLimit = 30 * time.Second // for the hook's answer; none is a no
	hookHolds = time.Minute      // so long a yes is not asked for again
)

// mayDownload asks policy.metered_hook, unless someone asked for the download.
// It fails with errMetered, or ctx's error.
func (a *Agent) mayDownload(ctx context.Context) error {
	hook := a.cfg.Policy.MeteredHook
	if hook == "" || !a.now.own || time.Now().Before(a.allowed) {
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
	a.allowed = time.Now().Add(hookHolds)
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

// metered is a download's body for as long as the hook allows it.
type metered struct {
	io.Reader
	may func() error
}

func (m metered) Read(p []byte) (int, error) {
	if err := m.may(); err != nil {
		return 0, err
	}
	return m.Reader.Read(p)
}
