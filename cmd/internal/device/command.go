// Package device is the updraft-agent program: its command line, how its
// parts are put together, and how it starts and ends.
package device

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/agent"
)

// Hooks let whoever runs the client watch it. All may be zero.
type Hooks struct {
	In    io.Reader          // the console's input; nil is os.Stdin
	Out   io.Writer          // the console's output; nil is os.Stdout
	Log   io.Writer          // nil is os.Stderr
	Fault func(point string) // see agent.StateOptions
}

func (h *Hooks) fill() {
	if h.In == nil {
		h.In = os.Stdin
	}
	if h.Out == nil {
		h.Out = os.Stdout
	}
	if h.Log == nil {
		h.Log = os.Stderr
	}
}

// Main runs the program and returns its exit status: 0 after Shutdown,
// SIGINT or SIGTERM, 1 if it could not start or go on, 2 for wrong usage.
func Main(args []string, version string, hooks Hooks) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return mainUntil(ctx, args, version, hooks)
}

// mainUntil is Main with ctx's end in the place of signals.
func mainUntil(ctx context.Context, args []string, version string, hooks Hooks) int {
	hooks.fill()
	started := false
	cmd := command(version, hooks, &started)
	cmd.SetArgs(args)
	cmd.SetOut(hooks.Out)
	cmd.SetErr(hooks.Log)
	called, err := cmd.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case started:
		fmt.Fprintf(hooks.Log, "updraft-agent: %v\n", err)
		return 1
	}
	fmt.Fprintf(hooks.Log, "updraft-agent: %v\nTry '%s --help'.\n", err, called.CommandPath())
	return 2
}

// Command is the program's command, for those who only read it.
func Command(version string) *cobra.Command { return command(version, Hooks{}, new(bool)) }

// command makes the program's command; started is set once the command line
// is understood.
func command(version string, hooks Hooks, started *bool) *cobra.Command {
	var path string
	var show bool
	cmd := &cobra.Command{
		Use:   "updraft-agent",
		Short: "Learn of updates, download them, have them installed, report",
		Long: `The device client: it asks a server for updates, downloads and verifies them,
has them installed, and reports how that went. Others on the device send it
commands and hear its events through gateways.

Settings come from the configuration file and, beating it, from options: one
for every key of the file. The environment knows SOTA_CONFIG, the file to read
without --config, and SOTA_LOG (or RUST_LOG): debug, info, warn or error.`,
		Example: `  updraft-agent --config /etc/sota.toml
  updraft-agent --config sota.toml --print              # what is in force
  updraft-agent --config sota.toml --gateway-console true
  SOTA_LOG=debug updraft-agent --config sota.toml --core-polling-sec 5`,
		Version:           version,
		Args:              cobra.NoArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&path, "config", "c", "", "read this configuration `FILE`")
	fs.BoolVarP(&show, "print", "p", false, "print the effective configuration and exit")
	fs.BoolP("version", "v", false, "print the version and exit")
	for _, k := range agent.Keys {
		fs.Var(&option{arg: k.Arg}, k.Flag(), fmt.Sprintf("%s [%s]", k.Help, k))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		*started = true
		log := newLog(hooks.Log, version, os.Getenv)
		cfg, err := configure(path, given(fs), os.Getenv, log)
		if err != nil {
			return err
		}
		if show {
			return cfg.Print(hooks.Out)
		}
		return run(cmd.Context(), cfg, hooks, log)
	}
	cmd.AddCommand(managerCommand(version, hooks, started), nodeCommand(version, hooks, started))
	return cmd
}

// option is the text given for a key; what it must look like, the key knows.
type option struct{ text, arg string }

func (o *option) String() string     { return o.text }
func (o *option) Type() string       { return o.arg }
func (o *option) Set(s string) error { o.text = s; return nil }

// given collects the keys that options name.
func given(fs *pflag.FlagSet) map[string]string {
	flags := map[string]string{}
	for _, k := range agent.Keys {
		if f := fs.Lookup(k.Flag()); f.Changed {
			flags[k.Flag()] = f.Value.String()
		}
	}
	return flags
}
