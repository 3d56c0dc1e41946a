package node

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// service is one of ours: a handler in this process, or an address at the edge.
type service struct {
	name    string // full
	handler Handler
	courier *courier
}

// Send hands a message in for a service, given its full name; params is any
// JSON value, and not to be changed any more. It returns at once: nil says that the message is on its way or
// waits for its service, not that it will arrive. What expires before that is
// told to Options.Audit.
//
// Errors: KindInvalid for a bad name, params or timeout, KindTooLarge,
// KindForbidden if our own credentials do not allow it (code unauthorized),
// KindTooMany if too much is waiting for that peer already (code queue_full),
// KindUnavailable if the node is closed.
func (n *Node) Send(ctx context.Context, service string, params json.RawMessage, timeout time.Duration) error {
	if err := checkJSON(params); err != nil {
		return ota.Invalid("the parameters of an RVI message are JSON: %v", err)
	}
	return n.sendWithin(ctx, &parcel{service: service, params: params}, timeout)
}

// SendFunc is Send of parameters that params appends to a buffer when the
// message is about to be written, so that what waits costs next to nothing: a
// window of chunks, say. It runs in the goroutine that writes to that peer: not
// at all if the message expires, more than once if the link breaks, and then
// maybe at the same time. Its error, and what is no JSON, is told to
// Options.Audit (not_made), and the message is discarded. If it appends nothing
// the message is not needed any more.
func (n *Node) SendFunc(ctx context.Context, service string, params func(buf []byte) ([]byte, error), timeout time.Duration) error {
	return n.sendWithin(ctx, &parcel{service: service, make: params}, timeout)
}

func (n *Node) sendWithin(ctx context.Context, p *parcel, timeout time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if timeout <= 0 || timeout > longestWait {
		return ota.Invalid("an RVI message waits up to 30 days, not %v", timeout)
	}
	p.expires = n.now().Add(timeout)
	_, err := n.send(p)
	return err
}

// send routes a message of a local service. It returns a number for it, -1 if
// the service is on this node.
func (n *Node) send(p *parcel) (int64, error) {
	name, err := checkName(p.service)
	if err != nil {
		return 0, err
	}
	if len(p.params)+len(name)+256 > n.opt.MessageBytes {
		return 0, ota.Fail(ota.KindTooLarge, "too_large", "an RVI message has at most %d bytes", n.opt.MessageBytes)
	}
	n.mu.Lock()
	defer n.unlock()
	switch {
	case n.closed:
		return 0, ota.Fail(ota.KindUnavailable, "closed", "the RVI node is closed")
	case !n.rights.MayInvoke(name, n.now()):
		n.grumble("unauthorized", "local", name, "our own credentials do not allow to invoke it")
		return 0, ota.Fail(ota.KindForbidden, "unauthorized", "our RVI credentials do not allow to invoke %s", name)
	}
	p.service = name
	n.number(p)
	if !p.expires.After(n.now()) {
		n.grumble("expired", "local", name, "it was expired when it was handed in")
	} else if !n.route(p) {
		n.grumble("queue_full", "local", name, "too much is waiting for that node")
		return 0, ota.Fail(ota.KindTooMany, "queue_full", "too many RVI messages are waiting for %s", nodeOf(name))
	}
	if n.local[name] != nil {
		return -1, nil
	}
	n.sent++
	return n.sent, nil
}

// number gives a parcel its place in the order, and cuts an expiry that is too
// far ahead.
func (n *Node) number(p *parcel) {
	n.sequence++
	p.seq, p.expires = n.sequence, bounded(p.expires, n.now())
}

// route puts a parcel into the queue of the local service or the link it is
// for, or lets it wait for one; false if that queue is full. A name of ours is
// never routed to a link, so that peers' messages are not passed on to peers.
func (n *Node) route(p *parcel) bool {
	if n.closed {
		return n.hold(p) // for Close to tell
	}
	if s := n.local[p.service]; s != nil {
		return s.courier.push(delivery{parcel: p})
	}
	if l := n.routes[p.service]; l != nil && l.peer.Rights.MayReceive(p.service, n.now()) {
		return l.pushParcel(p)
	}
	return n.hold(p)
}

// reroute routes what had a way already and lost it.
func (n *Node) reroute(parcels []*parcel) {
	for _, p := range parcels {
		if !n.route(p) {
			n.audit("queue_full", p.from.String(), p.service, "too much is waiting for that node")
		}
	}
}

