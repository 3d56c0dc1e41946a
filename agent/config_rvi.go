package agent

import (
	"errors"
	"fmt"
)

// RVIConfig describes the conversation over RVI: with a node in another process
// or, if Server is set, one of the client's own.
type RVIConfig struct {
	Client     string `toml:"client"` // the other process's node
	Server     string `toml:"server"` // host:port the client's own node links to
	StorageDir string `toml:"storage_dir"`
	Timeout    int64  `toml:"timeout"` // seconds an idle transfer lives; 0: for ever
	Dialect    string `toml:"dialect"` // "2016" or "2015"

	// What the client's own node shows over TLS; all are empty for a plain link.
	Root string `toml:"root"`
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
	Cred string `toml:"cred"`
}

func newRVI() *RVIConfig {
	return &RVIConfig{Client: "http://127.0.0.1:8901", StorageDir: "/var/sota", Dialect: "2016"}
}

// Secure reports whether the client's own node has something to show.
func (c RVIConfig) Secure() bool { return c.Root != "" }

// peer is who the client speaks to.
func (c RVIConfig) peer() string {
	if c.Server != "" {
		return "rvi://" + c.Server
	}
	return "rvi+" + c.Client
}

func (c Config) checkRVI() error {
	switch {
	case !c.Gateway.RVI:
		return nil
	case c.RVI == nil:
		return errors.New("gateway.rvi: an [rvi] section is needed, an empty one will do")
	case c.RVI.Dialect == "2015" && c.Device.VIN == "":
		return errors.New("device.vin: rvi.dialect 2015 needs one")
	}
	files := []string{c.RVI.Root, c.RVI.Cert, c.RVI.Key, c.RVI.Cred}
	set := 0
	for _, f := range files {
		if f != "" {
			set++
		}
	}
	switch {
	case set != 0 && set != len(files):
		return errors.New("rvi.root, rvi.cert, rvi.key and rvi.cred go together")
	case set != 0 && c.RVI.Server == "":
		return errors.New("rvi.server: rvi.root, rvi.cert, rvi.key and rvi.cred are of the client's own node, which this key makes")
	}
	return nil
}

func isDialect(s string) error {
	if s != "2015" && s != "2016" {
		return fmt.Errorf("expected 2016 or 2015, not %q", s)
	}
	return nil
}

// isOptionalAddress is isAddress, or nothing.
func isOptionalAddress(s string) error {
	if s == "" {
		return nil
	}
	return isAddress(s)
}
