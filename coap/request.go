package coap

import (
	"context"
	"crypto/x509"
	"iter"
	"net/netip"
	"strings"
)

// Transport is how messages travel.
type Transport uint8

const (
	UDP Transport = iota
	DTLS
	TCP
	TLS
)

// Security is how a peer has shown who it is.
type Security uint8

const (
	NoSecurity  Security = iota // it has not
	PSK                         // by a pre-shared key
	Certificate                 // by a certificate that was checked
)

// Peer is who is at the other end.
type Peer struct {
	Addr      netip.AddrPort
	Transport Transport
	Security  Security
	// Identity is the PSK identity, or the common name of the certificate.
	Identity    string
	Certificate *x509.Certificate // with Security Certificate only
	// Proven says that the peer receives what is sent to Addr: over UDP it has
	// returned an Echo option, everywhere else it has finished a handshake. A
	// session of DTLS that has moved to another host is to prove that like UDP.
	Proven bool
}

// Request is what a client asks for.
type Request struct {
	Code    Code    // the method
	Options Options // those that are understood, see OptionID
	Payload []byte  // complete, if it came in blocks
	Peer    Peer

	ctx   context.Context
	path  []byte
	block int // longest block the peer can take, bytes; 0 if that does not matter
}

// Context ends when the server ends, or the session or connection the request
// came in. A notification has the context of the request that asked for it.
func (r *Request) Context() context.Context { return r.ctx }

// Path is the path as "/a/b", "/" if there is none. Nothing in it is escaped
// or cleaned: a segment may be "..", or empty.
func (r *Request) Path() string { return string(r.path) }

// PathBytes is the path without the copy, good until the handler returns and
// not to be changed.
func (r *Request) PathBytes() []byte { return r.path }

// Segments returns the segments of the path, none for "/".
func (r *Request) Segments() []string {
	if len(r.path) <= 1 {
		return nil
	}
	return strings.Split(string(r.path[1:]), "/")
}

// Queries yields the Uri-Query options, such as "ep=node1".
func (r *Request) Queries() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, o := range r.Options {
			if o.ID == URIQuery && !yield(string(o.Value)) {
				return
			}
		}
	}
}

// Query returns the value of the first query "name=value"; ok is false if
// there is none of that name.
func (r *Request) Query(name string) (value string, ok bool) {
	for q := range r.Queries() {
		if k, v, _ := strings.Cut(q, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// Accept returns the Content-Format the client wants, if it says so.
func (r *Request) Accept() (f Format, ok bool) {
	v, ok := r.Options.Uint(Accept)
	return Format(v), ok
}

// Format returns the Content-Format of the payload, if the client says it.
func (r *Request) Format() (f Format, ok bool) {
	v, ok := r.Options.Uint(ContentFormat)
	return Format(v), ok
}

// Block2 returns which block of the answer is wanted; ok is false if the
// client leaves that to the server.
func (r *Request) Block2() (b Block, ok bool) { return r.Options.block(Block2) }

// observing returns the value of the Observe option: 0 to register, 1 to
// deregister (RFC 7641 2).
func (r *Request) observing() (v uint32, ok bool) {
	if r.Code != GET {
		return 0, false
	}
	return r.Options.Uint(Observe)
}

// read makes r the request that is in m. The code is that of the refusal, or
// Empty. Path and options keep lying in the datagram.
func (r *Request) read(m *Message, peer Peer) Code {
	r.Code, r.Payload, r.Peer = m.Code, m.Payload, peer
	var refused Code
	if r.Options, refused = understand(m.Options); refused != Empty {
		return refused
	}
	if m.Code > IPATCH {
		return MethodNotAllowed
	}
	for _, id := range [...]OptionID{Block1, Block2} {
		if b, ok := r.Options.block(id); ok && b.SZX == 7 && peer.Transport < TCP {
			return BadRequest
		}
	}
	r.path = r.Options.appendPath(r.path[:0])
	return Empty
}

// clone copies a request out of the datagram it lies in.
func (r *Request) clone() *Request {
	c := *r
	c.Options = r.Options.clone()
	c.Payload = append([]byte(nil), r.Payload...)
	c.path = append([]byte(nil), r.path...)
	return &c
}
