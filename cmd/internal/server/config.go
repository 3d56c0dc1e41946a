package server

import (
	"errors"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/fleet"
)

// Config is everything that can be said about a server. Start from Default.
type Config struct {
	Data  string // the folder that holds all the server knows
	Auth  string // AuthOn or AuthNone
	Debug bool

	// Bind is the address of every listener. "" is every address of the
	// machine or, with AuthNone, 127.0.0.1.
	Bind string
	// HTTPHost and CoAPHost are only the names put into URLs, with a port if
	// that is not the listener's. "" puts in none: URLs are paths, below the
	// name the caller used.
	HTTPHost, CoAPHost string

	HTTP, HTTPS, CoAP, CoAPS, CoAPTCP, CoAPSTCP, RVIEdge, RVILink, RVITLS settings.Port

	TLSCert, TLSKey string // PEM files

	// RVINode is the URL of an RVI node in another process; "" embeds one if
	// a port of its is open.
	RVINode string
	// What the embedded node shows at TLS links: files, all or none.
	RVIRoot, RVICert, RVIKey, RVICred string
	EdgeAllow                         settings.Networks // of programs, besides loopback

	// WithCoAPServer is false where another server serves CoAP: its port is
	// named in URLs, and not bound.
	WithCoAPServer bool
	CoAPPublic     bool   // anyone may have files; else only devices that prove who they are
	CoAPSClientCA  string // PEM file: whose certificates prove who a device is
	SUITTrusted    string // PEM file with keys that may sign manifests; "" checks no signature
	RequireSUIT    bool
	UploadPath     string // a tree of the original server, imported once
	StaticPath     string // of the original server, which had its page there: nothing is read

	MaxUpload   settings.Size
	TrustedKeys string // PEM file; "" trusts whoever may upload
	// Stricter rules for the names and versions operators may publish.
	PackageName, PackageVersion settings.Pattern
}

// The two ways to ask callers for proof of who they are.
const (
	AuthOn   = "on"
	AuthNone = "none" // nobody is asked; on loopback only
)

// defaultHTTPS is where HTTPS is served if a certificate is configured and no
// port.
const defaultHTTPS = 8443

// Default returns the configuration of a server nobody configured.
func Default() Config {
	return Config{
		Auth: AuthOn,
		HTTP: 8080, CoAP: 5683,
		HTTPS: settings.Unset, CoAPS: settings.Closed, CoAPTCP: settings.Closed, CoAPSTCP: settings.Closed,
		RVIEdge: settings.Closed, RVILink: settings.Closed, RVITLS: settings.Closed,
		WithCoAPServer: true, CoAPPublic: true,
		MaxUpload: fleet.DefaultMaxUpload,
	}
}

// table is the one list of the server's settings: flags, keys of the file,
// variables and --help all come from here.
func (c *Config) table(file *string) settings.Table {
	text := func(s *string) settings.Value { return (*settings.Text)(s) }
	return settings.Table{
		{Name: "data", Value: text(&c.Data), Usage: "keep everything in this `folder` (made if need be; one server at a time)"},
		{Name: "config", Value: text(file), FlagOnly: true, Usage: "read settings from this TOML `file`"},
		{Name: "auth", Value: settings.Choice{Word: &c.Auth, Words: []string{AuthOn, AuthNone}}, Usage: "ask callers for a token, or none (on loopback only)"},
		{Name: "bind", Value: text(&c.Bind), Usage: "listen on this `address` (default 127.0.0.1 with --auth none, else all)"},
		{Name: "http-port", Value: &c.HTTP, Usage: "serve HTTP here; 0 is any free port, off closes it"},
		{Name: "https-port", Value: &c.HTTPS, Usage: "serve HTTPS here; needs --tls-cert and --tls-key, which alone open 8443"},
		{Name: "tls-cert", Value: text(&c.TLSCert), Usage: "certificate chain, a PEM `file`; a renewed one is picked up at once"},
		{Name: "tls-key", Value: text(&c.TLSKey), Usage: "the certificate's private key, a PEM `file`"},
		{Name: "http-host", Value: text(&c.HTTPHost), Usage: "`name`, or name:port, of this server in http and https URLs it hands out (default: paths only)"},
		{Name: "coap-port", Value: &c.CoAP, Usage: "serve CoAP here"},
		{Name: "coaps-port", Value: &c.CoAPS, Usage: "serve CoAP over DTLS here"},
		{Name: "coap-tcp-port", Value: &c.CoAPTCP, Usage: "serve CoAP over TCP here"},
		{Name: "coaps-tcp-port", Value: &c.CoAPSTCP, Usage: "serve CoAP over TLS here"},
		{Name: "coap-public", Value: (*settings.Switch)(&c.CoAPPublic), Usage: "let anyone have files over CoAP; =false: only devices that prove who they are"},
		{Name: "coaps-client-ca", Value: text(&c.CoAPSClientCA), Usage: "devices may prove who they are by certificates of these authorities, a PEM `file`; needs --tls-cert"},
		{Name: "coap-host", Value: text(&c.CoAPHost), Usage: "`name`, or name:port, of this server in coap URLs it hands out (default: an address of this machine)"},
		{Name: "with-coap-server", Value: (*settings.Switch)(&c.WithCoAPServer), Usage: "serve CoAP; =false where another server does, whose port --coap-port names"},
		{Name: "suit-trusted-keys", Value: text(&c.SUITTrusted), Usage: "take only SUIT manifests signed by a key of this PEM `file` (default: --trusted-keys; without any, nobody's signature is checked)"},
		{Name: "require-suit", Value: (*settings.Switch)(&c.RequireSUIT), Usage: "take only SUIT manifests as manifests"},
		{Name: "upload-path", Value: text(&c.UploadPath), Usage: "import this `folder` of the original OTA server, once"},
		{Name: "static-path", Value: text(&c.StaticPath), Usage: "`folder` of the original OTA server's page; ignored"},
		{Name: "rvi-edge-port", Value: &c.RVIEdge, Usage: "serve an RVI node's edge here, on 127.0.0.1 unless --bind says otherwise"},
		{Name: "rvi-link-port", Value: &c.RVILink, Usage: "serve plain RVI data links here; needs --auth none, as they prove nothing"},
		{Name: "rvi-tls-port", Value: &c.RVITLS, Usage: "serve RVI data links over TLS here"},
		{Name: "rvi-root", Value: text(&c.RVIRoot), Usage: "root certificates of RVI, a PEM `file` (default: DIR/rvi/root.crt, made at first need)"},
		{Name: "rvi-cert", Value: text(&c.RVICert), Usage: "the server's RVI certificate, a PEM `file`"},
		{Name: "rvi-key", Value: text(&c.RVIKey), Usage: "its private key, a PEM `file`"},
		{Name: "rvi-cred", Value: text(&c.RVICred), Usage: "its RVI credentials, a `file` with a JWT a line"},
		{Name: "rvi-node", Value: text(&c.RVINode), Usage: "speak RVI through the node whose edge has this `URL`, and not one of its own"},
		{Name: "edge-allow", Value: &c.EdgeAllow, Usage: "programs at the RVI edge may be called in this `network` too, not on loopback only; repeatable"},
		{Name: "max-upload", Value: &c.MaxUpload, Usage: "largest package accepted"},
		{Name: "trusted-keys", Value: text(&c.TrustedKeys), Usage: "take only packages and manifests signed by a key of this PEM `file`"},
		{Name: "package-name-pattern", Value: &c.PackageName, Usage: "take only package names that match"},
		{Name: "package-version-pattern", Value: &c.PackageVersion, Usage: "take only package versions that match"},
		{Name: "debug", Value: (*settings.Switch)(&c.Debug), Usage: "log every request and more"},
	}
}

