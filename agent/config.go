package agent

import "time"

// Config is everything an integrator sets: the file of client.md 7 with a
// few keys of our own. NewConfig gives the defaults. Pointers are sections
// that are absent unless the file, or a flag, mentions them.
type Config struct {
	Auth    *AuthConfig   `toml:"auth,omitempty"`
	Core    CoreConfig    `toml:"core"`
	DBus    *DBusConfig   `toml:"dbus,omitempty"`
	Device  DeviceConfig  `toml:"device"`
	Gateway GatewayConfig `toml:"gateway"`
	Network NetworkConfig `toml:"network"`
	Policy  PolicyConfig  `toml:"policy"`
	RVI     *RVIConfig    `toml:"rvi,omitempty"`
	AB      *ABConfig     `toml:"ab,omitempty"`

	// fromFile is what the main file said about credentials, nil if it has no
	// [auth]: flags are not to be written back (client.md 7.2).
	fromFile *Credentials
}

// AuthConfig switches authentication on by being there.
type AuthConfig struct {
	Server          string `toml:"server"` // the token endpoint is /token on it
	ClientID        string `toml:"client_id"`
	ClientSecret    string `toml:"client_secret"`
	CredentialsFile string `toml:"credentials_file"`
}

// CoreConfig names the server.
type CoreConfig struct {
	Server     string `toml:"server"`
	Polling    bool   `toml:"polling"`
	PollingSec uint32 `toml:"polling_sec"` // 0: only GetUpdateRequests asks
}

// Interval is the time between two polls; 0 means that nothing polls.
func (c CoreConfig) Interval() time.Duration {
	if !c.Polling {
		return 0
	}
	return time.Duration(c.PollingSec) * time.Second
}

// DBusConfig describes both sides of the D-Bus gateway.
type DBusConfig struct {
	Bus                 string `toml:"bus"` // "session" or "system"
	Name                string `toml:"name"`
	Path                string `toml:"path"`
	Interface           string `toml:"interface"`
	SoftwareManager     string `toml:"software_manager"` // bus name and interface
	SoftwareManagerPath string `toml:"software_manager_path"`
	Timeout             int64  `toml:"timeout"`      // seconds
	CompatOrder         bool   `toml:"compat_order"` // updateAvailable as the original sends it
}

// DeviceConfig says who this device is and where it keeps things.
type DeviceConfig struct {
	UUID             string `toml:"uuid"`
	VIN              string `toml:"vin"`
	PackagesDir      string `toml:"packages_dir"`
	PackageManager   string `toml:"package_manager"`
	PackageRoot      string `toml:"package_root"` // root directory given to dpkg and rpm
	CertificatesPath string `toml:"certificates_path"`
	SystemInfo       string `toml:"system_info"` // a program; empty: built in; "off": none
	AutoDownload     bool   `toml:"auto_download"`
	StateDir         string `toml:"state_dir"`    // empty: <packages_dir>/.updraft-agent
	TrustedKeys      Paths  `toml:"trusted_keys"` // PEM files; none: signatures are not asked for
}

// GatewayConfig switches gateways on.
type GatewayConfig struct {
	Console   bool `toml:"console"`
	DBus      bool `toml:"dbus"`
	HTTP      bool `toml:"http"`
	RVI       bool `toml:"rvi"`
	Socket    bool `toml:"socket"`
	Websocket bool `toml:"websocket"`

	TokenFile string `toml:"token_file"` // what HTTP and websocket ask for; empty: loopback only
}

// NetworkConfig says where gateways listen.
type NetworkConfig struct {
	HTTPServer         string `toml:"http_server"`     // ip:port
	RVIEdgeServer      string `toml:"rvi_edge_server"` // ip:port
	SocketCommandsPath string `toml:"socket_commands_path"`
	SocketEventsPath   string `toml:"socket_events_path"`
	WebsocketServer    string `toml:"websocket_server"` // host:port
}

// PolicyConfig says when, and how often, the client does by itself what is to
// be done. What someone asks for with a command is done at once.
type PolicyConfig struct {
	Timezone       string  `toml:"timezone"`        // of the windows, IANA name; empty: the system's
	InstallWindows Windows `toml:"install_windows"` // none: at any time
	MeteredHook    string  `toml:"metered_hook"`    // a program; empty: every network will do
	DownloadTries  uint32  `toml:"download_tries"`  // in a row without a byte
	InstallTries   uint32  `toml:"install_tries"`
	DiskQuota      string  `toml:"disk_quota"` // a size; empty: all there is
}

// location is the time zone of the windows.
func (p PolicyConfig) location() (*time.Location, error) {
	if p.Timezone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(p.Timezone)
}

// quota is the most that downloads may take, in bytes, and whether there is
// such a limit.
func (p PolicyConfig) quota() (int64, bool) {
	n, err := parseSize(p.DiskQuota)
	return n, err == nil
}

// NewConfig returns the defaults, without [auth], [dbus], [rvi] and [ab].
func NewConfig() Config {
	return Config{
		Core: CoreConfig{Server: "http://127.0.0.1:8080", Polling: true, PollingSec: 10},
		Device: DeviceConfig{
			UUID:             "123e4567-e89b-12d3-a456-426655440000",
			VIN:              "V1234567890123456",
			PackagesDir:      "/tmp/",
			PackageManager:   "off",
			PackageRoot:      "/",
			CertificatesPath: "/tmp/sota_certificates",
			AutoDownload:     true,
		},
		Network: NetworkConfig{
			HTTPServer:         "127.0.0.1:8888",
			RVIEdgeServer:      "127.0.0.1:9080",
			SocketCommandsPath: "/tmp/sota-commands.socket",
			SocketEventsPath:   "/tmp/sota-events.socket",
			WebsocketServer:    "127.0.0.1:3012",
		},
		Policy: PolicyConfig{DownloadTries: 10, InstallTries: 1},
	}
}

func newAuth() *AuthConfig {
	return &AuthConfig{
		Server:          "http://127.0.0.1:9001",
		ClientID:        "client-id",
		ClientSecret:    "client-secret",
		CredentialsFile: "/tmp/sota_credentials.toml",
	}
}

func newDBus() *DBusConfig {
	return &DBusConfig{
		Bus:                 "session",
		Name:                "org.genivi.SotaClient",
		Path:                "/org/genivi/SotaClient",
		Interface:           "org.genivi.SotaClient",
		SoftwareManager:     "org.genivi.SoftwareLoadingManager",
		SoftwareManagerPath: "/org/genivi/SoftwareLoadingManager",
		Timeout:             60,
	}
}

// section makes an optional section, with its defaults, unless it is there.
func (c *Config) section(name string) {
	switch {
	case name == "auth" && c.Auth == nil:
		c.Auth = newAuth()
	case name == "dbus" && c.DBus == nil:
		c.DBus = newDBus()
	case name == "rvi" && c.RVI == nil:
		c.RVI = newRVI()
	case name == "ab" && c.AB == nil:
		c.AB = newAB()
	}
}
