package operator

import (
	"fmt"
	"strings"
)

// agentConfig is what a device's sota.toml must say: where its server is and
// who the device is. All else has defaults or is the integrator's to say.
type agentConfig struct {
	name, server, uuid, vin string
	clientID, secret        string // "" if the server asks for no proof
}

// toml writes the file. What lies in a credentials file would win over what is
// here, and its default is one path for all devices of a machine: so there is
// none, and the secret stays in one place.
func (a agentConfig) toml() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Configuration of updraft-agent for the device %s.", clean(a.name))
	line("# Made by updraft device add.")
	if a.clientID != "" {
		line("\n[auth]  # proves who the device is: keep this file secret")
		line("server = %s", quote(a.server))
		line("client_id = %s", quote(a.clientID))
		line("client_secret = %s", quote(a.secret))
		line(`credentials_file = ""  # none: id and secret stay in this file only`)
	}
	line("\n[core]")
	line("server = %s", quote(a.server))
	line("\n[device]")
	line("uuid = %s", quote(a.uuid))
	if a.vin != "" {
		line("vin = %s", quote(a.vin))
	}
	line(`# package_manager = "deb"                  # install what arrives; "off" leaves it to others`)
	line(`# packages_dir = "/var/lib/updraft-agent"  # where downloads go`)
	if strings.HasPrefix(a.server, "https:") {
		line(`certificates_path = "/etc/ssl/certs/ca-certificates.crt"  # whom to trust to be the server`)
	}
	return []byte(b.String())
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteString(`\u` + fmt.Sprintf("%04X", r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
