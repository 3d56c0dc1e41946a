package coap

import (
	"bytes"
	"maps"
	"sync"
)

// sessions are those over DTLS that are open, and whose they are.
type sessions struct {
	mu   sync.Mutex
	open map[*dtlsConn]Peer
}

func (s *sessions) add(c *dtlsConn, p Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*dtlsConn]Peer{}
	}
	s.open[c] = p
}

func (s *sessions) remove(c *dtlsConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// End ends the DTLS sessions of those peers, of whom the address may have
// changed. Call it once DTLSConfig.PSK tells what is to be from now on: a
// handshake that is under way with another key comes to nothing too.
func (s *Server) End(match func(Peer) bool) {
	s.sessions.mu.Lock()
	open := maps.Clone(s.sessions.open)
	s.sessions.mu.Unlock()
	for c, p := range open {
		if match(p) {
			c.Close()
		}
	}
}

// keyStands reports whether the key of a session is its peer's still: it may
// have changed during the handshake.
func (d *dtlsServer) keyStands(c *dtlsConn, p Peer) bool {
	if p.Security != PSK {
		return true
	}
	key, err := d.config.PSK(p.Identity)
	c.mu.Lock()
	defer c.mu.Unlock()
	return err == nil && bytes.Equal(key, c.used)
}
