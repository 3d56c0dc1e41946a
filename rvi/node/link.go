package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/updraft-ota/updraft/ota"
)

// link is a data link. One goroutine reads it (run); another exists while there
// is something to write (write). Its fields from peer on are guarded by Node.mu.
type link struct {
	n      *Node
	conn   net.Conn
	raw    net.Conn        // below TLS; closing it never waits
	leaf   []byte          // DER of the peer's certificate, nil on a plain link
	opener bool            // we opened it
	secure bool            // over TLS, from before its handshake on
	since  time.Time       // by the node's clock
	start  time.Time       // by that of connections
	ctx    context.Context // done when the link is
	cancel context.CancelFunc

	peer       Peer
	greeted    bool // the peer has sent au
	entitled   bool // its rights are known
	dead       bool
	broken     bool                // it died of itself: what has come in full still counts
	names      map[string]struct{} // services it has announced
	module     string              // mod of its messages
	msgpack    bool                // what it speaks
	largest    int                 // bytes of one message it takes; 0 is no limit
	pings      bool                // it has sent a ping
	pinger     *time.Timer
	heard      time.Time
	pieces     map[string]*piece
	complaints brevity
	halfSince  time.Time // when a message began to need a large buffer; zero if none does

	out            []item
	outBytes       int
	controls       int
	writing        bool
	sent, received uint64
}

// item is what is to be written: a parcel, or a message of the protocol in JSON.
type item struct {
	parcel  *parcel
	control []byte
}

// LinkInfo is a data link as operators see it.
type LinkInfo struct {
	Peer           Peer
	Since          time.Time // when it was connected
	Heard          time.Time // when its last message came
	Opener         bool      // we opened it
	Entitled       bool      // its rights are known
	Msgpack        bool
	Services       []string // it has announced
	Queued         int      // messages waiting to be written
	QueuedBytes    int
	Sent, Received uint64 // messages for services
}

// Links lists the links, the oldest first.
func (n *Node) Links() []LinkInfo {
	n.mu.Lock()
	defer n.unlock()
	list := make([]LinkInfo, 0, len(n.links))
	for l := range n.links {
		list = append(list, LinkInfo{Peer: l.peer, Since: l.since, Heard: l.heard, Opener: l.opener, Entitled: l.entitled,
			Msgpack: l.msgpack, Services: slices.Sorted(maps.Keys(l.names)), Queued: len(l.out) - l.controls,
			QueuedBytes: l.outBytes, Sent: l.sent, Received: l.received})
	}
	slices.SortFunc(list, func(a, b LinkInfo) int { return a.Since.Compare(b.Since) })
	return list
}

