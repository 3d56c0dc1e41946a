package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var ignoreOrigin = cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmp.AllowUnexported(Window{})}

const genivi = `
[auth]
server = "https://auth.example.com/prefix"
client_id = "id"
client_secret = "s3cret"
credentials_file = "/etc/c.toml"

[core]
server = "https://core.example.com"
polling = false
polling_sec = 60

[dbus]
bus = "system"
name = "a.b"
path = "/a/b"
interface = "a.b"
software_manager = "c.d"
software_manager_path = "/c/d"
timeout = 30
compat_order = true

[device]
uuid = "u"
vin = "v"
packages_dir = "/var/p"
package_manager = "deb"
package_root = "/r"
certificates_path = "/etc/certs"
system_info = ""
auto_download = false
state_dir = "/var/s"
trusted_keys = ["/k1", "/k2"]

[gateway]
console = true
dbus = true
http = true
rvi = true
socket = true
websocket = true
token_file = "/etc/token"

[network]
http_server = "[::1]:1"
rvi_edge_server = "127.0.0.1:2"
socket_commands_path = "/c.socket"
socket_events_path = "/e.socket"
websocket_server = "localhost:3"

[policy]
timezone = "Europe/Berlin"
install_windows = ["Mon-Fri 22:00-05:00", "Sat,Sun 00:00-24:00"]
metered_hook = "/bin/metered"
download_tries = 3
install_tries = 2
disk_quota = "2GiB"

[rvi]
client = "http://rvi:8901"
server = "server:8810"
storage_dir = "/var/rvi"
timeout = 20
dialect = "2015"
root = "/r"
cert = "/c"
key = "/k"
cred = "/j"

[ab]
slot_a = "/dev/a"
slot_b = "/dev/b"
bootloader = "uboot"
fw_env_config = "/f"
grubenv = "/g"
running = "r 1"
reboot = "r 2"
health_check = "h"
health_timeout = 30
health_tries = 3
`

func TestEveryKeyOfTheFile(t *testing.T) {
	c, warnings, err := ParseConfig("sota.toml", []byte(genivi))
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	want := Config{
		Auth:    &AuthConfig{"https://auth.example.com/prefix", "id", "s3cret", "/etc/c.toml"},
		Core:    CoreConfig{"https://core.example.com", false, 60},
		DBus:    &DBusConfig{"system", "a.b", "/a/b", "a.b", "c.d", "/c/d", 30, true},
		Device:  DeviceConfig{"u", "v", "/var/p", "deb", "/r", "/etc/certs", "", false, "/var/s", Paths{"/k1", "/k2"}},
		Gateway: GatewayConfig{true, true, true, true, true, true, "/etc/token"},
		Network: NetworkConfig{"[::1]:1", "127.0.0.1:2", "/c.socket", "/e.socket", "localhost:3"},
		Policy:  PolicyConfig{"Europe/Berlin", windows(t, "Mon-Fri 22:00-05:00;Sat,Sun 00:00-24:00"), "/bin/metered", 3, 2, "2GiB"},
		RVI:     &RVIConfig{"http://rvi:8901", "server:8810", "/var/rvi", 20, "2015", "/r", "/c", "/k", "/j"},
		AB:      &ABConfig{"/dev/a", "/dev/b", "uboot", "/f", "/g", "r 1", "r 2", "h", 30, 3},
	}
	if diff := cmp.Diff(want, c, ignoreOrigin); diff != "" {
		t.Error(diff)
	}
	for _, k := range Keys {
		if !strings.Contains(genivi, "\n"+k.Name+" = ") {
			t.Errorf("%s is not in the example", k)
		}
	}
}

