package device

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// run puts the client together and runs it until ctx ends or someone says
// Shutdown, which is nil.
func run(ctx context.Context, cfg agent.Config, hooks Hooks, log *slog.Logger) error {
	installer, err := newInstaller(cfg, log)
	if err != nil {
		return err
	}
	state, err := agent.OpenState(cfg.StatePath(), cfg.Identity(), agent.StateOptions{Log: log, Fault: hooks.Fault})
	if err != nil {
		return err
	}
	defer state.Close()
	clock := agent.NewClock(buildDate(), state, log)
	link, err := httpapi.NewClient(transport(cfg, clock))
	if err != nil {
		return err
	}
	if err := cfg.KeepCredentials(); err != nil {
		return err
	}
	var uplink ota.Uplink = link
	var also []func(context.Context) error
	if cfg.Gateway.RVI {
		r, err := openRVI(cfg, hooks, log)
		if err != nil {
			return err
		}
		defer r.end(log)
		uplink, also = r, append(also, r.run)
	}
	opts := agent.Options{Config: cfg, Uplink: uplink, Installer: installer, State: state, Clock: clock, Log: log}
	if cfg.Auth != nil && !cfg.Gateway.RVI { // over RVI the link is the proof
		opts.Auth = link
	}
	client, err := agent.New(opts)
	if err != nil {
		return err
	}
	return serve(ctx, cfg, client, hooks, log, also...)
}

// transport is the conversation as the configuration wants it.
func transport(cfg agent.Config, clock *agent.Clock) httpapi.Config {
	t := httpapi.Config{
		Server: cfg.Core.Server, Device: ota.DeviceID(cfg.Device.UUID),
		CAFile: cfg.Device.CertificatesPath, Poll: cfg.Core.Interval(),
		CertTime: clock.Now, Told: clock.Learn,
	}
	if cfg.Auth != nil {
		t.Auth = cfg.Auth.Server
	}
	return t
}

// serve runs the client, its gateways and what else it needs. What ends first
// ends all, but for the console: the end of its input is the end of the console
// only.
func serve(ctx context.Context, cfg agent.Config, client *agent.Agent, hooks Hooks, log *slog.Logger, also ...func(context.Context) error) error {
	open, err := doors(cfg, client, hooks, log)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, run := range also {
		all.Go(func() error { return run(ctx) })
	}
	for _, d := range open {
		all.Go(func() error { return d.Serve(ctx) })
	}
	all.Go(func() error { return watch(ctx, client, log) })
	all.Go(func() error {
		if err := client.Run(ctx); err != nil {
			return err
		}
		return errShutdown
	})
	log.Info("client runs", "device", cfg.Device.UUID, "server", cfg.Identity().Server, "package_manager", cfg.Device.PackageManager)
	settle()
	defer time.AfterFunc(settled, settle).Stop()
	if err := all.Wait(); err != nil && !errors.Is(err, errShutdown) {
		return err
	}
	log.Info("client has ended")
	return nil
}

// errShutdown ends the gateways once the client has ended.
var errShutdown = errors.New("shutdown")
