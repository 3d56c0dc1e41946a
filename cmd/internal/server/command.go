package server

import "github.com/spf13/cobra"

// Command is updraft server, of that version.
func Command(version string) *cobra.Command {
	c := &cobra.Command{
		Use:   "server --data DIR",
		Short: "Run the server",
		Long: `Run the server: devices learn of their updates here, and operators publish
packages and send them.

Every flag but --config is also a key of the TOML file (--http-port is
http_port) and a variable (UPDRAFT_HTTP_PORT). A flag beats a variable, and
that beats the file.

The first start makes a token for operators, in DIR/admin.token; to get a new
one, delete the file and restart. While the server serves, DIR/addresses.json
tells where it listens. SIGINT and SIGTERM end it in order; a second one ends
it at once.`,
		Example: `  updraft server --data /var/lib/updraft
  updraft server --data ./data --auth none --http-port 0
  updraft server --data /var/lib/updraft --tls-cert cert.pem --tls-key key.pem --https-port 8443 --http-port off`,
		Args: cobra.NoArgs,
	}
	load := Flags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := load()
		if err != nil {
			return err
		}
		return Run(c.Context(), config, Hooks{Log: c.ErrOrStderr(), Version: version})
	}
	return c
}
