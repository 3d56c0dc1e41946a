package node

import (
	"log/slog"
	"time"
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

// fault is what is wrong with a peer's message: the reason, and whether the link
// cannot go on.
type fault struct {
	reason string
	close  bool
}

func (f fault) Error() string { return f.reason }

func closing(reason string) error  { return fault{reason, true} }
func dropping(reason string) error { return fault{reason, false} }
