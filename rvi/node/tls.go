package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// secure runs a link over TLS over raw, and closes it.
func (n *Node) secure(ctx context.Context, raw net.Conn, opener bool) (greeted bool) {
	defer func() { _ = raw.Close() }()
	l, err := n.newLink(ctx, raw, opener, true)
	if err != nil {
		return false // and told
	}
	conn := tls.Server(raw, n.tls)
	if opener {
		conn = tls.Client(raw, n.tls)
	}
	if err := l.shakeHands(conn); err != nil {
		n.mu.Lock()
		n.grumble("tls", l.peer.String(), "", err.Error())
		l.kill()
		n.unlock()
		return false
	}
	l.meet(conn, conn.ConnectionState().PeerCertificates[0].Raw)
	return l.run()
}

// shakeHands leaves the handshake to a goroutine that ends with it, as it needs
// a stack that the link's own would then keep.
func (l *link) shakeHands(conn *tls.Conn) error {
	ctx, cancel := context.WithTimeout(l.ctx, strangerPatience)
	defer cancel()
	done := make(chan error)
	go func() { done <- conn.HandshakeContext(ctx) }()
	return <-done
}

// tlsConfig is that of both sides: there are no host names, a peer is its
// certificate (rvi.md 3.1). Sessions are not resumed, as nothing of an old link
// shall hold on a new one.
func (n *Node) tlsConfig() *tls.Config {
	certificate := func() *tls.Certificate { return &n.identity.Load().Certificate }
	return &tls.Config{
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate(), nil },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate(), nil },
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // the chain is verified, below, but no host name
		VerifyConnection:       n.verifyPeer,
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		Time:                   n.now,
	}
}

func (n *Node) verifyPeer(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the peer shows no certificate")
	}
	leaf := state.PeerCertificates[0]
	if err := checkKey(leaf); err != nil {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range n.identity.Load().Roots {
		roots.AddCert(c)
	}
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: n.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// checkKey demands RSA of 2048 bits or P-256 (rvi.md 3.1).
func checkKey(c *x509.Certificate) error {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= 2048 {
			return nil
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return nil
		}
	}
	return errors.New("the peer's key is neither RSA of 2048 bits nor P-256")
}
