package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

type config struct {
	name  settings.Text
	loud  settings.Switch
	mode  string
	port  settings.Port
	limit settings.Size
	match settings.Pattern
	file  settings.Text
	nets  settings.Networks
}

func (c *config) table() settings.Table {
	c.port, c.limit, c.mode = 8080, 4<<30, "on"
	return settings.Table{
		{Name: "name", Value: &c.name},
		{Name: "loud", Value: &c.loud},
		{Name: "mode", Value: settings.Choice{Word: &c.mode, Words: []string{"on", "none"}}},
		{Name: "http-port", Value: &c.port},
		{Name: "max-upload", Value: &c.limit},
		{Name: "match", Value: &c.match},
		{Name: "allow", Value: &c.nets},
		{Name: "config", Value: &c.file, FlagOnly: true},
	}
}

// load layers a file, variables and flags the way a program does.
func load(t *testing.T, file string, env map[string]string, args ...string) (config, error) {
	t.Helper()
	var flags, c config
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.table().Flags(fs)
	if err := fs.Parse(args); err != nil {
		return c, usage.Errorf("%w", err)
	}
	table := c.table()
	if file != "" {
		path := filepath.Join(t.TempDir(), "c.toml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := table.File(path); err != nil {
			return c, err
		}
	}
	if err := table.Environment("T_", func(k string) string { return env[k] }); err != nil {
		return c, err
	}
	return c, table.Override(fs)
}

func TestEachLayerBeatsThoseBeforeIt(t *testing.T) {
	file := "http_port = 1000\n"
	env := map[string]string{"T_HTTP_PORT": "2000"}
	for _, tt := range []struct {
		what string
		file string
		env  map[string]string
		args []string
		want settings.Port
	}{
		{"default", "", nil, nil, 8080},
		{"file", file, nil, nil, 1000},
		{"environment", file, env, nil, 2000},
		{"an empty variable says nothing", file, map[string]string{"T_HTTP_PORT": ""}, nil, 1000},
		{"flag", file, env, []string{"--http-port", "3000"}, 3000},
		{"a flag that says the default beats too", file, env, []string{"--http-port=8080"}, 8080},
		{"off", file, env, []string{"--http-port=off"}, settings.Closed},
		{"off in the file", `http_port = "off"`, nil, nil, settings.Closed},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c, err := load(t, tt.file, tt.env, tt.args...)
			if err != nil || c.port != tt.want {
				t.Errorf("port = %v, %v; want %v", c.port, err, tt.want)
			}
		})
	}
}

func TestNetworks(t *testing.T) {
	file := `allow = ["10.0.0.0/8", "192.0.2.7/24"]`
	env := map[string]string{"T_ALLOW": "2001:db8::/32,127.0.0.0/8"}
	for _, tt := range []struct {
		file string
		env  map[string]string
		args []string
		want string
	}{
		{"", nil, nil, ""},
		{file, nil, nil, "10.0.0.0/8,192.0.2.0/24"},
		{"allow = '10.0.0.0/8'", nil, nil, "10.0.0.0/8"},
		{file, env, nil, "2001:db8::/32,127.0.0.0/8"},
		{file, env, []string{"--allow", "10.1.0.0/16", "--allow=10.2.0.0/16"}, "10.1.0.0/16,10.2.0.0/16"},
		{file, nil, []string{"--allow="}, ""},
	} {
		c, err := load(t, tt.file, tt.env, tt.args...)
		if err != nil || c.nets.String() != tt.want {
			t.Errorf("%v, %v; want %s", c.nets, err, tt.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]settings.Size{
		"1": 1, "1048576": 1 << 20, "32MiB": 32 << 20, "4GiB": 4 << 30, "4 GiB": 4 << 30, "10B": 10, "3KiB": 3 << 10, "1TiB": 1 << 40,
	} {
		var z settings.Size
		if err := z.Set(text); err != nil || z != want {
			t.Errorf("%q: got %d, %v; want %d", text, z, err, want)
		}
		if err := z.Set(z.String()); err != nil || z != want {
			t.Errorf("%q does not survive being printed: %d, %v", text, z, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "4GB", "1.5GiB", "GiB", "9999999999999TiB", "1e9"} {
		if z := settings.Size(7); z.Set(text) == nil {
			t.Errorf("%q was taken for %d bytes", text, z)
		}
	}
}

func TestWhatIsWrongIsToldInOneLine(t *testing.T) {
	for _, tt := range []struct {
		file string
		env  map[string]string
		args []string
		want string
	}{
		{file: "name = 'x'\nhttp_prot = 8080\n", want: "c.toml:2: http_prot: unknown key"},
		{file: "\n[http]\nport = 1\n", want: "c.toml:2: http: unknown key"},
		{file: "a.b = 1\n", want: "c.toml:1: a: unknown key"},
		{file: "config = 'other'\n", want: "c.toml:1: config: unknown key"},
		{file: "http_port = true\n", want: `c.toml:1: http_port: expected a number or "off", not true`},
		{file: "http_port = '80'\n", want: `c.toml:1: http_port: expected a number or "off", not the text "80"`},
		{file: "http_port = 65536\n", want: `c.toml:1: http_port: "65536": expected a port`},
		{file: "http_port = -1\n", want: `c.toml:1: http_port: "-1": expected a port`},
		{file: "# one\n# two\nloud = 'yes'\n", want: `c.toml:3: loud: expected true or false, not the text "yes"`},
		{file: "name = 5\n", want: "c.toml:1: name: expected a text, not 5"},
		{file: "name = ['a',\n'b']\n", want: "c.toml:1: name: expected a text, not a list"},
		{file: "name = 2026-01-01\n", want: "c.toml:1: name: expected a text, not a date or time"},
		{file: "max_upload = 1.5\n", want: "c.toml:1: max_upload: expected a number of bytes"},
		{file: "name = 'x'\nmode = 'off'\n", want: `c.toml:2: mode: "off": expected on or none`},
		{file: "name = 'x'\n\nname = 'y'\n", want: "c.toml:3: "},
		{file: "loud = true\nname = \n", want: "c.toml:2: "},
		{file: "match = '('\n", want: "c.toml:1: match: "},
		{file: "allow = [1]\n", want: "c.toml:1: allow: expected a list of texts such as"},
		{file: "allow = ['10.0.0.1']\n", want: `c.toml:1: allow: "10.0.0.1": expected a network`},
		{env: map[string]string{"T_HTTP_PORT": "eighty"}, want: `T_HTTP_PORT: "eighty": expected a port`},
		{env: map[string]string{"T_LOUD": "loudly"}, want: `T_LOUD: "loudly": expected true or false`},
		{args: []string{"--http-port=x"}, want: "--http-port"},
		// A layer that is beaten must be right all the same.
		{file: "http_port = true\n", args: []string{"--http-port=1"}, want: "c.toml:1: http_port"},
	} {
		_, err := load(t, tt.file, tt.env, tt.args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %v %v\n got %v\nwant %s", tt.file, tt.env, tt.args, err, tt.want)
			continue
		}
		if !usage.Wrong(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: wrong usage in one line expected, got %q", tt.file, err)
		}
	}
}

func TestAFileThatCannotBeReadIsWrongUsage(t *testing.T) {
	var c config
	for _, path := range []string{filepath.Join(t.TempDir(), "none.toml"), t.TempDir()} {
		if err := c.table().File(path); !usage.Wrong(err) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
