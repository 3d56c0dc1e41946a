package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// configure reads the layers as updraft server would.
func configure(t *testing.T, args ...string) (Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("server", pflag.ContinueOnError)
	load := Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return load()
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEverySettingIsFlagKeyAndVariable(t *testing.T) {
	// A text for each setting that differs from its default, as TOML and bare.
	texts := map[string]string{
		"data": "'/d'", "auth": "'none'", "bind": "'::1'", "http-host": "'h'", "coap-host": "'h'", "coap-public": "false", "coaps-client-ca": "'a'", "debug": "true",
		"tls-cert": "'c'", "tls-key": "'k'", "max-upload": "'32MiB'", "trusted-keys": "'t'",
		"with-coap-server": "false", "suit-trusted-keys": "'s'", "require-suit": "true", "upload-path": "'u'", "static-path": "'p'",
		"package-name-pattern": "'^a$'", "package-version-pattern": "'^1$'",
		"rvi-root": "'r'", "rvi-cert": "'c'", "rvi-key": "'k'", "rvi-cred": "'j'", "rvi-node": "'http://127.0.0.1:8801'", "edge-allow": "'10.0.0.0/8'",
	}
	var c Config
	table := c.table(new(string))
	read := func(c Config, name string) string {
		for _, s := range c.table(new(string)) {
			if s.Name == name {
				return s.Value.String()
			}
		}
		panic(name)
	}
	for _, s := range table {
		if s.FlagOnly {
			continue
		}
		text, ok := texts[s.Name]
		if !ok && strings.HasSuffix(s.Name, "-port") {
			text, ok = "1234", true
		}
		if !ok {
			t.Errorf("no text for %s", s.Name)
			continue
		}
		bare := strings.Trim(text, "'")
		// What other settings demand; it must not be the setting itself.
		rest := []string{"--data=/d"}
		switch s.Name {
		case "data":
			rest = nil
		case "tls-cert":
			rest = append(rest, "--tls-key=k")
		case "tls-key":
			rest = append(rest, "--tls-cert=c")
		case "https-port", "coaps-tcp-port", "coaps-client-ca":
			rest = append(rest, "--tls-cert=c", "--tls-key=k")
		case "rvi-link-port":
			rest = append(rest, "--auth=none")
		case "rvi-root", "rvi-cert", "rvi-key", "rvi-cred":
			for _, name := range []string{"rvi-root", "rvi-cert", "rvi-key", "rvi-cred"} {
				if name != s.Name {
					rest = append(rest, "--"+name+"=x")
				}
			}
		}
		for layer, load := range map[string]func(t *testing.T) (Config, error){
			"flag": func(t *testing.T) (Config, error) { return configure(t, append(rest, "--"+s.Name+"="+bare)...) },
			"file": func(t *testing.T) (Config, error) {
				return configure(t, append(rest, "--config", file(t, s.Key()+" = "+text))...)
			},
			"variable": func(t *testing.T) (Config, error) {
				t.Setenv("UPDRAFT_"+strings.ToUpper(s.Key()), bare)
				return configure(t, rest...)
			},
		} {
			t.Run(s.Name+"/"+layer, func(t *testing.T) {
				c, err := load(t)
				if err != nil || read(c, s.Name) != bare {
					t.Errorf("got %q, %v; want %q", read(c, s.Name), err, bare)
				}
			})
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := configure(t, "--data", "/d")
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != 8080 || c.CoAP != 5683 || c.HTTPS != settings.Closed || c.Auth != AuthOn || c.MaxUpload != 4<<30 {
		t.Errorf("%+v", c)
	}
	if addr, err := c.address(); err != nil || addr.IsValid() {
		t.Errorf("with auth on, %v, %v instead of all addresses", addr, err)
	}
	c.Auth = AuthNone
	if addr, err := c.address(); err != nil || addr.String() != "127.0.0.1" {
		t.Errorf("with auth none, %v, %v instead of 127.0.0.1", addr, err)
	}
}

func TestTheConfigFileMayBeNamedByAVariable(t *testing.T) {
	t.Setenv("UPDRAFT_CONFIG", file(t, "data = '/d'\nhttp_port = 1"))
	if c, err := configure(t); err != nil || c.HTTP != 1 {
		t.Errorf("port %v, %v", c.HTTP, err)
	}
	if c, err := configure(t, "--config", file(t, "data = '/d'\nhttp_port = 2")); err != nil || c.HTTP != 2 {
		t.Errorf("the flag must beat the variable: port %v, %v", c.HTTP, err)
	}
}

func TestACertificateAloneOpensHTTPS(t *testing.T) {
	c, err := configure(t, "--data=/d", "--tls-cert=c", "--tls-key=k")
	if err != nil || c.HTTPS != 8443 {
		t.Errorf("https port %v, %v", c.HTTPS.String(), err)
	}
	c, err = configure(t, "--data=/d", "--tls-cert=c", "--tls-key=k", "--https-port=off")
	if err != nil || c.HTTPS.Open() {
		t.Errorf("closed on purpose, as the certificate is for others: https port %v, %v", c.HTTPS.String(), err)
	}
	if _, err = configure(t, "--data=/d", "--tls-cert=c", "--tls-key=k", "--https-port=off", "--http-port=off"); err == nil {
		t.Error("a server without any door was taken")
	}
}

func TestWrongConfigurationsAreWrongUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"give --data DIR":       {},
		"belong together":       {"--data=d", "--tls-cert=c"},
		"needs a certificate":   {"--data=d", "--https-port=0"},
		"nothing would listen":  {"--data=d", "--http-port=off"},
		"on loopback only":      {"--data=d", "--auth=none", "--bind=0.0.0.0"},
		"leave --bind 192.0.2":  {"--data=d", "--auth=none", "--bind=192.0.2.1"},
		"--bind ::":             {"--data=d", "--auth=none", "--bind=::"},
		"expected an IP addres": {"--data=d", "--bind=example.org"},
		"give all or none":      {"--data=d", "--rvi-tls-port=0", "--rvi-root=r", "--rvi-cert=c", "--rvi-key=k"},
		"use --rvi-tls-port":    {"--data=d", "--rvi-link-port=0"},
		"is a node of its own":  {"--data=d", "--rvi-node=http://127.0.0.1:1", "--rvi-edge-port=0"},
		"URL of a node's edge":  {"--data=d", "--rvi-node=127.0.0.1:8801"},
		"cannot call back":      {"--data=d", "--auth=none", "--rvi-node=http://192.0.2.1:8801"},
		"expected a network":    {"--data=d"},
	} {
		if want == "expected a network" {
			t.Setenv("UPDRAFT_EDGE_ALLOW", "10.0.0.1")
		}
		_, err := configure(t, args...)
		t.Setenv("UPDRAFT_EDGE_ALLOW", "")
		if !usage.Wrong(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
	for _, bind := range []string{"127.0.0.1", "127.1.2.3", "::1", "localhost"} {
		if _, err := configure(t, "--data=d", "--auth=none", "--bind", bind); err != nil {
			t.Errorf("--bind %s is loopback: %v", bind, err)
		}
	}
}
