package node

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"
)

// handle does what a message of the data link says (rvi.md 3.4).
func (l *link) handle(f frame) error {
	switch f.cmd {
	case "au":
		return l.authorise(f)
	case "sa":
		return l.hearServices(f)
	case "rcv":
		return l.receive(f)
	case "ping":
		return l.hearPing()
	}
	return dropping("unknown_command")
}

func (l *link) hearPing() error {
	l.n.mu.Lock()
	defer l.n.unlock()
	l.pings = l.pings || l.greeted
	return nil // an answer would be answered by some, for ever (rvi.md 3.7)
}

// authorise takes the peer's credentials, in place of those it may have shown before.
func (l *link) authorise(f frame) error {
	creds, err := f.credentials()
	if err != nil {
		return err
	}
	rights, entitled := l.verify(creds)
	l.n.mu.Lock()
	defer l.n.unlock()
	if l.dead {
		return nil
	}
	if !l.greeted {
		l.greeted = true
		l.n.strangers--
		l.pinger = time.AfterFunc(l.n.opt.PingInterval, l.ping)
		if !l.opener {
			l.pushControl(l.n.au())
		}
	}
	if n, ok := integer(f.maxMessage); ok && n > 0 {
		l.largest = int(n)
	}
	if !entitled {
		l.pushControl(appendSa(nil, true, nil)) // it follows even if it is empty
		return nil
	}
	l.entitle(rights)
	return nil
}

// credentials checks the form of au. What it finds wrong ends the link.
func (f frame) credentials() ([]string, error) {
	if f.ver != nil {
		ver, ok := text(f.ver)
		if major, _, _ := strings.Cut(ver, "."); !ok || major != "1" {
			return nil, closing("version_unsupported")
		}
	}
	switch {
	case f.creds == nil && f.certs != nil:
		return nil, closing("legacy_dlink")
	case f.creds == nil:
		return nil, closing("missing_field:creds")
	}
	creds, ok := texts(f.creds)
	if !ok {
		return nil, closing("wrong_type:creds")
	}
	if len(creds) > maxCredentials {
		return nil, closing("bad_value:creds")
	}
	return creds, nil
}

// verify turns credentials into rights. One that does not hold is ignored; on a
// plain link all are, as nobody has proved to be their bearer.
func (l *link) verify(creds []string) (rights Rights, entitled bool) {
	n := l.n
	if l.leaf == nil {
		return n.opt.Plain("")
	}
	for _, jwt := range creds {
		g, err := VerifyCredential(jwt, n.identity.Load().Roots, l.leaf, n.now())
		if err == nil {
			rights = append(rights, g)
			continue
		}
		n.mu.Lock()
		l.complain(err.Error(), "", "a credential is ignored")
		n.unlock()
	}
	return rights, true
}

// entitle gives the peer its rights: it learns which of our services it may
// invoke, and loses names it may no longer host. An older link of the same peer
// ends; but who proves nothing does not get the place of who has: its own ends.
func (l *link) entitle(rights Rights) {
	n, now := l.n, l.n.now()
	prefix := rights.prefix(now)
	var older []*link
	for other := range n.links {
		if other == l || !other.entitled || !l.samePeer(prefix, other) {
			continue
		}
		if l.leaf == nil && other.leaf != nil {
			l.complain("unauthorized", "", "there is a link that has proved to be of "+prefix)
			l.kill()
			return
		}
		older = append(older, other)
	}
	l.peer.Rights, l.peer.Prefix, l.entitled = rights, prefix, true
	for _, other := range older {
		n.audit("replaced", other.peer.String(), "", "by a newer link from "+l.peer.Addr)
		other.kill()
	}
	l.forgetEnded(now)
	n.flush(l.names)
	var ours []string
	for name := range n.local {
		if rights.MayInvoke(name, now) {
			ours = append(ours, name)
		}
	}
	slices.Sort(ours)
	l.pushControl(appendSa(nil, true, ours))
}

// forgetEnded takes back the names that the peer may not host any more.
func (l *link) forgetEnded(now time.Time) {
	l.forget(slices.DeleteFunc(slices.Sorted(maps.Keys(l.names)), func(name string) bool {
		return l.peer.Rights.MayReceive(name, now)
	}))
}

// samePeer tells a peer by its prefix, in which the case of a UUID does not
// matter, or, if it has none, by its certificate.
func (l *link) samePeer(prefix string, other *link) bool {
	if prefix != "" {
		return prefix == other.peer.Prefix || strings.HasPrefix(prefix, devicePrefix) && strings.EqualFold(prefix, other.peer.Prefix)
	}
	return l.leaf != nil && l.peer.Fingerprint == other.peer.Fingerprint
}

// hearServices takes note of services that the peer announces or takes back.
func (l *link) hearServices(f frame) error {
	stat, ok := text(f.stat)
	if !ok {
		return missing("stat", f.stat)
	}
	if stat != "av" && stat != "un" {
		return dropping("bad_value:stat")
	}
	list, ok := texts(f.svcs)
	if !ok {
		return missing("svcs", f.svcs)
	}
	l.n.mu.Lock()
	defer l.n.unlock()
	switch {
	case l.dead:
		return nil
	case !l.greeted:
		return dropping("unauthorized")
	case stat == "av":
		err := l.announce(list)
		l.waitForEars()
		return err
	}
	for i, s := range list {
		if name, err := checkName(s); err == nil {
			list[i] = name
		}
	}
	l.forget(list)
	l.waitForEars()
	return nil
}

