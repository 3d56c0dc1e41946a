package coap

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// tcpClient is an exchanger over a stream.
type tcpClient struct {
	s       *stream
	waiting pending
}

// DialTCP returns a client over TCP (RFC 8323) to an address such as
// "[fd00::1]:5683", or over TLS if config is not nil. ctx is for connecting.
func DialTCP(ctx context.Context, address string, config *tls.Config) (*Client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"coap"}
		t := tls.Client(c, config)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		c = t
	}
	return NewTCPClient(c), nil
}

// NewTCPClient returns a client over a connection that keeps bytes in order.
// Closing the client closes it.
func NewTCPClient(c net.Conn) *Client {
	t := &tcpClient{s: newStream(c, 1<<20, 10*time.Minute)}
	_ = t.s.hello() // before any request; an error ends run
	go func() {
		_ = t.s.run(t.response) // ends when the connection does
		t.Close()
	}()
	return &Client{wire: t}
}

func (t *tcpClient) response(m Message) {
	if take := t.waiting.find(m.Token); take != nil && m.Code.IsResponse() {
		take(understood(&m))
	}
}

func (t *tcpClient) subscribe(m Message, take func(Message, error)) (stop func()) {
	token := string(m.Token)
	if !t.waiting.add(token, take) {
		take(Message{}, ErrClosed)
		return func() {}
	}
	if err := t.s.write(m); err != nil {
		take(Message{}, err)
	}
	return func() { t.waiting.remove(token) }
}

// Close ends everything that is under way with ErrClosed.
func (t *tcpClient) Close() error {
	err := t.s.conn.Close()
	t.waiting.close(ErrClosed)
	return err
}