func TestEmptyFileIsAllDefaults(t *testing.T) {
	c, warnings, err := ParseConfig("sota.toml", nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if diff := cmp.Diff(NewConfig(), c, ignoreOrigin); diff != "" {
		t.Error(diff)
	}
	if c.StatePath() != "/tmp/.updraft-agent" || c.Core.Interval() != 10*time.Second {
		t.Errorf("%s, %s", c.StatePath(), c.Core.Interval())
	}
}

func TestSectionsExistByBeingThere(t *testing.T) {
	c, _, err := ParseConfig("sota.toml", []byte("[auth]\n[dbus]\n[rvi]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{newAuth(), newDBus(), newRVI()}, []any{c.Auth, c.DBus, c.RVI}); diff != "" {
		t.Error(diff)
	}
}

func TestWrongFilesAreOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"[core]\n\npolling = \"yes\"":                         `sota.toml:3: core.polling: expected true or false, not the text "yes"`,
		"[core]\npolling_sec = -1":                            `sota.toml:2: core.polling_sec: expected a whole number from 0 to 4294967295, not -1`,
		"[core]\npolling_sec = 1.5":                           `sota.toml:2: core.polling_sec: expected a whole number from 0 to 4294967295, not 1.5`,
		"[core]\nserver = \"core:8080\"":                      `sota.toml:2: core.server: expected a URL such as http://host:8080, not "core:8080"`,
		"[core]\nserver = 7":                                  `sota.toml:2: core.server: expected a text, not 7`,
		"[core]\nserver = \"http://u:p@host\"":                `sota.toml:2: core.server: a URL must not hold a user name or password`,
		"core.polling_sec = \"x\"":                            `sota.toml:1: core.polling_sec: expected a whole number from 0 to 4294967295, not the text "x"`,
		"a = 1\ncore = { polling = 1 }":                       `sota.toml:2: core.polling: expected true or false, not 1`,
		"core = 7":                                            `sota.toml:1: core: expected a table, not 7`,
		"[[core]]":                                            `sota.toml:1: core: expected a table, not this list`,
		"[network]\nhttp_server = \"localhost:80\"":           `sota.toml:2: network.http_server: expected a numeric address and a port, such as 127.0.0.1:8888, not "localhost:80"`,
		"[network]\nwebsocket_server = \"x:http\"":            `sota.toml:2: network.websocket_server: expected a host and a port, such as 127.0.0.1:3012, not "x:http"`,
		"[device]\ntrusted_keys = [1]":                        `sota.toml:2: device.trusted_keys: expected a path or a list of paths, not this list`,
		"[device]\nuuid = \"\"":                               `sota.toml:2: device.uuid: it is empty`,
		"[device]\nvin = 1979-05-27":                          `sota.toml:2: device.vin: expected a text, not a date or time`,
		"[device]\nvin = {a = 1}":                             `sota.toml:2: device.vin: expected a text, not a table`,
		"[device]\npolling_interval = true":                   `sota.toml:2: device.polling_interval: expected a whole number from 0 to 4294967295, not true`,
		"[core]\npolling_sec=1\n[device]\npolling_interval=1": `sota.toml:4: device.polling_interval: core.polling_sec and device.polling_interval both set: remove the latter`,
		"[policy]\ntimezone = \"Mars/Olympus\"":               `sota.toml:2: policy.timezone: expected a time zone such as Europe/Berlin, not "Mars/Olympus"`,
		"[policy]\ninstall_windows = [\"Mon\"]":               `sota.toml:2: policy.install_windows: expected a window such as Mon-Fri 22:00-05:00, not "Mon"`,
		"[policy]\ninstall_windows = 7":                       `sota.toml:2: policy.install_windows: expected a window such as "Mon-Fri 22:00-05:00" or a list of them, not 7`,
		"[policy]\ndisk_quota = \"lots\"":                     `sota.toml:2: policy.disk_quota: expected a size such as 500MB or 2GiB, not "lots"`,
		"[dbus]\ntimeout = 99999999999":                       `sota.toml:2: dbus.timeout: expected a whole number from 0 to 2147483647, not 99999999999`,
	} {
		_, _, err := ParseConfig("sota.toml", []byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	_, _, err := ParseConfig("sota.toml", []byte("[core]\nserver ="))
	if err == nil || !strings.HasPrefix(err.Error(), "sota.toml:2: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("syntax: %v", err)
	}
}

func TestLoadConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sota.toml")
	if _, _, err := LoadConfig(path); err == nil {
		t.Error("a missing file is read")
	}
	for size, ok := range map[int]bool{0: true, maxConfig: true, maxConfig + 1: false} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("\n"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadConfig(path); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestFirstMistakeIsTheOneTold(t *testing.T) {
	_, _, err := ParseConfig("f", []byte("[network]\nhttp_server = 1\n[core]\nserver = 1\npolling = 1"))
	if err == nil || !strings.HasPrefix(err.Error(), "f:2:") {
		t.Error(err)
	}
}

func TestUnknownKeysAreWarnings(t *testing.T) {
	c, warnings, err := ParseConfig("f", []byte("old = 1\n[core]\nserver = \"http://h\"\nspeed = 3\n[stats.more]\nx = 1"))
	want := []string{"f:1: old: unknown, ignored", "f:4: core.speed: unknown, ignored", "f:5: stats: unknown, ignored"}
	if diff := cmp.Diff(want, warnings); diff != "" || err != nil || c.Core.Server != "http://h" {
		t.Errorf("%v, %v: %s", c.Core, err, diff)
	}
}

func TestOldPollingKey(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                               10 * time.Second,
		"[core]\npolling_sec = 0":        0,
		"[core]\npolling = false":        0,
		"[device]\npolling_interval = 7": 7 * time.Second,
		"[device]\npolling_interval = 0": 0,
		"[device]\npolling_interval = 7\n[core]\npolling = false": 7 * time.Second,
	} {
		c, _, err := ParseConfig("f", []byte(text))
		if err != nil || c.Core.Interval() != want {
			t.Errorf("%q: %s, %v", text, c.Core.Interval(), err)
		}
	}
}

func TestValidate(t *testing.T) {
	certs := filepath.Join(t.TempDir(), "certs")
	empty := filepath.Join(t.TempDir(), "empty")
	for _, f := range []struct{ path, text string }{{certs, "x"}, {empty, ""}} {
		if err := os.WriteFile(f.path, []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"":                                   "",
		"[gateway]\nhttp=true\nconsole=true": "",
		"[gateway]\ndbus=true":               "gateway.dbus: a [dbus] section is needed, an empty one will do",
		"[gateway]\ndbus=true\n[dbus]":       "",
		"[gateway]\ndbus=true\n[dbus]\ntimeout=0":                                 "dbus.timeout: expected at least 1 second",
		"[gateway]\nrvi=true":                                                     "gateway.rvi: an [rvi] section is needed",
		"[gateway]\nrvi=true\n[rvi]":                                              "",
		"[gateway]\nrvi=true\n[core]\nserver='https://unused'\n[rvi]":             "",
		"[gateway]\nrvi=true\n[device]\nvin=''\n[rvi]\ndialect='2015'":            "device.vin: rvi.dialect 2015 needs one",
		"[gateway]\nrvi=true\n[rvi]\nserver='s:1'\nroot='/r'":                     "rvi.root, rvi.cert, rvi.key and rvi.cred go together",
		"[gateway]\nrvi=true\n[rvi]\nroot='/r'\ncert='/c'\nkey='/k'\ncred='/j'":   "rvi.server: ",
		"[device]\npackage_manager='DEB'":                                         "",
		"[device]\npackage_manager='File:/X'":                                     "",
		"[device]\npackage_manager='file:'":                                       "device.package_manager: expected off, deb, rpm, ab, command:PATH or file:PATH",
		"[device]\npackage_manager='RPM'":                                         "",
		"[device]\npackage_manager='Command:/X'":                                  "",
		"[device]\npackage_manager='command:x'":                                   `device.package_manager: expected the absolute path of a program after command:, not "x"`,
		"[device]\npackage_manager='otb:/r'":                                      `device.package_manager: "otb:/r" is not available in this version`,
		"[device]\npackage_manager='apt'":                                         "device.package_manager: expected off, deb, rpm, ab, command:PATH or file:PATH",
		"[device]\ncertificates_path='/nowhere'":                                  "",
		"[policy]\ninstall_tries=0":                                               "policy.install_tries: expected a number from 1 to 1000, not 0",
		"[policy]\ndownload_tries=5000":                                           "policy.download_tries: expected a number from 1 to 1000, not 5000",
		"[core]\nserver='https://h'\n[device]\ncertificates_path='/nowhere'":      "device.certificates_path: an https URL is configured",
		"[core]\nserver='HTTPS://h'\n[device]\ncertificates_path='" + empty + "'": "is empty",
		"[auth]\nserver='https://h'\n[device]\ncertificates_path='/nowhere'":      "device.certificates_path: an https URL is configured",
		"[core]\nserver='https://h'\n[device]\ncertificates_path='" + certs + "'": "",
	} {
		c, _, err := ParseConfig("f", []byte(text))
		if err != nil {
			t.Fatal(text, err)
		}
		err = c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestFlagsOverrideTheFile(t *testing.T) {
	flags := map[string]string{}
	for _, k := range Keys {
		var c Config
		c.section(k.Section)
		switch k.at(&c).(type) {
		case *bool:
			flags[k.Flag()] = "true"
		case *uint32, *int64:
			flags[k.Flag()] = "7"
		default:
			flags[k.Flag()] = "http://new"
		}
	}
	for _, addr := range []string{"network-http-server", "network-rvi-edge-server", "network-websocket-server", "rvi-server"} {
		flags[addr] = "127.0.0.1:7"
	}
	for flag, name := range map[string]string{
		"dbus-bus": "system", "dbus-name": "new.name-1", "dbus-path": "/new", "dbus-interface": "new.name_1",
		"dbus-software-manager": "new.name", "dbus-software-manager-path": "/",
	} {
		flags[flag] = name
	}
	flags["ab-bootloader"], flags["rvi-dialect"] = "grub", "2015"
	flags["policy-timezone"], flags["policy-install-windows"], flags["policy-disk-quota"] = "UTC", "Sun 01:00-02:00", "1kB"
	flags["auth-credentials-file"] = filepath.Join(t.TempDir(), "none")
	c := NewConfig()
	if err := c.Apply(flags); err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys {
		got := fmt.Sprint(deref(k.at(&c)))
		if got != flags[k.Flag()] && got != "["+flags[k.Flag()]+"]" {
			t.Errorf("--%s: %s", k.Flag(), got)
		}
	}
	if c.Auth == nil || c.DBus == nil || c.RVI == nil {
		t.Error("a flag did not make its section")
	}
}

func TestNamesOnTheBus(t *testing.T) {
	for flag, wrong := range map[string][]string{
		"dbus-bus":              {"", "Session", "starter"},
		"dbus-name":             {"", "org", "org.", ".org", "org..x", "org.1x", ":1.2", "org.x y", "org." + strings.Repeat("x", 255)},
		"dbus-interface":        {"", "org", "org.x-y", "org.é"},
		"dbus-software-manager": {"", "org", "org.x-y"},
		"dbus-path":             {"", "org", "//", "/org/", "/org//x", "/org/x-y", "/org/x.y"},
	} {
		for _, text := range wrong {
			c := NewConfig()
			if err := c.Apply(map[string]string{flag: text}); err == nil || !strings.HasPrefix(err.Error(), "--"+flag+": expected ") {
				t.Errorf("%s %q: %v", flag, text, err)
			}
		}
	}
}

func deref(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *bool:
		return *p
	case *uint32:
		return *p
	case *int64:
		return *p
	case *Paths:
		return []string(*p)
	case *Windows:
		return *p
	}
	return nil
}

func TestWrongFlags(t *testing.T) {
	for flag, text := range map[string]string{
		"core-polling": "1", "core-polling-sec": "ten", "core-server": "ftp://x", "dbus-timeout": "-1",
		"network-http-server": "x", "device-uuid": "", "no-such-flag": "x",
	} {
		c := NewConfig()
		if err := c.Apply(map[string]string{flag: text}); err == nil || !strings.Contains(err.Error(), "--"+flag+":") {
			t.Errorf("--%s=%s: %v", flag, text, err)
		}
	}
	c := NewConfig()
	if err := c.Apply(map[string]string{"device-system-info": "", "device-trusted-keys": ""}); err != nil || c.Device.SystemInfo != "" {
		t.Errorf("%v", err)
	}
}

// The flags of client.md 7.4, and those of our own keys.
func TestFlagNames(t *testing.T) {
	var names []string
	for _, k := range Keys {
		names = append(names, k.Flag())
		if k.Help == "" || k.Arg == "" {
			t.Errorf("%s has no help", k)
		}
	}
	want := strings.Fields(`auth-server auth-client-id auth-client-secret auth-credentials-file
		core-server core-polling core-polling-sec
		dbus-bus dbus-name dbus-path dbus-interface dbus-software-manager dbus-software-manager-path dbus-timeout dbus-compat-order
		device-uuid device-vin device-packages-dir device-package-manager device-certificates-path device-system-info
		policy-timezone policy-install-windows policy-metered-hook policy-download-tries policy-install-tries policy-disk-quota
		gateway-console gateway-dbus gateway-http gateway-rvi gateway-socket gateway-websocket
		network-http-server network-rvi-edge-server network-socket-commands-path network-socket-events-path network-websocket-server
		rvi-client rvi-storage-dir rvi-timeout
		rvi-server rvi-dialect rvi-root rvi-cert rvi-key rvi-cred
		ab-slot-a ab-slot-b ab-bootloader ab-fw-env-config ab-grubenv ab-running ab-reboot ab-health-check ab-health-timeout ab-health-tries
		device-state-dir device-package-root device-trusted-keys device-auto-download gateway-token-file`)
	slices.Sort(names)
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestPrintCanBeReadBack(t *testing.T) {
	c, _, err := ParseConfig("f", []byte(genivi))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "s3cret") {
		t.Error("the secret is shown")
	}
	again, warnings, err := ParseConfig("printed", out.Bytes())
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	again.Auth.ClientSecret = c.Auth.ClientSecret
	if diff := cmp.Diff(c, again, ignoreOrigin); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(genivi))
	f.Add([]byte("[device]\npolling_interval = 3"))
	f.Add([]byte("[ab]\n[policy]\ninstall_windows = ['Sun 00:00-24:00', '22:00-05:00;12:00-13:00']"))
	f.Add([]byte("core = { polling_sec = 1, server = 'http://x' }\na.b.c = [1, {x=1}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, warnings, err := ParseConfig("f", data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("not one line with file and line: %q", err)
			}
			return
		}
		for _, w := range warnings {
			if strings.Contains(w, "f:0:") || strings.Contains(w, "\n") {
				t.Fatalf("a warning without its line: %q", w)
			}
		}
		var out bytes.Buffer
		if err := c.Print(&out); err != nil {
			t.Fatal(err)
		}
		if _, warnings, err := ParseConfig("again", out.Bytes()); err != nil || len(warnings) > 0 {
			t.Fatalf("what was printed is wrong: %v %v\n%s", warnings, err, &out)
		}
	})
}
