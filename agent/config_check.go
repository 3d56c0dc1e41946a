package agent

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Validate checks what no single key can tell: call it when the file, the
// credentials and the flags are all in. It fails, naming the key, for
// gateways whose section is missing or that this version does not have, for
// an unknown package manager, and if an https URL is configured without
// certificates to trust.
func (c Config) Validate() error {
	if err := c.checkGateways(); err != nil {
		return err
	}
	if err := c.checkManager(); err != nil {
		return err
	}
	if err := c.checkPolicy(); err != nil {
		return err
	}
	return c.checkCertificates()
}

func (c Config) checkPolicy() error {
	for _, limit := range []struct {
		key   string
		tries uint32
	}{{"download_tries", c.Policy.DownloadTries}, {"install_tries", c.Policy.InstallTries}} {
		if limit.tries == 0 || limit.tries > maxTries {
			return fmt.Errorf("policy.%s: expected a number from 1 to %d, not %d", limit.key, maxTries, limit.tries)
		}
	}
	return nil
}

// maxTries bounds policy.download_tries and policy.install_tries.
const maxTries = 1000

func (c Config) checkGateways() error {
	g := c.Gateway
	switch {
	case g.DBus && c.DBus == nil:
		return errors.New("gateway.dbus: a [dbus] section is needed, an empty one will do")
	case g.DBus && c.DBus.Timeout < 1:
		return errors.New("dbus.timeout: expected at least 1 second")
	}
	return c.checkRVI()
}

// checkManager knows the names of client.md 6; whether a manager can work on
// this machine is its own to say.
func (c Config) checkManager() error {
	if isAB(c.Device.PackageManager) {
		return c.checkAB()
	}
	scheme, rest, path := strings.Cut(c.Device.PackageManager, ":")
	switch scheme = strings.ToLower(scheme); {
	case !path && (scheme == "off" || scheme == "deb" || scheme == "rpm"), path && scheme == "file" && rest != "":
		return nil
	case path && scheme == "command":
		if !filepath.IsAbs(rest) {
			return fmt.Errorf("device.package_manager: expected the absolute path of a program after command:, not %q", rest)
		}
		return nil
	case path && scheme == "otb" && rest != "":
		return fmt.Errorf("device.package_manager: %q is not available in this version", c.Device.PackageManager)
	}
	return fmt.Errorf("device.package_manager: expected off, deb, rpm, ab, command:PATH or file:PATH, not %q", c.Device.PackageManager)
}

// checkCertificates looks for the bundle only where it is needed: unlike the
// original, which wants it for plain HTTP too.
func (c Config) checkCertificates() error {
	secure := isHTTPS(c.Core.Server) && !c.Gateway.RVI || c.Auth != nil && isHTTPS(c.Auth.Server)
	if !secure {
		return nil
	}
	f, err := openInput(c.Device.CertificatesPath)
	if err != nil {
		return fmt.Errorf("device.certificates_path: an https URL is configured, so certificates are needed: %w", err)
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return fmt.Errorf("device.certificates_path: %w", err)
	case info.Size() == 0:
		return fmt.Errorf("device.certificates_path: an https URL is configured, but %s is empty", c.Device.CertificatesPath)
	}
	return nil
}

func isHTTPS(url string) bool {
	return len(url) >= 8 && strings.EqualFold(url[:8], "https://")
}

// StatePath is the state directory: the configured one, or .updraft-agent in
// packages_dir.
func (c Config) StatePath() string {
	if c.Device.StateDir != "" {
		return c.Device.StateDir
	}
	return filepath.Join(c.Device.PackagesDir, ".updraft-agent")
}

// Identity is who this configuration makes the device.
func (c Config) Identity() Identity {
	if c.Gateway.RVI {
		return Identity{UUID: c.Device.UUID, Server: c.RVI.peer()}
	}
	return Identity{UUID: c.Device.UUID, Server: c.Core.Server}
}

// Print writes the effective configuration as TOML. A secret is written as
// "***", so that the output can be shown to others.
func (c Config) Print(w io.Writer) error {
	if c.Auth != nil {
		auth := *c.Auth
		auth.ClientSecret = "***"
		c.Auth = &auth
	}
	c.Device.StateDir = c.StatePath()
	if c.Device.TrustedKeys == nil {
		c.Device.TrustedKeys = Paths{}
	}
	if c.Policy.InstallWindows == nil {
		c.Policy.InstallWindows = Windows{}
	}
	return toml.NewEncoder(w).Encode(c)
}
