package device

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/swm"
	"github.com/updraft-ota/updraft/swm/bus"
	"github.com/updraft-ota/updraft/swm/image"
	"github.com/updraft-ota/updraft/swm/socket"
)

// managerFlags are what updraft-agent swm is told.
type managerFlags struct {
	stateDir, plugins, root string
	accept                  string
	bus                     string
	compatOrder             bool
	events, commands        string
	pluginTimeout           time.Duration
	limits                  image.Limits
}

// managerCommand makes the software loading manager's command.
func managerCommand(version string, hooks Hooks, started *bool) *cobra.Command {
	var f managerFlags
	cmd := &cobra.Command{
		Use:   "swm",
		Short: "Install update images as the reference software loading manager",
		Long: `The reference software loading manager: it hears from a client with package
manager "off" of update images that are downloaded, unpacks them, runs the
operations of their update_manifest.json, and tells the client the results.
It speaks D-Bus, or the client's Unix sockets where there is none.

Images, plug-ins and everything else are described in docs/swm.md.`,
		Example: `  updraft-agent swm --bus system --accept all
  updraft-agent swm --events-socket /tmp/sota-events.socket --commands-socket /tmp/sota-commands.socket`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.stateDir, "state-dir", "/var/lib/updraft-swm", "directory `DIR` for the journal and unpacked images")
	fs.StringVar(&f.plugins, "plugins", "/usr/lib/updraft-swm/plugins", "directory `DIR` of plug-ins for flashing and partitions")
	fs.StringVar(&f.root, "root", "/", "root directory `DIR` of the system that is updated")
	fs.StringVar(&f.accept, "accept", "ask", "`WHICH` updates to agree to that need consent: all, none, or ask on the terminal")
	fs.StringVar(&f.bus, "bus", "session", "the `BUS` to be on: session or system")
	fs.BoolVar(&f.compatOrder, "compat-order", false, "expect updateAvailable with the signature before the description, as the original client sends it")
	fs.StringVar(&f.events, "events-socket", "", "listen for events on the socket `PATH`, instead of D-Bus")
	fs.StringVar(&f.commands, "commands-socket", "", "send commands to the socket `PATH`")
	fs.DurationVar(&f.pluginTimeout, "plugin-timeout", 30*time.Minute, "the longest `TIME` a plug-in may take")
	fs.Int64Var(&f.limits.Bytes, "max-bytes", image.DefaultLimits.Bytes, "an image may hold so many `BYTES`, unpacked")
	fs.IntVar(&f.limits.Files, "max-files", image.DefaultLimits.Files, "and so many `FILES` and directories")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		consent, err := f.check(hooks)
		if err != nil {
			return err
		}
		*started = true
		return f.manage(cmd.Context(), consent, hooks, newLog(hooks.Log, version, os.Getenv))
	}
	return cmd
}

// check reads what the flags cannot.
func (f managerFlags) check(hooks Hooks) (swm.Consent, error) {
	switch {
	case f.bus != "session" && f.bus != "system":
		return nil, usage.Errorf("--bus: expected session or system, not %q", f.bus)
	case (f.events == "") != (f.commands == ""):
		return nil, usage.Errorf("--events-socket and --commands-socket go together")
	case f.limits.Bytes < 1 || f.limits.Files < 1 || f.pluginTimeout <= 0:
		return nil, usage.Errorf("--max-bytes, --max-files and --plugin-timeout must be positive")
	}
	switch f.accept {
	case "all":
		return swm.Yes, nil
	case "none":
		return swm.No, nil
	case "ask":
		return swm.Terminal(hooks.In, hooks.Out), nil
	}
	return nil, usage.Errorf("--accept: expected all, none or ask, not %q", f.accept)
}

func (f managerFlags) manage(ctx context.Context, consent swm.Consent, hooks Hooks, log *slog.Logger) error {
	m, err := swm.New(swm.Options{
		StateDir: f.stateDir, Root: f.root, Plugins: f.plugins, PluginTimeout: f.pluginTimeout,
		Limits: f.limits, Consent: consent, Log: log, Fault: hooks.Fault,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	if f.events != "" {
		err = socket.Serve(ctx, m, socket.Options{Events: f.events, Commands: f.commands, Log: log})
	} else {
		err = bus.Serve(ctx, m, bus.Options{System: f.bus == "system", CompatOrder: f.compatOrder, Log: log})
	}
	if err != nil {
		return fmt.Errorf("software loading manager: %w", err)
	}
	log.Info("software loading manager has ended")
	return nil
}
