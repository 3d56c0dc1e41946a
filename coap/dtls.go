package coap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

// DTLSConfig says whom a server of coaps talks to, and who it is.
type DTLSConfig struct {
	// PSK returns the key of an identity, an error if there is none. Nil means
	// that no pre-shared keys are used.
	PSK func(identity string) ([]byte, error)
	// Certificates of the server; none means that no certificates are used.
	// GetCertificate, if set, is asked instead, for every handshake.
	Certificates   []tls.Certificate
	GetCertificate func(serverName string) (*tls.Certificate, error)
	// ClientCAs vouch for the certificates of clients, which must have one
	// unless they use a pre-shared key. Nil vouches for none.
	ClientCAs *x509.CertPool
}

// suites are those of RFC 7252 9.1.3, of RFC 7925, and their GCM siblings.
var (
	pskSuites = []dtls.CipherSuiteID{
		dtls.TLS_PSK_WITH_AES_128_CCM_8, dtls.TLS_PSK_WITH_AES_128_CCM, dtls.TLS_PSK_WITH_AES_128_GCM_SHA256,
	}
	certificateSuites = []dtls.CipherSuiteID{
		dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM,
		dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		dtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	}
	quiet = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
)

var errNoKeys = errors.New("coap: DTLS needs pre-shared keys or a certificate")

func (d *DTLSConfig) options(c *dtlsConn) ([]dtls.ServerOption, error) {
	o := []dtls.ServerOption{
		dtls.WithLoggerFactory(quiet),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithConnectionIDGenerator(func() []byte { return []byte(c.cid) }),
	}
	var suites []dtls.CipherSuiteID
	if d.PSK != nil {
		suites = append(suites, pskSuites...)
		o = append(o, dtls.WithPSK(func(id []byte) ([]byte, error) { return c.key(d.PSK, string(id)), nil }))
	}
	if get := d.GetCertificate; get != nil {
		o = append(o, dtls.WithGetCertificate(func(i *dtls.ClientHelloInfo) (*tls.Certificate, error) { return get(i.ServerName) }))
	} else if len(d.Certificates) > 0 {
		o = append(o, dtls.WithCertificates(d.Certificates...))
	}
	if d.GetCertificate != nil || len(d.Certificates) > 0 {
		suites = append(suites, certificateSuites...)
		o = append(o, dtls.WithClientAuth(dtls.RequireAndVerifyClientCert))
		vouching := d.ClientCAs
		if vouching == nil {
			vouching = x509.NewCertPool() // nobody; nil would be whom the system trusts
		}
		o = append(o, dtls.WithClientCAs(vouching))
	}
	if len(suites) == 0 {
		return nil, errNoKeys
	}
	return append(o, dtls.WithCipherSuites(suites...)), nil
}

// ServeDTLS answers requests that come over DTLS 1.2 to c, a UDP socket, until
// ctx ends. Peers have proven their address and shown who they are, and keep
// their session when their address changes if they speak Connection ID
// (RFC 9146). It fails at once if config has neither keys nor certificates;
// otherwise see Serve.
func (s *Server) ServeDTLS(ctx context.Context, c net.PacketConn, config DTLSConfig) error {
	s.init()
	defer c.Close()
	if _, err := config.options(&dtlsConn{}); err != nil {
		return err
	}
	sock, err := newSocket(c)
	if err != nil {
		return err
	}
	d := &dtlsServer{srv: s, config: config, handshakes: newTurns(s.limits.Handshakes)}
	d.front = newDTLSFront(sock, c.LocalAddr(), s.limits.Sessions)
	d.front.proven = func(a netip.AddrPort) bool { return s.proofs.has(a, time.Now()) }
	d.front.begin = func(c *dtlsConn) bool { return d.begin(ctx, c) }
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	done := make(chan struct{})
	go d.sweep(done)
	err = d.front.run()
	close(done)
	d.front.closeAll()
	d.wg.Wait()
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// dtlsServer serves the sessions of one socket.
type dtlsServer struct {
	srv        *Server
	config     DTLSConfig
	front      *dtlsFront
	handshakes *turns
	wg         sync.WaitGroup
}

// begin starts a session, unless there are too many handshakes: then the
// client says hello again in a second or two.
func (d *dtlsServer) begin(ctx context.Context, c *dtlsConn) bool {
	from := c.here().peer.Addr()
	if !d.handshakes.take(from) {
		return false
	}
	o, err := d.config.options(c)
	if err == nil {
		c.conn, err = dtls.ServerWithOptions(c, net.UDPAddrFromAddrPort(c.here().peer), o...)
	}
	if err != nil {
		d.srv.log.Error("a DTLS session cannot begin", "err", err)
		d.handshakes.give(from)
		return false
	}
	c.deliver(c.hello.first(), c.here())
	d.wg.Go(func() {
		defer d.front.remove(c)
		peer, err := d.handshake(ctx, c)
		d.handshakes.give(from)
		if err != nil {
			d.srv.log.Info("a DTLS handshake failed", "peer", c.here().peer, "err", errors.Join(err, c.unknown()))
			return
		}
		c.secure(peer.Identity)
		d.serve(ctx, c, peer)
	})
	return true
}

// handshake finds out who the peer is.
func (d *dtlsServer) handshake(ctx context.Context, c *dtlsConn) (Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, d.srv.limits.Handshake)
	defer cancel()
	if err := c.conn.HandshakeContext(ctx); err != nil {
		return Peer{}, err
	}
	p := Peer{Transport: DTLS, Security: PSK}
	state, _ := c.conn.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		p.Identity = string(state.IdentityHint)
		return p, nil
	}
	cert, err := x509.ParseCertificate(state.PeerCertificates[0])
	if err != nil {
		return Peer{}, err
	}
	p.Security, p.Certificate, p.Identity = Certificate, cert, cert.Subject.CommonName
	return p, nil
}

// serve answers requests until the session ends.
func (d *dtlsServer) serve(ctx context.Context, c *dtlsConn, peer Peer) {
	u := newUDPServer(ctx, d.srv, sessionSocket{c}, func() Peer {
		p := peer
		p.Addr, p.Proven = c.here().peer, c.proven()
		return p
	})
	defer u.close()
	defer c.conn.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	d.srv.sessions.add(c, peer) // first: from here on End ends it
	defer d.srv.sessions.remove(c)
	if !d.keyStands(c, peer) {
		return
	}
	_ = u.layer.run() // however it ends, the session is over
}

// sweep closes idle sessions.
func (d *dtlsServer) sweep(done chan struct{}) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			d.front.idle(now.Add(-d.srv.limits.IdleSession))
		}
	}
}

// sessionSocket is a socket whose only peer is that of a session, wherever it
// is at the moment.
type sessionSocket struct{ c *dtlsConn }

// receive keeps on reading after a record that is too long, or a warning.
func (s sessionSocket) receive(max int, handle func([]byte, route)) error {
	b := make([]byte, max)
	for {
		n, err := s.c.conn.Read(b)
		if err == nil {
			handle(b[:n], route{})
		} else if errors.Is(err, io.EOF) || s.c.closed() {
			return err
		}
	}
}

func (s sessionSocket) write(b []byte, _ route) error {
	_, err := s.c.conn.Write(b)
	return err
}
