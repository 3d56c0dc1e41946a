package agent

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// Key is one setting: a key of the file and the flag that overrides it.
type Key struct {
	Section string // such as "core"
	Name    string // such as "polling_sec"
	Arg     string // what the flag's value is called in help, such as "SECONDS"
	Help    string
	at      func(*Config) any // where the value is: *string, *bool, *uint32, *int64, *Paths or *Windows
	check   func(string) error
}

// Flag is the name of the command-line option, without dashes (client.md 7.4).
func (k Key) Flag() string { return strings.ReplaceAll(k.Section+"-"+k.Name, "_", "-") }

// String is the key as messages name it, such as "core.polling_sec".
func (k Key) String() string { return k.Section + "." + k.Name }

// Default is the value without file and flags, as a flag would give it. In an
// optional section it is what the key has once the section is there.
func (k Key) Default() string {
	c := NewConfig()
	c.section(k.Section)
	switch v := k.at(&c).(type) {
	case *string:
		return *v
	case *Paths:
		return strings.Join(*v, ",")
	default:
		return fmt.Sprint(reflect.ValueOf(v).Elem())
	}
}

// Set reads a flag's value into c, making the section if it is not there. It
// fails, naming the flag, if the text is not a value of the key's type.
func (k Key) Set(c *Config, text string) error {
	if err := k.set(c, text); err != nil {
		return fmt.Errorf("--%s: %w", k.Flag(), err)
	}
	return nil
}

func (k Key) set(c *Config, text string) error {
	c.section(k.Section)
	switch v := k.at(c).(type) {
	case *bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("expected true or false, not %q", text)
		}
		return k.put(c, text == "true")
	case *uint32, *int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("expected a whole number, not %q", text)
		}
		return k.put(c, n)
	case *Paths:
		*v = nil
		if text == "" {
			return nil
		}
	case *Windows:
		return v.put(text)
	}
	return k.put(c, text)
}

// put stores a value of the file, as the TOML library gives it, or of a flag.
func (k Key) put(c *Config, value any) error {
	c.section(k.Section)
	switch at := k.at(c).(type) {
	case *string:
		s, ok := value.(string)
		if !ok {
			return expected("a text", value)
		}
		if k.check != nil {
			if err := k.check(s); err != nil {
				return err
			}
		}
		*at = s
	case *bool:
		b, ok := value.(bool)
		if !ok {
			return expected("true or false", value)
		}
		*at = b
	case *uint32:
		n, ok := value.(int64)
		if !ok || n < 0 || n > math.MaxUint32 {
			return expected("a whole number from 0 to 4294967295", value)
		}
		*at = uint32(n)
	case *int64:
		n, ok := value.(int64)
		if !ok || n < 0 || n > math.MaxInt32 {
			return expected("a whole number from 0 to 2147483647", value)
		}
		*at = n
	case *Paths:
		return at.put(value)
	case *Windows:
		return at.put(value)
	}
	return nil
}

// Paths is one path or a list of them.
type Paths []string

func (p *Paths) put(value any) error {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var paths Paths
	for _, v := range list {
		s, ok := v.(string)
		if !ok || s == "" {
			return expected("a path or a list of paths", value)
		}
		paths = append(paths, s)
	}
	*p = paths
	return nil
}

func expected(what string, value any) error {
	switch v := value.(type) {
	case string:
		return fmt.Errorf("expected %s, not the text %q", what, v)
	case bool, int64, float64:
		return fmt.Errorf("expected %s, not %v", what, v)
	case map[string]any:
		return fmt.Errorf("expected %s, not a table", what)
	case []any:
		return fmt.Errorf("expected %s, not this list", what)
	}
	return fmt.Errorf("expected %s, not a date or time", what)
}