// flush routes what waited for services that appeared.
func (n *Node) flush(names map[string]struct{}) {
	owners := map[string]bool{}
	for name := range names {
		owners[nodeOf(name)] = true
	}
	n.reroute(n.take(slices.Collect(maps.Keys(owners)), func(p *parcel) bool {
		_, ok := names[p.service]
		return ok
	}))
}

// Handle makes h a service of this node; service is its local name, such as
// /sota/start. It replaces whatever had the name, and returns the full one.
// Errors: KindInvalid, and KindForbidden if our own credentials do not allow it.
func (n *Node) Handle(service string, h Handler) (string, error) {
	name, err := n.fullName(service)
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	defer n.unlock()
	c := &courier{n: n, to: "local"}
	c.carry = func(ctx context.Context, d delivery) error { return h(ctx, d.parcel.message()) }
	return name, n.host(name, c, h)
}

// MayHost reports whether our own credentials allow a service, given its local name.
func (n *Node) MayHost(service string) bool {
	name, err := n.fullName(service)
	if err != nil {
		return false
	}
	n.mu.Lock()
	defer n.unlock()
	return n.rights.MayReceive(name, n.now())
}

func (p *parcel) message() Message {
	return Message{Service: p.service, Params: p.params, Expires: p.expires, Peer: p.from}
}

// mayHost checks that one more service may be registered at the edge: KindTooMany
// or KindForbidden.
func (n *Node) mayHost(name string) error {
	n.mu.Lock()
	defer n.unlock()
	if n.local[name] == nil && len(n.local) >= n.opt.Services {
		n.grumble("too_many_services", "edge", name, "")
		return ota.Fail(ota.KindTooMany, "too_many_services", "too many services are registered")
	}
	return n.entitled(name)
}

func (n *Node) entitled(name string) error {
	if n.rights.MayReceive(name, n.now()) {
		return nil
	}
	n.grumble("unauthorized", "local", name, "our own credentials do not allow to host it")
	return ota.Fail(ota.KindForbidden, "unauthorized", "our RVI credentials do not allow to host %s", name)
}

// host makes a service ours, and tells everybody.
func (n *Node) host(name string, c *courier, h Handler) error {
	if err := n.entitled(name); err != nil {
		return err
	}
	old := n.local[name]
	n.local[name] = &service{name: name, courier: c, handler: h}
	c.services++
	c.gone = false
	if len(n.hosted) < maxHosted {
		n.hosted[name] = true
	}
	if c.url != nil {
		n.couriers[c.to] = c
	}
	if old != nil {
		n.leave(old)
	} else {
		n.tellPeers(true, name)
		n.tellEdge(true, []string{name}, c)
	}
	n.reroute(n.take(nil, func(p *parcel) bool { return p.service == name }))
	return nil
}

// unhost ends a service of ours, and tells everybody. What it has not been
// given yet waits for its return.
func (n *Node) unhost(name string) {
	s := n.local[name]
	if s == nil {
		return
	}
	delete(n.local, name)
	n.tellPeers(false, name)
	n.tellEdge(false, []string{name}, s.courier)
	n.leave(s)
}

// leave takes a service from its courier, and what is in its hands with it.
func (n *Node) leave(s *service) {
	s.courier.services--
	if s.courier.services == 0 {
		s.courier.gone = true
		if n.couriers[s.courier.to] == s.courier {
			delete(n.couriers, s.courier.to)
		}
	}
	n.reroute(s.courier.takeBack(s.name))
}

// tellPeers announces one of our services to those who may invoke it.
func (n *Node) tellPeers(available bool, name string) {
	for l := range n.links {
		if l.entitled && l.peer.Rights.MayInvoke(name, n.now()) {
			l.pushControl(appendSa(nil, available, []string{name}))
		}
	}
}

// tellEdge tells every address but one about services, one at a time as the
// originals do (rvi.md 2.4).
func (n *Node) tellEdge(available bool, names []string, except *courier) {
	method := "services_unavailable"
	if available {
		method = "services_available"
	}
	told := map[*courier]bool{except: true}
	for _, s := range n.local {
		if s.handler != nil || told[s.courier] {
			continue
		}
		told[s.courier] = true
		for _, name := range names {
			if !s.courier.push(delivery{method: method, service: name}) {
				n.grumble("queue_full", "edge", name, "the service at "+s.courier.to+" does not hear of "+method)
			}
		}
	}
}

// services lists all full names that can be invoked here, sorted.
func (n *Node) services() []string {
	list := make([]string, 0, len(n.local)+len(n.routes))
	for name := range n.local {
		list = append(list, name)
	}
	for name := range n.routes {
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
