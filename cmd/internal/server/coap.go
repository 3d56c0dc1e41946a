package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/coap/resource"
	"github.com/updraft-ota/updraft/ota"
)

// constrained is the server's side of CoAP: one door on up to four ports.
type constrained struct {
	door   *resource.Door
	server *coap.Server

	packets, secure net.PacketConn // nil: closed
	streams, tls    net.Listener
	dtls            coap.DTLSConfig

	stopRun context.CancelFunc
	running sync.WaitGroup
}

// openConstrained puts CoAP together and binds its ports.
func (s *server) openConstrained(ctx context.Context, cert *certificate) (_ *constrained, err error) {
	c := &constrained{}
	c.door = resource.New(resource.Options{Fleet: s.fleet, Private: !s.CoAPPublic, Trusting: s.Auth == AuthNone, Root: c.root(s), Log: s.log})
	c.server = &coap.Server{Handler: c.door, Trusted: c.door.Trusted, Log: s.log}
	if !s.WithCoAPServer {
		return c, nil
	}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if c.packets, err = listenPacket(ctx, s.Config, "coap", s.CoAP); err != nil {
		return nil, err
	}
	if c.packets != nil {
		s.coapBound.Store(int32(portOf(c.packets.LocalAddr())))
	}
	if c.streams, err = listen(ctx, s.Config, "coap-tcp", s.CoAPTCP); err != nil {
		return nil, err
	}
	return c, c.openSecure(ctx, s, cert)
}

// openSecure binds the ports of coaps.
func (c *constrained) openSecure(ctx context.Context, s *server, cert *certificate) (err error) {
	c.dtls = coap.DTLSConfig{PSK: c.door.PSK}
	var stream *tls.Config
	if cert != nil {
		stream = cert.config()
		stream.NextProtos = []string{"coap"}
	}
	if s.CoAPSClientCA != "" {
		file, err := os.ReadFile(s.CoAPSClientCA)
		if err != nil {
			return fmt.Errorf("read --coaps-client-ca: %w", err)
		}
		c.dtls.ClientCAs = x509.NewCertPool()
		if !c.dtls.ClientCAs.AppendCertsFromPEM(file) {
			return fmt.Errorf("--coaps-client-ca %s holds no certificate in PEM", s.CoAPSClientCA)
		}
		c.dtls.GetCertificate = func(string) (*tls.Certificate, error) { return cert.get(nil) }
		stream.ClientCAs, stream.ClientAuth = c.dtls.ClientCAs, tls.VerifyClientCertIfGiven
	}
	if c.secure, err = listenPacket(ctx, s.Config, "coaps", s.CoAPS); err != nil {
		return err
	}
	if c.secure != nil {
		s.coapsBound.Store(int32(portOf(c.secure.LocalAddr())))
	}
	l, err := listen(ctx, s.Config, "coaps-tcp", s.CoAPSTCP)
	if l != nil {
		c.tls = tls.NewListener(l, stream)
	}
	return err
}

// listenPacket binds a UDP port.
func listenPacket(ctx context.Context, c Config, what string, port settings.Port) (net.PacketConn, error) {
	if !port.Open() {
		return nil, nil
	}
	addr, err := c.address()
	if err != nil {
		return nil, err
	}
	network, host := "udp", ""
	if addr.IsValid() {
		host = addr.String()
	}
	if addr.Is4() {
		network = "udp4" // or 0.0.0.0 would mean IPv6 as well
	}
	p, err := new(net.ListenConfig).ListenPacket(ctx, network, net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, fmt.Errorf("%w: free the port, give another --%s-port, or off", err, what)
	}
	return p, nil
}

func portOf(a net.Addr) uint16 {
	at, _ := netip.ParseAddrPort(a.String()) // what is bound has a port
	return at.Port()
}

// serve answers until stop. A port that fails is told to ended.
func (c *constrained) serve(ended chan<- error) {
	ctx, cancel := context.WithCancel(context.Background())
	c.stopRun = cancel
	run := func(serve func() error) {
		c.running.Go(func() {
			if err := serve(); err != nil {
				ended <- err
			}
		})
	}
	run(func() error { c.door.Run(ctx, c.server.Changed); return nil })
	if c.packets != nil {
		run(func() error { return c.server.Serve(ctx, c.packets) })
	}
	if c.secure != nil {
		run(func() error { return c.server.ServeDTLS(ctx, c.secure, c.dtls) })
	}
	for _, l := range []net.Listener{c.streams, c.tls} {
		if l != nil {
			run(func() error { return c.server.ServeTCP(ctx, l) })
		}
	}
}

// links tells which devices fetch something.
func (c *constrained) links() []ota.Link {
	if c == nil { // it is asked for while the server starts
		return nil
	}
	return c.door.Links()
}

// gone tells that a device was removed.
func (c *constrained) gone(id ota.DeviceID) {
	if c != nil {
		c.door.Gone(id)
		c.rekeyed(id)
	}
}

// rekeyed tells that a device's key is good no more: nor is what it began.
func (c *constrained) rekeyed(id ota.DeviceID) {
	if c != nil {
		c.server.End(func(p coap.Peer) bool {
			return p.Security == coap.PSK && (p.Identity == string(id) || p.Identity == ota.EnrolmentOf(id))
		})
	}
}

// stop ends all conversations. What devices have not got they ask for again.
func (c *constrained) stop() {
	if c.stopRun != nil {
		c.stopRun()
	}
	c.running.Wait()
	for _, p := range []net.PacketConn{c.packets, c.secure} {
		if p != nil {
			_ = p.Close() // unless it served, and is closed already
		}
	}
	for _, l := range []net.Listener{c.streams, c.tls} {
		if l != nil {
			_ = l.Close()
		}
	}
	c.door.Close()
}

// root tells what the URIs begin with that a peer gets: those of the port it
// came in by, but for plain UDP, which is what the fleet names.
func (c *constrained) root(s *server) func(coap.Transport) string {
	return func(t coap.Transport) string {
		switch t {
		case coap.DTLS:
			return s.coapURL("coaps", portOf(c.secure.LocalAddr()))
		case coap.TCP:
			return s.coapURL("coap+tcp", portOf(c.streams.Addr()))
		case coap.TLS:
			return s.coapURL("coaps+tcp", portOf(c.tls.Addr()))
		}
		return ""
	}
}

// addresses puts in where CoAP is served.
func (c *constrained) addresses(a *Addresses) {
	if c.packets != nil {
		a.CoAP = dialable(c.packets.LocalAddr())
	}
	if c.secure != nil {
		a.CoAPS = dialable(c.secure.LocalAddr())
	}
	if c.streams != nil {
		a.CoAPTCP = dialable(c.streams.Addr())
	}
	if c.tls != nil {
		a.CoAPSTCP = dialable(c.tls.Addr())
	}
}
