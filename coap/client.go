package coap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Client talks to one server, or to one device that is a server: a device is
// asked one thing at a time (NSTART). Its fields are not to be changed once it
// is used. It may be used by many goroutines.
type Client struct {
	// Block is the size of blocks sent and asked for, in bytes: 16 to 1024.
	// For 0 the other side chooses what it sends, and 1024 is sent.
	Block int
	// Body is how long a payload Do and Get put together, in bytes; 1 MiB if 0.
	Body int

	wire exchanger
}

// exchanger sends requests without looking at what they mean.
type exchanger interface {
	// subscribe sends a request. take is called for each response, which it may
	// keep, or with an error, until stop; it must not block.
	subscribe(m Message, take func(Message, error)) (stop func())
	Close() error
}

// ErrNotUnderstood means that a response has a critical option we do not know,
// so that it cannot be acted on (RFC 7252 5.4.1).
var ErrNotUnderstood = errors.New("coap: the answer has an option that is not understood")

// ErrChanged means that what was being fetched changed again and again.
var ErrChanged = errors.New("coap: the content changed while it was fetched")

// ResponseError is a response that is no success.
type ResponseError struct {
	Code Code
	Text string // for humans, from the other side: not to be trusted
}

func (e *ResponseError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("coap: the answer is %s", e.Code)
	}
	return fmt.Sprintf("coap: the answer is %s %q", e.Code, e.Text)
}

// Err returns what went wrong according to a response: nil for class 2, else a
// *ResponseError with the first 200 bytes of its payload.
func (m *Message) Err() error {
	if m.Code.Class() == 2 {
		return nil
	}
	return &ResponseError{m.Code, string(m.Payload[:min(len(m.Payload), 200)])}
}

// Dial returns a client that speaks plain CoAP over UDP to an address such as
// "[fd00::1]:5683". Nothing is sent yet.
func Dial(ctx context.Context, address string) (*Client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	return NewClient(c), nil
}

// NewClient returns a client over a connection that keeps datagrams apart:
// UDP, DTLS, or one of a test. Closing the client closes it.
func NewClient(c net.Conn) *Client { return &Client{wire: newUDPClient(c)} }

// Close ends the conversation; what is under way fails with ErrClosed.
func (c *Client) Close() error { return c.wire.Close() }

// NewRequest returns a request for a path with queries, such as "/rd?ep=n1".
func NewRequest(method Code, target string) Message {
	m := Message{Code: method}
	m.Options.AddTarget(target)
	return m
}

// Get fetches what is at a target. The response may be of any code.
func (c *Client) Get(ctx context.Context, target string) (Message, error) {
	return c.Do(ctx, NewRequest(GET, target))
}

// Post sends a payload to a target, in blocks if it is long.
func (c *Client) Post(ctx context.Context, target string, f Format, payload []byte) (Message, error) {
	return c.send(ctx, POST, target, f, payload)
}

// Put is Post with the method PUT.
func (c *Client) Put(ctx context.Context, target string, f Format, payload []byte) (Message, error) {
	return c.send(ctx, PUT, target, f, payload)
}

func (c *Client) send(ctx context.Context, method Code, target string, f Format, payload []byte) (Message, error) {
	m := NewRequest(method, target)
	m.Payload = payload
	m.Options.AddUint(ContentFormat, uint32(f))
	return c.Do(ctx, m)
}

// Do sends a request and returns its response, both of any length, of any
// code. Code, Options and Payload of m count. It fails with ErrReset,
// ErrTimeout, ErrQueueFull, ErrClosed, ErrChanged, ErrNotUnderstood, what ctx
// ends with, or an error of the network.
func (c *Client) Do(ctx context.Context, m Message) (Message, error) {
	first, err := c.upload(ctx, m)
	if err != nil {
		return Message{}, err
	}
	if b, ok := first.Options.block(Block2); !ok || !b.More {
		return first, nil
	}
	var body buffer
	body.max = c.Body
	or(&body.max, 1<<20)
	m.Payload = nil
	last, err := c.download(ctx, m, first, 0, &body)
	if err != nil {
		return Message{}, err
	}
	last.Payload = body.b
	return last, nil
}

// once sends a request as it is, and again if the other side first wants to
// see that it is us (RFC 9175 2).
func (c *Client) once(ctx context.Context, m Message) (Message, error) {
	resp, err := single(ctx, c.wire, m)
	if err != nil || resp.Code != Unauthorized {
		return resp, err
	}
	echo, ok := resp.Options.Get(Echo)
	if !ok {
		return resp, nil
	}
	m.Options = m.Options.clone()
	m.Options.Set(Echo, echo)
	return single(ctx, c.wire, m)
}

// buffer is an io.WriterAt in memory.
type buffer struct {
	b   []byte
	max int
}

func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > int64(b.max) {
		return 0, fmt.Errorf("coap: the answer is longer than %d bytes", b.max)
	}
	b.b = append(b.b[:min(int(off), len(b.b))], bytes.Clone(p)...)
	return len(p), nil
}

// addrOf is the address of the other end, the zero value if it is not of UDP.
func addrOf(c net.Conn) netip.AddrPort {
	switch a := c.RemoteAddr().(type) {
	case *net.UDPAddr:
		return a.AddrPort()
	case *net.TCPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
