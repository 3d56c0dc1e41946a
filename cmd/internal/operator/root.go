// Package operator is the updraft program as operators use it: commands that
// speak to a server, and key, suit and rvi keygen, which need none.
//
// All talk with the user follows a few rules. What was asked for goes to
// standard output: a table for people, or with -o json exactly one JSON
// document. Everything else goes to standard error: progress, only on a
// terminal, and one line for an error, beginning with "updraft:". The exit
// code is 0 for done, 1 for failed and 2 for wrong usage.
package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// options are what every command takes.
type options struct {
	server string
	token  string
	output string // table or json
}

// defaultServer is where updraft server listens unless told otherwise.
const defaultServer = "http://127.0.0.1:8080"

// Root is the program updraft: the operator's commands, and others given.
// Run it with Execute.
func Root(version string, others ...*cobra.Command) *cobra.Command {
	o := &options{server: defaultServer, output: "table"}
	if s := os.Getenv("UPDRAFT_SERVER"); s != "" {
		o.server = s
	}
	commands := []*cobra.Command{deviceCommands(o), packageCommands(o), updateCommands(o), rviCommands(o), keyCommands(o), suitCommands(o), versionCommand(o, version)}
	root := group("updraft", "Over-the-air updates for fleets", append(append(others, publishCommand(o)), commands...)...)
	root.Version = version
	root.Long = `Updraft updates fleets of devices over the air. updraft server is the server,
updraft demo shows all of it on this machine, and the other commands are for
operators of a server.

An https server is trusted if the system's certificates vouch for it;
SSL_CERT_FILE names others.`
	root.Example = `  updraft server --data /var/lib/updraft
  export UPDRAFT_TOKEN=$(cat /var/lib/updraft/admin.token)
  updraft device add --name lab-1 --agent-config sota.toml
  updraft package add app.deb --name app --version 2
  updraft update send --device lab-1 --package app=2`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	// The flags stand before or after the commands they are for, and the
	// other commands have none of them.
	root.TraverseChildren = true
	o.flags(root.Flags())
	for _, c := range commands {
		o.flags(c.PersistentFlags())
	}
	blameUsage(root)
	return root
}

func (o *options) flags(fs *pflag.FlagSet) {
	fs.StringVar(&o.server, "server", o.server, "`URL` of the server (or UPDRAFT_SERVER)")
	o.userFlags(fs)
}

// userFlags are those of commands that name the server in their own way.
func (o *options) userFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.token, "token", "", "operator's `token` (better: UPDRAFT_TOKEN, which others cannot see)")
	fs.VarP(settings.Choice{Word: &o.output, Words: []string{"table", "json"}}, "output", "o", "`format` of what is printed: a table for people, or one json document")
}

// Execute runs the program and returns its exit code. An error is told in
// one line.
func Execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(root.ErrOrStderr(), "updraft: %s\n", strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
	// What stands before the command is not told to blameUsage.
	if _, invalid := errors.AsType[*pflag.InvalidValueError](err); invalid || usage.Wrong(err) {
		return 2
	}
	return 1
}

// blameUsage makes what cobra finds wrong with flags and arguments wrong
// usage, for a command and all below it.
func blameUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage.Errorf("%w: see %s --help", err, c.CommandPath())
	})
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			switch {
			case err == nil:
				return nil
			case c.HasSubCommands():
				return usage.Errorf("%w: see %s --help", err, c.CommandPath())
			}
			return usage.Errorf("%w: %s; see --help", err, strings.TrimSuffix(c.UseLine(), " [flags]"))
		}
	}
	for _, sub := range c.Commands() {
		blameUsage(sub)
	}
}

// group makes a command that only holds others. Called by itself it says
// which there are, as wrong usage.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			var names []string
			for _, sub := range c.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			return usage.Errorf("%s what? %s: see %s --help", c.CommandPath(), strings.Join(names, ", "), c.CommandPath())
		},
	}
	c.AddCommand(commands...)
	return c
}

// takes asks for that many arguments.
func takes(least, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return errors.New("something is missing")
		case len(args) > most:
			return fmt.Errorf("%q is too much", args[most])
		}
		return nil
	}
}

// need marks flags that must be given and not empty.
func need(c *cobra.Command, flags ...string) {
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		for _, name := range flags {
			if c.Flag(name).Value.String() == "" {
				return fmt.Errorf("--%s is needed", name)
			}
		}
		return check(c, args)
	}
}

func versionCommand(o *options, version string) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print this program's version",
		Example: "  updraft version -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			doc := map[string]string{"version": version, "go": runtime.Version()}
			return o.show(c, doc, func(w io.Writer) { fmt.Fprintln(w, "updraft", version) })
		},
	}
}