// waitForEars lets a peer wait whose news come faster than they are heard.
func (l *link) waitForEars() {
	for l.n.calling && len(l.n.deferred) > maxDeferred && !l.dead {
		l.n.freed.Wait()
	}
}

// announce routes the names that the peer may host and we may invoke to it. The
// others are dropped, and the last of them is told in the fault.
func (l *link) announce(list []string) error {
	var fresh []string
	all := map[string]struct{}{} // a list may hold a name many times
	var wrong fault
	for _, s := range list {
		name, reason := l.admit(s)
		if l.dead {
			return nil
		}
		if reason != "" {
			wrong = fault{reason: reason, service: s[:min(len(s), maxName)]}
			continue
		}
		all[name] = struct{}{}
		if l.n.routes[name] != l {
			fresh = append(fresh, name)
		}
		l.names[name] = struct{}{}
		l.n.routes[name] = l
	}
	l.tell(fresh, true)
	l.n.flush(all)
	if wrong.reason != "" {
		return wrong
	}
	return nil
}

// admit checks one name a peer announces, and says what is wrong with it.
func (l *link) admit(s string) (name, reason string) {
	name, err := checkName(s)
	if err != nil {
		return "", "bad_value:svcs"
	}
	if !l.entitled {
		rights, ok := l.n.opt.Plain(name)
		if !ok {
			return "", "unauthorized"
		}
		l.entitle(rights)
	}
	now := l.n.now()
	if l.dead || !l.peer.Rights.MayReceive(name, now) || !l.n.rights.MayInvoke(name, now) || l.n.owns(name) {
		return "", "unauthorized"
	}
	if l.names == nil {
		l.names = map[string]struct{}{}
	}
	if _, has := l.names[name]; !has && len(l.names) >= maxPeerNames {
		return "", "too_many_services"
	}
	return name, ""
}

// receive takes a message for one of our services.
func (l *link) receive(f frame) error {
	l.n.mu.Lock()
	greeted, ctx := l.entitled && (!l.dead || l.broken), l.ctx
	if l.broken {
		ctx = l.n.ctx
	}
	l.n.unlock()
	if !greeted {
		return dropping("unauthorized")
	}
	c, err := f.cargo(l.n.now())
	if err != nil {
		return err
	}
	if l.n.opt.ClockUnsure {
		c.expires = l.n.now().Add(unsureLife)
	}
	s, err := l.accept(f, c)
	if err != nil || s == nil {
		return err
	}
	m := Message{Service: c.service, Params: c.params, Expires: c.expires, Peer: l.sender()}
	if err := s.handler(ctx, m); err != nil {
		l.n.mu.Lock()
		l.complain("not_delivered", c.service, err.Error())
		l.n.unlock()
	}
	return nil
}

// sender is the peer as it is known now.
func (l *link) sender() Peer {
	p := l.peer
	p.Prefix = p.Rights.prefix(l.n.now())
	return p
}

// accept checks that the peer may invoke the service, and routes the message.
// If it returns a service, its handler is to be called here and now.
func (l *link) accept(f frame, c cargo) (*service, error) {
	n, now := l.n, l.n.now()
	n.mu.Lock()
	defer n.unlock()
	refuse := func(reason, detail string) (*service, error) {
		l.complain(reason, c.service, detail)
		return nil, nil
	}
	switch {
	case l.dead && !l.broken:
		return nil, dropping("unauthorized")
	case !l.peer.Rights.MayInvoke(c.service, now):
		return refuse("unauthorized", "the peer's credentials do not allow to invoke it")
	case !n.owns(c.service) || !n.rights.MayReceive(c.service, now):
		return refuse("unauthorized", "it is no service of this node")
	case !c.expires.After(now):
		return refuse("expired", "it came too late")
	case n.local[c.service] == nil && !n.hosted[c.service]:
		return refuse("unknown_service", "it was never registered here")
	}
	l.received++
	l.module, _ = text(f.mod)
	if s := n.local[c.service]; s != nil && s.handler != nil && s.courier.idle() {
		return s, nil
	}
	p := &parcel{service: c.service, params: c.params, expires: c.expires, from: l.sender()}
	n.number(p)
	if !n.route(p) && !l.waitForRoom(p) {
		return refuse("queue_full", "too much is waiting for the service")
	}
	p.params = bytes.Clone(c.params) // only now, as many links may have waited
	return nil, nil
}

// waitForRoom routes a parcel once the local service has taken others: while
// its peer has to wait, nothing is lost. False if that takes too long.
func (l *link) waitForRoom(p *parcel) bool {
	n, late := l.n, p.size() > l.n.opt.QueueBytes
	timer := time.AfterFunc(roomPatience, func() {
		n.mu.Lock()
		late = true
		n.freed.Broadcast()
		n.unlock()
	})
	defer timer.Stop()
	for !late && !l.dead && n.local[p.service] != nil {
		n.freed.Wait()
		if n.route(p) {
			return true
		}
	}
	return false
}

// ping keeps the link alive, and looks after rights that have ended.
func (l *link) ping() {
	l.n.mu.Lock()
	defer l.n.unlock()
	if l.dead {
		return
	}
	l.forgetEnded(l.n.now())
	l.pushControl([]byte(ping))
	l.pinger.Reset(l.n.opt.PingInterval)
}
