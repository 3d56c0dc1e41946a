package node

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Event says what the node discarded or refused, and why.
type Event struct {
	At      time.Time
	Reason  string // the slug of rvi.md 7 if it has one, such as unauthorized or expired
	Peer    string // prefix or address of the peer; "edge" or "local" for this side of the node
	Service string // full name; "" if the matter is none of a service
	Detail  string // for humans
}

// toLog is what becomes of events when nobody asked for them.
func toLog(e Event) {
	slog.Warn("rvi: discarded", "reason", e.Reason, "peer", e.Peer, "service", e.Service, "detail", e.Detail)
}

// audit tells an event once n.mu, which the caller holds, is free.
func (n *Node) audit(reason, peer, service, detail string) {
	e := Event{At: n.now(), Reason: reason, Peer: peer, Service: service, Detail: detail}
	n.later(func() { n.opt.Audit(e) })
}

// grumble is audit for what anybody can provoke who reaches a door, as often as
// he likes. n.mu is held.
func (n *Node) grumble(reason, peer, service, detail string) {
	if detail, ok := n.doors.allow(detail); ok {
		n.audit(reason, peer, service, detail)
	}
}

// audit tells an event that the peer is to blame for.
func (l *link) audit(reason, service, detail string) {
	if l.leaf == nil || !l.greeted {
		l.n.grumble(reason, l.peer.String(), service, detail)
		return
	}
	l.n.audit(reason, l.peer.String(), service, detail)
}

// brevity lets a number of events be told at once, and then so many a second.
// The others are counted, as they would fill the log.
type brevity struct {
	limit  *rate.Limiter
	untold int
}

func (b *brevity) allow(detail string) (string, bool) {
	if !b.limit.AllowN(time.Now(), 1) {
		b.untold++
		return "", false
	}
	if b.untold > 0 {
		detail = strings.TrimSpace(fmt.Sprintf("%s (and %d others before it)", detail, b.untold))
		b.untold = 0
	}
	return detail, true
}

// fault is what is wrong with a peer's message: the reason, whether the link
// cannot go on, and the service if the matter is one of its names.
type fault struct {
	reason  string
	close   bool
	service string
}

func (f fault) Error() string { return f.reason }

func closing(reason string) error  { return fault{reason: reason, close: true} }
func dropping(reason string) error { return fault{reason: reason} }
