package pacman

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// host is what there is to know about the machine, and this process on it, to
// start something that a stop of the client's service does not end.
type host struct {
	root string // where /run and /proc are
	euid int
}

func thisHost() host { return host{root: "/", euid: os.Geteuid()} }

// scope is the beginning of a command line that runs the rest of it outside
// the control group of the client's service: systemd ends all that is in there
// with the service, and restarts it when its own package is installed. It is
// nil where no systemd runs, for an ordinary user, and for a client that is no
// service; a session of its own is enough there.
func (h host) scope(update string, start int) []string {
	if h.euid != 0 || !h.booted() || !h.service() {
		return nil
	}
	run, err := exec.LookPath("systemd-run")
	if err != nil {
		return nil
	}
	return []string{run, "--scope", "--collect", "--quiet", "--unit=" + unitName(update, start), "--"}
}

// booted reports whether systemd runs the machine (sd_booted(3)).
func (h host) booted() bool {
	st, err := os.Lstat(filepath.Join(h.root, "run/systemd/system"))
	return err == nil && st.IsDir()
}

// service reports whether this process is in a service's control group. With
// the mixed hierarchy of old systemd the line that begins with "1:name=" tells.
func (h host) service() bool {
	text, err := os.ReadFile(filepath.Join(h.root, "proc/self/cgroup"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && (f[1] == "" || f[1] == "name=systemd") && strings.Contains(f[2], ".service") {
			return true
		}
	}
	return false
}

// unitName is a unit's name that tells the update and how often its
// installation has been started: the unit of a start that was cut short may
// linger.
func unitName(update string, start int) string {
	safe := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, update)
	return fmt.Sprintf("updraft-install-%s-%d", safe[:min(len(safe), 150)], start)
}