// variablePrefix begins the server's environment variables.
const variablePrefix = "UPDRAFT_"

// Flags declares the server's flags and returns what reads the layers once
// they are parsed. That fails on wrong usage only.
func Flags(fs *pflag.FlagSet) func() (Config, error) {
	given, givenFile := Default(), ""
	// Operators of the original OTA server write --http_port.
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	given.table(&givenFile).Flags(fs)
	fs.SortFlags = false
	return func() (Config, error) {
		c, file := Default(), os.Getenv(variablePrefix+"CONFIG")
		if fs.Changed("config") {
			file = givenFile
		}
		table := c.table(new(string))
		if file != "" {
			if err := table.File(file); err != nil {
				return c, err
			}
		}
		if err := table.Environment(variablePrefix, os.Getenv); err != nil {
			return c, err
		}
		if err := table.Override(fs); err != nil {
			return c, err
		}
		return c, c.check()
	}
}

// check settles what depends on several settings. It fails on wrong usage.
func (c *Config) check() error {
	if c.Data == "" {
		return usage.Errorf("no data folder: give --data DIR")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return usage.Errorf("--tls-cert and --tls-key belong together: give both or none")
	}
	if c.HTTPS.Open() && c.TLSCert == "" {
		return usage.Errorf("--https-port needs a certificate: give --tls-cert and --tls-key")
	}
	switch {
	case c.HTTPS != settings.Unset:
	case c.TLSCert == "":
		c.HTTPS = settings.Closed
	default:
		c.HTTPS = defaultHTTPS
	}
	if !c.HTTP.Open() && !c.HTTPS.Open() {
		return usage.Errorf("nothing would listen: --http-port is off and there is no --https-port")
	}
	if err := errors.Join(checkURLHost("http-host", c.HTTPHost), checkURLHost("coap-host", c.CoAPHost)); err != nil {
		return err
	}
	addr, err := c.address()
	if err != nil {
		return err
	}
	if c.Auth == AuthNone && !addr.IsLoopback() {
		return usage.Errorf("--auth none lets anyone in, so it listens on loopback only: leave --bind %s out, or use --auth on", c.Bind)
	}
	if c.TLSCert == "" && (c.CoAPSTCP.Open() || c.CoAPSClientCA != "") {
		return usage.Errorf("--coaps-tcp-port and --coaps-client-ca need a certificate: give --tls-cert and --tls-key")
	}
	return c.checkRVI()
}

// address is the IP address of every listener, the zero Addr for all of the
// machine's. It fails on wrong usage.
func (c *Config) address() (netip.Addr, error) {
	switch {
	case c.Bind == "localhost" || c.Bind == "" && c.Auth == AuthNone:
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	case c.Bind == "":
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(c.Bind)
	if err != nil {
		return addr, usage.Errorf("--bind %q: expected an IP address, such as 127.0.0.1, 0.0.0.0 or ::", c.Bind)
	}
	return addr, nil
}