// Keys lists every setting, in the order of client.md 7.1.
var Keys = []Key{
	{"auth", "server", "URL", "token server; /token on it is asked", func(c *Config) any { return &c.Auth.Server }, isURL},
	{"auth", "client_id", "ID", "client id of this device", func(c *Config) any { return &c.Auth.ClientID }, nil},
	{"auth", "client_secret", "SECRET", "client secret of this device", func(c *Config) any { return &c.Auth.ClientSecret }, nil},
	{"auth", "credentials_file", "PATH", "file that keeps id and secret; it wins over the configuration; empty: none", func(c *Config) any { return &c.Auth.CredentialsFile }, nil},
	{"core", "server", "URL", "update server", func(c *Config) any { return &c.Core.Server }, isURL},
	{"core", "polling", "BOOL", "ask for updates regularly", func(c *Config) any { return &c.Core.Polling }, nil},
	{"core", "polling_sec", "SECONDS", "time between two polls, 0 for never", func(c *Config) any { return &c.Core.PollingSec }, nil},
	{"dbus", "bus", "BUS", "bus to be on, session or system", func(c *Config) any { return &c.DBus.Bus }, isBus},
	{"dbus", "name", "NAME", "own bus name", func(c *Config) any { return &c.DBus.Name }, isDBusName},
	{"dbus", "path", "PATH", "own object path", func(c *Config) any { return &c.DBus.Path }, isDBusPath},
	{"dbus", "interface", "INTERFACE", "own interface", func(c *Config) any { return &c.DBus.Interface }, isDBusInterface},
	{"dbus", "software_manager", "NAME", "software loading manager: bus name and interface", func(c *Config) any { return &c.DBus.SoftwareManager }, isDBusInterface},
	{"dbus", "software_manager_path", "PATH", "software loading manager: object path", func(c *Config) any { return &c.DBus.SoftwareManagerPath }, isDBusPath},
	{"dbus", "timeout", "TIMEOUT", "seconds to wait for an answer, at least 1", func(c *Config) any { return &c.DBus.Timeout }, nil},
	{"dbus", "compat_order", "BOOL", "send signature before description with updateAvailable, as the original did", func(c *Config) any { return &c.DBus.CompatOrder }, nil},
	{"device", "uuid", "UUID", "id of this device on the server", func(c *Config) any { return &c.Device.UUID }, notEmpty},
	{"device", "vin", "VIN", "id of this device from its maker", func(c *Config) any { return &c.Device.VIN }, nil},
	{"device", "packages_dir", "PATH", "directory for downloads", func(c *Config) any { return &c.Device.PackagesDir }, notEmpty},
	{"device", "package_manager", "MANAGER", "what installs: off (an external installer), deb, rpm, ab, command:PATH (a program of yours) or file:PATH (a test double)", func(c *Config) any { return &c.Device.PackageManager }, notEmpty},
	{"device", "package_root", "PATH", "root directory given to dpkg and rpm", func(c *Config) any { return &c.Device.PackageRoot }, notEmpty},
	{"device", "certificates_path", "PATH", "certificates to trust with https, PEM", func(c *Config) any { return &c.Device.CertificatesPath }, nil},
	{"device", "system_info", "PATH", "program that prints system information as JSON; empty: a description is built in, off: none is given", func(c *Config) any { return &c.Device.SystemInfo }, nil},
	{"device", "auto_download", "BOOL", "fetch pending updates without being asked; what was begun is finished in any case", func(c *Config) any { return &c.Device.AutoDownload }, nil},
	{"device", "state_dir", "PATH", "directory for what must survive a restart (default PACKAGES_DIR/.updraft-agent)", func(c *Config) any { return &c.Device.StateDir }, nil},
	{"device", "trusted_keys", "PATH", "public keys that must have signed every image, PEM", func(c *Config) any { return &c.Device.TrustedKeys }, nil},
	{"gateway", "console", "BOOL", "commands from standard input", func(c *Config) any { return &c.Gateway.Console }, nil},
	{"gateway", "dbus", "BOOL", "D-Bus, for a software loading manager", func(c *Config) any { return &c.Gateway.DBus }, nil},
	{"gateway", "http", "BOOL", "commands over HTTP", func(c *Config) any { return &c.Gateway.HTTP }, nil},
	{"gateway", "rvi", "BOOL", "RVI to the server, instead of HTTP", func(c *Config) any { return &c.Gateway.RVI }, nil},
	{"gateway", "socket", "BOOL", "Unix domain sockets", func(c *Config) any { return &c.Gateway.Socket }, nil},
	{"gateway", "websocket", "BOOL", "commands and events over websocket", func(c *Config) any { return &c.Gateway.Websocket }, nil},
	{"gateway", "token_file", "PATH", "file (mode 0600) with the token that HTTP and websocket ask for; without it (the default) they listen on loopback only", func(c *Config) any { return &c.Gateway.TokenFile }, nil},
	{"network", "http_server", "ADDR", "where the HTTP gateway listens, ip:port", func(c *Config) any { return &c.Network.HTTPServer }, isNumericAddress},
	{"network", "rvi_edge_server", "ADDR", "where the RVI edge listens, ip:port", func(c *Config) any { return &c.Network.RVIEdgeServer }, isNumericAddress},
	{"network", "socket_commands_path", "PATH", "socket that takes commands", func(c *Config) any { return &c.Network.SocketCommandsPath }, notEmpty},
	{"network", "socket_events_path", "PATH", "socket of an installer that takes events", func(c *Config) any { return &c.Network.SocketEventsPath }, notEmpty},
	{"network", "websocket_server", "ADDR", "where the websocket gateway listens, host:port", func(c *Config) any { return &c.Network.WebsocketServer }, isAddress},
	{"policy", "timezone", "ZONE", "time zone of install_windows, such as Europe/Berlin; empty: the system's", func(c *Config) any { return &c.Policy.Timezone }, isZone},
	{"policy", "install_windows", "WINDOWS", `when the built-in package manager may begin, such as "Mon-Fri 22:00-05:00", "Sat,Sun 00:00-24:00" (as an option with ; in between); none: at any time; a StartInstall of somebody else's is not asked`, func(c *Config) any { return &c.Policy.InstallWindows }, nil},
	{"policy", "metered_hook", "PATH", "program asked before a download and every minute while it goes on: status 0 allows it, any other puts it off; empty: every network will do; a StartDownload of somebody else's is not asked", func(c *Config) any { return &c.Policy.MeteredHook }, nil},
	{"policy", "download_tries", "NUMBER", "tries in a row that bring no byte until a download has failed, if the server answers; while it is away nothing fails", func(c *Config) any { return &c.Policy.DownloadTries }, nil},
	{"policy", "install_tries", "NUMBER", "times an installation is tried that may succeed another time, until it has failed", func(c *Config) any { return &c.Policy.InstallTries }, nil},
	{"policy", "disk_quota", "SIZE", "most that downloads may take on disk, such as 2GiB: images no longer needed are removed, oldest first, and a download that still does not fit fails with DISK_FULL; empty: no limit but the disk", func(c *Config) any { return &c.Policy.DiskQuota }, isQuota},
	{"rvi", "client", "URL", "RVI node of another process; not used if server is set", func(c *Config) any { return &c.RVI.Client }, isURL},
	{"rvi", "server", "ADDR", "data link of the server's RVI node, host:port, to which a node of the client's own links; empty: the node is another process", func(c *Config) any { return &c.RVI.Server }, isOptionalAddress},
	{"rvi", "storage_dir", "PATH", "directory for chunks", func(c *Config) any { return &c.RVI.StorageDir }, notEmpty},
	{"rvi", "timeout", "TIMEOUT", "seconds an idle transfer lives, at least 600, 0 for ever", func(c *Config) any { return &c.RVI.Timeout }, nil},
	{"rvi", "dialect", "YEAR", "2016: the client's services have the name of device.uuid; 2015: of device.vin; it answers in the dialect it is spoken to", func(c *Config) any { return &c.RVI.Dialect }, isDialect},
	{"rvi", "root", "PATH", "certificate of the RVI root, PEM; with server, cert, key and cred the link is TLS, without a plain one, which a server takes without authentication only", func(c *Config) any { return &c.RVI.Root }, nil},
	{"rvi", "cert", "PATH", "certificate of the client's own RVI node, PEM", func(c *Config) any { return &c.RVI.Cert }, nil},
	{"rvi", "key", "PATH", "private key of cert, PEM", func(c *Config) any { return &c.RVI.Key }, nil},
	{"rvi", "cred", "PATH", "credential for cert, a JWT", func(c *Config) any { return &c.RVI.Cred }, nil},
	{"ab", "slot_a", "PATH", "slot A for whole images: a block device, or a file of its size", func(c *Config) any { return &c.AB.SlotA }, nil},
	{"ab", "slot_b", "PATH", "slot B, likewise", func(c *Config) any { return &c.AB.SlotB }, nil},
	{"ab", "bootloader", "NAME", "boot loader that starts the slots: uboot or grub", func(c *Config) any { return &c.AB.Bootloader }, isBootloader},
	{"ab", "fw_env_config", "PATH", "configuration of fw_setenv: where U-Boot's environment lies", func(c *Config) any { return &c.AB.FwEnvConfig }, notEmpty},
	{"ab", "grubenv", "PATH", "environment block of GRUB", func(c *Config) any { return &c.AB.Grubenv }, notEmpty},
	{"ab", "running", "COMMAND", "command that prints the running slot, A or B; empty: updraft.slot on the kernel's command line", func(c *Config) any { return &c.AB.Running }, nil},
	{"ab", "reboot", "COMMAND", "command that restarts the device", func(c *Config) any { return &c.AB.Reboot }, notEmpty},
	{"ab", "health_check", "COMMAND", "command that succeeds in a healthy system; empty: a slot in which the client runs is healthy", func(c *Config) any { return &c.AB.HealthCheck }, nil},
	{"ab", "health_timeout", "SECONDS", "seconds one health check may take", func(c *Config) any { return &c.AB.HealthTimeout }, nil},
	{"ab", "health_tries", "NUMBER", "health checks before a new slot is given up, 10 s apart", func(c *Config) any { return &c.AB.HealthTries }, nil},
}

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("it is empty")
	}
	return nil
}

func isZone(s string) error {
	if _, err := (PolicyConfig{Timezone: s}).location(); err != nil {
		return fmt.Errorf("expected a time zone such as Europe/Berlin, not %q", s)
	}
	return nil
}

func isQuota(s string) error {
	if s == "" {
		return nil
	}
	_, err := parseSize(s)
	return err
}

func isURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("expected a URL such as http://host:8080, not %q", s)
	}
	if u.User != nil {
		return errors.New("a URL must not hold a user name or password")
	}
	return nil
}

func isNumericAddress(s string) error {
	if _, err := netip.ParseAddrPort(s); err != nil {
		return fmt.Errorf("expected a numeric address and a port, such as 127.0.0.1:8888, not %q", s)
	}
	return nil
}

func isAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("expected a host and a port, such as 127.0.0.1:3012, not %q", s)
	}
	return nil
}
