package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// ServeLink takes plain data links from l until the node closes, which closes
// l. Nothing on such a link proves who the peer is: Options.Plain decides, and
// without it the error is KindForbidden.
func (n *Node) ServeLink(l net.Listener) error {
	if n.opt.Plain == nil {
		return ota.Fail(ota.KindForbidden, "plain_link", "plain RVI links are refused, as they prove nothing")
	}
	return n.accept(l, func(c net.Conn) { n.plain(n.ctx, c, false) })
}

// ServeTLS takes data links over TLS from l until the node closes, which closes
// l. The error is KindInvalid if the node has no Identity.
func (n *Node) ServeTLS(l net.Listener) error {
	if n.opt.Identity == nil {
		return ota.Invalid("an RVI node needs an identity to serve TLS")
	}
	return n.accept(l, func(c net.Conn) { n.secure(n.ctx, c, false) })
}

func (n *Node) accept(l net.Listener, serve func(net.Conn)) error {
	if !n.open(l) {
		return errClosed
	}
	defer n.done(l)
	for {
		c, err := l.Accept()
		if err != nil && errors.Is(err, net.ErrClosed) {
			return n.closedNow(err)
		}
		if err != nil { // such as too many open files: it may pass
			n.mu.Lock()
			n.grumble("accept", l.Addr().String(), "", err.Error())
			n.unlock()
			if !pause(n.ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		n.wg.Go(func() { serve(c) })
	}
}

// plain runs a link over conn, and closes it.
func (n *Node) plain(ctx context.Context, conn net.Conn, opener bool) (greeted bool) {
	defer func() { _ = conn.Close() }()
	l, err := n.newLink(ctx, conn, opener, false)
	if err != nil {
		return false // and told
	}
	l.meet(conn, nil)
	return l.run()
}

// Connect keeps a plain data link to another node, until ctx is done or the
// node closes; it then returns nil. What ends a link is told to Options.Audit,
// and the next is tried after 5 seconds at first and 5 minutes at last (rvi.md
// 3.7). The error is KindForbidden without Options.Plain.
func (n *Node) Connect(ctx context.Context, addr string) error {
	if n.opt.Plain == nil {
		return ota.Fail(ota.KindForbidden, "plain_link", "plain RVI links are refused, as they prove nothing")
	}
	return n.keep(ctx, addr, n.plain)
}

// ConnectTLS is Connect over TLS. The error is KindInvalid if the node has no
// Identity.
func (n *Node) ConnectTLS(ctx context.Context, addr string) error {
	if n.opt.Identity == nil {
		return ota.Invalid("an RVI node needs an identity to connect over TLS")
	}
	return n.keep(ctx, addr, n.secure)
}

const (
	firstReconnect = 5 * time.Second
	lastReconnect  = 5 * time.Minute
)

func (n *Node) keep(ctx context.Context, addr string, run func(context.Context, net.Conn, bool) bool) error {
	if !n.enter() {
		return errClosed
	}
	defer n.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	delay := firstReconnect
	for {
		if n.connect(ctx, addr, run) {
			delay = firstReconnect
		}
		if !pause(ctx, delay-rand.N(delay/4)) { // apart from others that lost the same node
			return nil
		}
		delay = min(2*delay, lastReconnect)
	}
}

// connect has one link, from beginning to end.
func (n *Node) connect(ctx context.Context, addr string, run func(context.Context, net.Conn, bool) bool) (greeted bool) {
	dial, cancel := context.WithTimeout(ctx, strangerPatience)
	defer cancel()
	conn, err := n.opt.Dial(dial, "tcp", addr)
	if err == nil {
		return run(ctx, conn, true)
	}
	if ctx.Err() == nil {
		n.mu.Lock()
		n.audit("unreachable", addr, "", err.Error())
		n.unlock()
	}
	return false
}

// pause waits; false if ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
