package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/coap"
)

// Network is how a device speaks to others.
type Network struct {
	Block    int            // size of blocks it asks for, 16 to 1024 bytes; 0 leaves it to the server
	Loss     float64        // of its datagrams, 0 to 1, in both directions
	Rand     func() float64 // decides, by many goroutines; rand.Float64 if nil
	Identity string         // for coaps
	Key      []byte
}

// handshake bounds how long a DTLS handshake or a TCP connection may take:
// with losses a flight is sent several times.
const handshake = 30 * time.Second

// dial returns a client for the server of a URL.
func (n Network) dial(ctx context.Context, u *url.URL, body int) (*coap.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	c, err := n.connect(ctx, u)
	if err != nil {
		return nil, err
	}
	c.Block, c.Body = n.Block, body
	return c, nil
}

func (n Network) connect(ctx context.Context, u *url.URL) (*coap.Client, error) {
	switch u.Scheme {
	case "coap":
		c, err := new(net.Dialer).DialContext(ctx, "udp", authority(u, "5683"))
		if err != nil {
			return nil, err
		}
		return coap.NewClient(n.spoil(c)), nil
	case "coaps":
		if n.Identity == "" {
			return nil, errors.New("coaps needs a key, and this device has none")
		}
		remote, err := net.ResolveUDPAddr("udp", authority(u, "5684"))
		if err != nil {
			return nil, err
		}
		c, err := net.ListenPacket("udp", "")
		if err != nil {
			return nil, err
		}
		return coap.NewDTLSClient(ctx, n.spoilPackets(c), remote, coap.DTLSClientConfig{Identity: n.Identity, Key: n.Key, ConnectionID: true})
	case "coap+tcp":
		return coap.DialTCP(ctx, authority(u, "5683"), nil)
	}
	return nil, fmt.Errorf("the device speaks coap, coaps and coap+tcp, not %q", u.Scheme)
}

// authority is host and port of a URL.
func authority(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// location reads a URL.
func location(raw string) (u *url.URL, target string, err error) {
	u, err = url.Parse(raw)
	switch {
	case err != nil:
		return nil, "", err
	case u.Host == "" || !strings.HasPrefix(u.Scheme, "coap"):
		return nil, "", fmt.Errorf("%q is no URL of CoAP", raw)
	}
	target = "/" + strings.TrimPrefix(u.Path, "/")
	if u.RawQuery != "" {
		query, err := url.PathUnescape(u.RawQuery)
		if err != nil {
			return nil, "", err
		}
		target += "?" + query
	}
	return u, target, nil
}

// tries is how often a file is asked for before the device gives up. Each takes
// up to 93 s if nobody answers.
const tries = 3

// fetch gets what is at a URL into w, at most size bytes. It goes on where it
// stopped when the network fails. What is wrong with content that changed
// meanwhile shows in its digest.
func (n Network) fetch(ctx context.Context, raw string, w io.WriterAt, size int64) (int64, error) {
	u, target, err := location(raw)
	if err != nil {
		return 0, err
	}
	to := &place{w: w, size: size}
	for try := 1; ; try++ {
		err = n.fetchFrom(ctx, u, target, to)
		_, answered := errors.AsType[*coap.ResponseError](err)
		if err == nil || answered || errors.Is(err, errFull) || ctx.Err() != nil || try == tries {
			return to.end, err
		}
	}
}

func (n Network) fetchFrom(ctx context.Context, u *url.URL, target string, to *place) error {
	c, err := n.dial(ctx, u, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	_, _, err = c.Download(ctx, target, to, to.end)
	return err
}

// place is where a file goes, in order.
type place struct {
	w    io.WriterAt
	size int64 // there is room for
	end  int64 // of what was written
}

var errFull = errors.New("there is no room")

func (p *place) WriteAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > p.size {
		return 0, fmt.Errorf("%w for more than %d bytes", errFull, p.size)
	}
	n, err := p.w.WriteAt(b, off)
	p.end = off + int64(n)
	return n, err
}

// memory is a small file in memory.
type memory []byte

func (m *memory) WriteAt(b []byte, off int64) (int, error) {
	*m = append((*m)[:off], b...)
	return len(b), nil
}

// spoil makes a connection lose datagrams.
func (n Network) spoil(c net.Conn) net.Conn {
	if n.Loss == 0 {
		return c
	}
	return lossyConn{c, n}
}

// spoilPackets does so for a socket.
func (n Network) spoilPackets(c net.PacketConn) net.PacketConn {
	if n.Loss == 0 {
		return c
	}
	return lossySocket{c, n}
}

func (n Network) lost() bool { return n.Rand() < n.Loss }

type lossyConn struct {
	net.Conn
	network Network
}

func (c lossyConn) Write(b []byte) (int, error) {
	if c.network.lost() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c lossyConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.network.lost() {
			return n, err
		}
	}
}

type lossySocket struct {
	net.PacketConn
	network Network
}

func (s lossySocket) WriteTo(b []byte, to net.Addr) (int, error) {
	if s.network.lost() {
		return len(b), nil
	}
	return s.PacketConn.WriteTo(b, to)
}

func (s lossySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil || !s.network.lost() {
			return n, from, err
		}
	}
}
