package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// rviSite is a server that speaks RVI: over plain links, or over TLS.
type rviSite struct {
	*site
	secure bool
	link   int // port
}

func newRVISite(t *testing.T, secure bool) *rviSite {
	t.Helper()
	s := &rviSite{secure: secure, link: freePort()}
	args := []string{"--auth", "none", "--rvi-link-port", fmt.Sprint(s.link)}
	if secure {
		args = []string{"--auth", "on", "--rvi-tls-port", fmt.Sprint(s.link)}
	}
	s.site = newSite(t, args...)
	return s
}

// newRealRVISite is a plain one that runs the real program.
func newRealRVISite(t *testing.T) *rviSite {
	t.Helper()
	s := &rviSite{link: freePort()}
	s.site = &site{T: t, dir: filepath.Join(t.TempDir(), "data"), port: freePort(), key: filepath.Join(t.TempDir(), "release.key"), real: true,
		args: []string{"--auth", "none", "--rvi-link-port", fmt.Sprint(s.link)}}
	s.must("key", "new", "--out", s.key)
	s.start()
	return s
}

// in is the same server in another test.
func (s *rviSite) in(t *testing.T) *rviSite {
	c := *s
	c.site = s.site.in(t)
	return &c
}

func (s *rviSite) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.link) }

// rviCar is a device that speaks RVI. Its node is a process of its own, or one
// with its agent.
type rviCar struct {
	*car
	vin    string
	who    []string // to updraft rvi keygen and to updraft-agent node
	keys   []string // options of whoever has the node
	server string   // what the node links to
	edge   int      // port of the node, if that is a process of its own
	node   *process
}

// newRVICar registers a device whose services have the names of a dialect. Its
// node is not started.
func newRVICar(s *rviSite, name, dialect string) *rviCar {
	s.Helper()
	c := &rviCar{vin: "VIN-" + name, server: s.addr(), edge: freePort()}
	c.car = newCar(s.site, name, "--device-id", c.vin)
	c.who = []string{"--device", c.uuid}
	if dialect == "2015" {
		c.who = []string{"--vin", c.vin}
	}
	if s.secure {
		out := filepath.Join(c.dir, "keys")
		s.must(append([]string{"rvi", "keygen", "--data", s.dir, "--out", out}, c.who...)...)
		c.keys = []string{"--rvi-root", out + "/root.crt", "--rvi-cert", out + "/device.crt", "--rvi-key", out + "/device.key", "--rvi-cred", out + "/credential.jwt"}
	}
	c.extra = []string{"--core-server", "http://127.0.0.1:1", // there is no HTTP
		"--gateway-rvi", "true", "--rvi-storage-dir", filepath.Join(c.dir, "rvi"), "--rvi-dialect", dialect}
	return c
}

// embedded gives the agent a node of its own.
func (c *rviCar) embedded() *rviCar {
	c.extra = append(append(c.extra, "--rvi-server", c.server), c.keys...)
	return c
}

// external has the agent use a node of another process, which is started.
func (c *rviCar) external() *rviCar {
	c.extra = append(c.extra, "--rvi-client", fmt.Sprintf("http://127.0.0.1:%d", c.edge), "--network-rvi-edge-server", "127.0.0.1:0")
	c.startNode()
	return c
}

func (c *rviCar) startNode() {
	c.Helper()
	args := append([]string{"node", "--server", c.server, "--edge", fmt.Sprintf("127.0.0.1:%d", c.edge), "--data", filepath.Join(c.dir, "node")}, c.who...)
	c.node = launch(c.T, "node of "+c.name, self("agent", append(args, c.keys...)...))
}

// rviTopology is a way to wire a device.
type rviTopology struct {
	name string
	wire func(*rviCar) *rviCar
}

var rviTopologies = []rviTopology{
	{"device node in a process of its own", (*rviCar).external},
	{"device node in the agent", (*rviCar).embedded},
}

// A server, a device node and an agent, each a process of its own, or the two
// of the device one, install a real package, in both dialects, over links that
// prove nothing and over TLS with the files that updraft rvi keygen makes.
func TestRVIInstallsAPackage(t *testing.T) {
	t.Parallel()
	deb := buildHeavyDeb(t, "tool", "1.0", nil, 200_000)
	for name, secure := range map[string]bool{"plain": false, "tls": true} {
		s := newRVISite(t, secure)
		s.publish(deb, "tool", "1.0")
		for _, topology := range rviTopologies {
			for _, dialect := range []string{"2015", "2016"} {
				t.Run(strings.Join([]string{name, topology.name, dialect}, ", "), func(t *testing.T) {
					t.Parallel()
					c := topology.wire(newRVICar(s.in(t), fmt.Sprintf("%s-%s-%d", name, dialect, freePort()), dialect))
					c.start()
					id := c.send("tool", "1.0")
					c.hasToolOverRVI(id)
					c.counts("postinst began", 1)
				})
			}
		}
	}
}

// hasToolOverRVI is hasTool for a device whose update may have come in another
// way than over HTTP, where every update has its own id.
func (c *rviCar) hasToolOverRVI(id string) {
	c.Helper()
	c.await(id, ota.Finished)
	c.lists("tool", "1.0")
	c.rests()
	c.installed("tool", "1.0")
	c.counts("postinst done", 1)
	c.reported(id, ota.OK)
}

// linked is a vehicle as updraft rvi ls shows it.
type linked struct {
	Device, Peer, Dialect string
	Secure                bool
	Transfers             []struct {
		State                  string
		Chunks, ChunksReceived int
		Resends                *int
		BytesPerSecond         int64
	}
}

func (s *rviSite) links() (list []linked) {
	s.Helper()
	if err := json.Unmarshal([]byte(s.must("rvi", "ls")), &list); err != nil {
		s.Fatal(err)
	}
	return list
}
