package ab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// health runs the health check once; without one, a slot in which the client
// runs is healthy.
func (in *Installer) health(ctx context.Context) error {
	if in.cfg.HealthCheck == "" {
		return nil
	}
	in.fault("before the health check")
	_, err := run(ctx, time.Duration(in.cfg.HealthTimeout)*time.Second, "", strings.Fields(in.cfg.HealthCheck)...)
	in.fault("after the health check")
	return err
}

// restart runs the reboot command and waits for what it brings: the end of
// ctx. It returns an error if the device goes on running, after some tries.
//
// A client that is told to stop does not take the command with it.
func (in *Installer) restart(ctx context.Context) error {
	var err error
	for range restartTries {
		in.fault("before the reboot command")
		_, err = run(context.WithoutCancel(ctx), hookLimit, "", strings.Fields(in.cfg.Reboot)...)
		in.fault("after the reboot command")
		wait := restartPause
		if err == nil {
			wait = restartLimit
			err = fmt.Errorf("the device still runs %s later", restartLimit)
		}
		in.log.Info("the device is to restart", "command", in.cfg.Reboot)
		if ended := in.pause(ctx, wait); ended != nil {
			return ended
		}
	}
	return fmt.Errorf("the reboot command does not restart the device: %w", err)
}
