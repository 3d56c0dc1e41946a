package server

import (
	"net/url"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

// usesRVI reports whether there is anything to speak RVI with.
func (c *Config) usesRVI() bool { return c.RVINode != "" || c.embedsNode() }

// embedsNode reports whether the server is an RVI node itself.
func (c *Config) embedsNode() bool { return c.RVIEdge.Open() || c.RVILink.Open() || c.RVITLS.Open() }

// checkRVI settles what RVI needs. It fails on wrong usage.
func (c *Config) checkRVI() error {
	given := 0
	for _, file := range []string{c.RVIRoot, c.RVICert, c.RVIKey, c.RVICred} {
		if file != "" {
			given++
		}
	}
	switch {
	case given != 0 && given != 4:
		return usage.Errorf("--rvi-root, --rvi-cert, --rvi-key and --rvi-cred belong together: give all or none")
	case c.RVINode != "" && c.embedsNode():
		return usage.Errorf("--rvi-node is a node of its own: leave out --rvi-edge-port, --rvi-link-port and --rvi-tls-port")
	case c.RVILink.Open() && c.Auth != AuthNone:
		return usage.Errorf("--rvi-link-port believes whatever a vehicle says it is: use --rvi-tls-port, or --auth none to try things out")
	case c.RVINode != "":
		return c.checkRVINode()
	}
	return nil
}

func (c *Config) checkRVINode() error {
	u, err := url.Parse(c.RVINode)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usage.Errorf("--rvi-node %q: expected the URL of a node's edge, such as http://127.0.0.1:8801", c.RVINode)
	}
	if c.Auth == AuthNone && !isLoopback(u.Host) {
		return usage.Errorf("--auth none listens on loopback only, where the node at %s cannot call back: use --auth on", u.Host)
	}
	return nil
}
