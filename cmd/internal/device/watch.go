package device

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/updraft-ota/updraft/agent"
)

// stuckAfter is how long the client may show no sign of life.
const stuckAfter = time.Minute

// watch tells systemd that the client is up and, while it gets on, that it is
// alive. Without systemd it does nothing.
func watch(ctx context.Context, client *agent.Agent, log *slog.Logger) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("systemd does not hear that the client is up", "err", err)
	}
	defer daemon.SdNotify(false, daemon.SdNotifyStopping)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if quiet := now.Sub(client.Alive()); quiet > stuckAfter {
				log.Error("the client is stuck, systemd will restart it", "quiet", quiet)
				continue
			}
			daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		}
	}
}