// newLink counts a connection in, before anything is read from it.
func (n *Node) newLink(ctx context.Context, raw net.Conn, opener, secure bool) (*link, error) {
	n.mu.Lock()
	defer n.unlock()
	addr := raw.RemoteAddr().String()
	switch {
	case n.closed:
		return nil, errClosed
	case len(n.links) >= n.opt.Links:
		n.grumble("too_many_links", addr, "", "")
		return nil, ota.Fail(ota.KindTooMany, "too_many_links", "there are too many RVI links")
	case n.strangers >= maxStrangers && !opener && !n.dismissStranger():
		n.grumble("too_many_strangers", addr, "", "too many links have not shown credentials yet")
		return nil, ota.Fail(ota.KindTooMany, "too_many_strangers", "too many RVI links wait to be authorised")
	}
	l := &link{n: n, conn: raw, raw: raw, opener: opener, secure: secure, since: n.now(), start: time.Now(), heard: n.now(),
		msgpack: n.opt.Msgpack, module: n.opt.Module, peer: Peer{Addr: addr}, complaints: brevity{limit: rate.NewLimiter(1, complaints)}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	context.AfterFunc(l.ctx, func() { _ = raw.Close() })
	n.links[l] = struct{}{}
	n.strangers++
	return l, nil
}

// dismissStranger ends the link that has been silent the longest, if it had its
// chance.
func (n *Node) dismissStranger() bool {
	var oldest *link
	for l := range n.links {
		if !l.greeted && !l.opener && (oldest == nil || l.start.Before(oldest.start)) {
			oldest = l
		}
	}
	if oldest == nil || time.Since(oldest.start) < strangerRight {
		return false
	}
	n.grumble("too_many_strangers", oldest.peer.String(), "", "it has not shown credentials, and others wait")
	oldest.kill()
	return true
}

// meet begins the conversation with the owner of the certificate, nil on a
// plain link. The opener speaks first (rvi.md 3.3).
func (l *link) meet(conn net.Conn, leaf []byte) {
	l.n.mu.Lock()
	defer l.n.unlock()
	l.conn, l.leaf = conn, leaf
	if leaf != nil {
		sum := sha256.Sum256(leaf)
		l.peer.Fingerprint = hex.EncodeToString(sum[:])
	}
	if l.opener {
		l.pushControl(l.n.au())
	}
}

func (n *Node) au() []byte {
	if id := n.identity.Load(); id != nil {
		return appendAu(nil, id.Credentials)
	}
	return appendAu(nil, nil)
}

// run reads the link to its end, and returns whether its peer was ever
// authorised.
func (l *link) run() (greeted bool) {
	r := &reader{conn: l.conn, budget: &l.n.budget, limit: l.limit, until: l.patience, half: l.half, yield: l.n.yield}
	defer r.drop()
	var end error
	for end == nil {
		message, msgpack, err := r.next()
		if err == nil {
			err = l.take(message, msgpack)
		}
		end = l.judge(err)
	}
	l.n.mu.Lock()
	defer l.n.unlock()
	l.kill()
	return l.greeted
}

// take handles one message.
func (l *link) take(message []byte, msgpack bool) error {
	if !msgpack {
		return l.takeJSON(message, false)
	}
	if p, ok := msgpackPiece(message); ok {
		l.hear(true)
		return l.takePiece(p)
	}
	scratch := largeBuffers.Get().(*[largeBuffer]byte)
	defer largeBuffers.Put(scratch)
	text, rest, err := fromMsgpack(scratch[:0], message, maxDepth)
	if err != nil || len(rest) > 0 {
		return closing("parse_error")
	}
	if len(text) > l.n.opt.MessageBytes { // it has grown, as control characters do
		return closing("too_large")
	}
	return l.takeJSON(text, true)
}

func (l *link) takeJSON(message []byte, msgpack bool) error {
	f, err := readFrame(message)
	if err != nil {
		return err
	}
	l.hear(msgpack)
	if f.piece != "" && f.cmd == "" {
		return l.takePiece(f.readPiece())
	}
	return l.handle(f)
}

// hear remembers how and when the peer spoke.
func (l *link) hear(msgpack bool) {
	l.n.mu.Lock()
	l.heard, l.msgpack = l.n.now(), msgpack
	l.n.unlock()
}

// judge audits what was wrong with a message, and returns an error if the link
// is at its end.
func (l *link) judge(err error) error {
	if err == nil {
		return nil
	}
	l.n.mu.Lock()
	defer l.n.unlock()
	f, ours := errors.AsType[fault](err)
	switch {
	case l.dead:
		return err // its end has been told
	case errors.Is(err, io.EOF) && l.opener && !l.greeted:
		l.audit("refused", "", "the peer ended the link and did not say why: it may want TLS, or none")
	case errors.Is(err, io.EOF):
	case !ours:
		l.audit("link_broken", "", err.Error())
	case f.close:
		l.audit(f.reason, "", "the link is closed")
	default:
		l.complain(f.reason, f.service, "")
	}
	if ours && !f.close {
		return nil
	}
	return err
}

// complain tells what is wrong with a message of the peer.
func (l *link) complain(reason, service, detail string) {
	if detail, ok := l.complaints.allow(detail); ok {
		l.audit(reason, service, detail)
	}
}

// limit is the largest message the peer may send.
func (l *link) limit() int {
	l.n.mu.Lock()
	defer l.n.unlock()
	if !l.greeted {
		return min(maxStranger, l.n.opt.MessageBytes)
	}
	return l.n.opt.MessageBytes
}

func (l *link) half(begun bool) {
	l.n.mu.Lock()
	defer l.n.unlock()
	l.halfSince = time.Time{}
	if begun {
		l.halfSince = time.Now()
	}
}

// yield ends the link that has been in the middle of a message the longest, if
// that is long enough, as there are no buffers left.
func (n *Node) yield() bool {
	n.mu.Lock()
	defer n.unlock()
	var slowest *link
	for l := range n.links {
		if !l.halfSince.IsZero() && (slowest == nil || l.halfSince.Before(slowest.halfSince)) {
			slowest = l
		}
	}
	if slowest == nil || time.Since(slowest.halfSince) < strangerRight {
		return false
	}
	slowest.audit("out_of_buffers", "", "it does not end its message, and others need its buffer")
	slowest.kill()
	return true
}

// patience is until when the peer has to send more. It need not send anything,
// except if it uses to ping (rvi.md 3.7).
func (l *link) patience(partial bool) time.Time {
	l.n.mu.Lock()
	defer l.n.unlock()
	switch {
	case !l.greeted:
		return l.start.Add(strangerPatience)
	case partial:
		return time.Now().Add(framePatience)
	case l.pings:
		return time.Now().Add(3 * l.n.opt.PingInterval)
	}
	return time.Time{}
}

// kill ends the link: its services are gone, and what was not written waits for
// its return. mu is held.
func (l *link) kill() {
	if l.dead {
		return
	}
	n := l.n
	l.dead = true
	l.cancel()
	n.freed.Broadcast()
	delete(n.links, l)
	if !l.greeted {
		n.strangers--
	}
	if l.pinger != nil {
		l.pinger.Stop()
	}
	for id := range l.pieces {
		l.dropPiece(id)
	}
	if untold := l.complaints.untold; untold > 0 {
		l.audit("discarded", "", fmt.Sprintf("%d messages that were not told one by one", untold))
	}
	n.later(func() { _ = l.raw.Close() })
	l.forget(slices.Sorted(maps.Keys(l.names)))
	var unsent []*parcel
	for _, it := range l.out {
		if it.parcel != nil {
			unsent = append(unsent, it.parcel)
		}
	}
	n.queued -= l.outBytes
	l.out, l.outBytes = nil, 0
	n.reroute(unsent)
}

// forget takes back what the peer has announced.
func (l *link) forget(names []string) {
	var gone []string
	for _, name := range names {
		delete(l.names, name)
		if l.n.routes[name] == l {
			delete(l.n.routes, name)
			gone = append(gone, name)
		}
	}
	l.tell(gone, false)
}

// tell tells this side of the node what the peer's services did.
func (l *link) tell(names []string, available bool) {
	if len(names) == 0 || l.n.closed {
		return
	}
	if f := l.n.opt.Announced; f != nil {
		a := Announcement{Peer: l.peer, Services: names, Available: available}
		l.n.later(func() { f(a) })
	}
	l.n.tellEdge(available, names, nil)
}
