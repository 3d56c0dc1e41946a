package coap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"

	"github.com/pion/dtls/v3"
)

// DTLSClientConfig says who a client of coaps is: by Identity and Key, or by
// Certificate.
type DTLSClientConfig struct {
	Identity string
	Key      []byte

	Certificate *tls.Certificate
	RootCAs     *x509.CertPool // who vouches for the server
	ServerName  string         // that the server's certificate must have
	// ConnectionID asks the server to recognise the session when our address
	// changes.
	ConnectionID bool
}

func (d *DTLSClientConfig) options() ([]dtls.ClientOption, error) {
	o := []dtls.ClientOption{dtls.WithLoggerFactory(quiet)}
	switch {
	case d.Identity != "" && len(d.Key) > 0:
		o = append(o, dtls.WithPSK(func([]byte) ([]byte, error) { return d.Key, nil }),
			dtls.WithPSKIdentityHint([]byte(d.Identity)), dtls.WithCipherSuites(pskSuites...))
	case d.Certificate != nil:
		o = append(o, dtls.WithCertificates(*d.Certificate), dtls.WithRootCAs(d.RootCAs),
			dtls.WithServerName(d.ServerName), dtls.WithCipherSuites(certificateSuites...))
	default:
		return nil, errNoKeys
	}
	if d.ConnectionID {
		o = append(o, dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()))
	}
	return o, nil
}

// DialDTLS returns a client that speaks CoAP over DTLS to an address such as
// "[fd00::1]:5684", after a handshake that takes no longer than ctx.
func DialDTLS(ctx context.Context, address string, config DTLSClientConfig) (*Client, error) {
	remote, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenPacket("udp", "")
	if err != nil {
		return nil, err
	}
	return NewDTLSClient(ctx, c, remote, config)
}

// NewDTLSClient is DialDTLS with a socket of the caller's, which is closed
// with the client, or when this fails.
func NewDTLSClient(ctx context.Context, c net.PacketConn, remote net.Addr, config DTLSClientConfig) (*Client, error) {
	o, err := config.options()
	if err != nil {
		c.Close()
		return nil, err
	}
	sock := &fromServer{PacketConn: c, server: remote}
	conn, err := dtls.ClientWithOptions(sock, remote, o...)
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	sock.secured.Store(true)
	return NewClient(conn), nil
}
