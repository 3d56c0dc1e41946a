package rvi

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

var _ ota.Uplink = (*Client)(nil)

// How long calls wait.
const (
	linkPatience  = 10 * time.Second // for the link to come up, after the start
	startPatience = 75 * time.Second // for the backend's start: longer than until it is asked again
	quietBackend  = time.Minute      // after which it is asked to go on
)

// Pending lists what was offered and has not been reported; nobody is asked.
func (c *Client) Pending(context.Context) ([]ota.Offer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]ota.Offer, len(c.memory.Offers))
	for i, o := range c.memory.Offers {
		list[i] = c.offer(o, i)
	}
	return list, nil
}

func (c *Client) offer(o told, pos int) ota.Offer {
	main := ota.Artifact{Name: ota.DefaultArtifact, Sums: ota.Sums{Size: o.Size, SHA256: o.SHA256}, Signature: o.Signature}
	return ota.Offer{Update: o.Unit.ID(), Package: o.Package, Status: ota.Pending, Pos: pos, Description: o.Description,
		Confirm: o.Confirm, CreatedAt: o.At, UpdatedAt: o.At, Artifacts: []ota.Artifact{main}}
}

// unit finds what an id stands for. mu is held.
func (c *Client) unit(id ota.UpdateID) (Unit, bool) {
	for _, o := range c.memory.Offers {
		if o.Unit.ID() == id {
			return o.Unit, true
		}
	}
	for u := range c.files {
		if u.ID() == id {
			return u, true
		}
	}
	for _, r := range c.memory.Reports {
		if r.Unit.ID() == id {
			return r.Unit, true
		}
	}
	return Unit{}, false
}

// unitOf reads an id that nobody told us of: of an update if it is a UUID,
// else of a package, unless it was too long to say so.
func unitOf(id ota.UpdateID) (Unit, bool) {
	if u, err := ota.ParseUpdateID(string(id)); err == nil {
		return Unit{Update: u}, true
	}
	i := strings.LastIndexByte(string(id), '-')
	if i < 0 {
		return Unit{}, false
	}
	name, err1 := url.PathUnescape(string(id[:i]))
	version, err2 := url.PathUnescape(string(id[i+1:]))
	u := Unit{Package: ota.PackageID{Name: name, Version: version}}
	return u, err1 == nil && err2 == nil && checkPackage(u.Package) == nil && u.ID() == id
}

// known is unit for a call that needs one. mu is held.
func (c *Client) known(id ota.UpdateID) (Unit, error) {
	u, ok := c.unit(id)
	if c.memory.offer(u) == nil && c.aborted[id] {
		return u, errAborted
	}
	if !ok || c.memory.offer(u) == nil && c.files[u] == nil {
		return u, ota.MissingUpdate(id)
	}
	return u, nil
}

// Fetch tells the backend that an update is wanted, and gives its file as it
// comes. Beside what Uplink says it fails with KindLocked if the backend is
// there and does not send it: it is to be waited for until it is offered again.
// The content ends with KindCorrupt and MismatchText if the file is not what
// the backend said; nothing of it is kept then.
func (c *Client) Fetch(ctx context.Context, q ota.FetchRequest) (*ota.Content, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, err := c.known(q.Update)
	if err != nil {
		return nil, err
	}
	if q.Artifact != "" && q.Artifact != ota.DefaultArtifact {
		return nil, ota.Fail(ota.KindNotFound, "missing_entity", "update %s has one file only", q.Update)
	}
	if in := c.files[u]; in != nil && (in.onDisk() || !q.Peek) {
		if in.onDisk() {
			if !q.Peek && !in.whole && c.opt.Now().Sub(in.heard) >= quietBackend {
				c.want(u)
			}
			return c.content(ctx, u, in, q)
		}
		c.drop(u, nil) // its image is lost: it is to come again
		c.save()
	}
	if q.Peek {
		o := c.memory.offer(u)
		return &ota.Content{Body: empty{}, Size: -1, Digest: o.SHA256, Signature: o.Signature}, nil
	}
	if err := c.begun(ctx, u); err != nil {
		return nil, err
	}
	return c.content(ctx, u, c.files[u], q)
}

// begun asks for a unit and waits for its start. mu is held.
func (c *Client) begun(ctx context.Context, u Unit) error {
	if err := c.reach(ctx, func() string { return c.services().Start }); err != nil {
		return err
	}
	if err := c.failed[u]; err != nil {
		delete(c.failed, u)
		return err
	}
	c.want(u)
	var end error
	err := c.await(ctx, startPatience, func() bool {
		_, asked := c.device.asked[u]
		switch {
		case c.files[u] != nil:
		case c.failed[u] != nil:
			end = c.failed[u]
			delete(c.failed, u)
		case c.aborted[u.ID()]:
			end = errAborted
		case !asked:
			end = notSent(u)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	return end
}

func notSent(u Unit) error {
	return ota.Fail(ota.KindLocked, "not_sent", "the update server does not send %s, and will offer it anew", u)
}

// want has BackendStart sent, and repeated until there is a start. mu is held.
func (c *Client) want(u Unit) {
	if _, asked := c.device.asked[u]; asked {
		return
	}
	c.device.Ask(u, c.opt.Now())
	c.tasks = append(c.tasks, task{run: func(ctx context.Context) { c.ask(ctx, u) }})
	c.note()
}

// reach waits for a service of the backend right after the start, and else
// fails with KindUnreachable if it is not there. At the edge nobody knows. mu
// is held.
func (c *Client) reach(ctx context.Context, name func() string) error {
	there := func() bool { return c.edge || c.there[name()] }
	if there() {
		return nil
	}
	if wait := linkPatience - c.opt.Now().Sub(c.born); wait > 0 {
		return c.await(ctx, wait, there)
	}
	return unreachable("the update server is not linked")
}

// content begins at the byte that was asked for if the first part is of the
// same file. mu is held.
func (c *Client) content(ctx context.Context, u Unit, in *incoming, q ota.FetchRequest) (*ota.Content, error) {
	if in.start.Chunks == 0 && !q.Peek { // who reads nothing does not wait for the end of it
		if err := c.await(ctx, startPatience, func() bool { return in.whole || in.ended != nil }); err != nil {
			return nil, err
		}
		if in.ended != nil {
			return nil, in.ended
		}
	}
	from := q.From
	if in.start.SHA256 == "" || q.Digest != in.start.SHA256 || in.size < from {
		from = 0
	}
	signature := in.start.Signature
	if o := c.memory.offer(u); signature == "" && o != nil {
		signature = o.Signature
	}
	content := &ota.Content{Body: empty{}, From: from, Size: in.size, Digest: in.start.SHA256, Signature: signature}
	if !q.Peek {
		in.readers++
		content.Body = &body{client: c, ctx: ctx, in: in, at: from}
	}
	return content, nil
}

// Release says that an update's image is where it is to be, durably.
func (c *Client) Release(id ota.UpdateID) {
	c.mu.Lock()
	if u, ok := c.unit(id); ok {
		c.release(u)
	}
	c.mu.Unlock()
	c.opt.Fault("image released")
}

// Report keeps a report, and sends it. It fails with KindUnreachable while the
// backend is not there; when it is back it gets the report in any case. In 2015
// nothing is said of an update that a user declined (rvi.md 4.12, A12).
func (c *Client) Report(ctx context.Context, r ota.Report) error {
	c.mu.Lock()
	u, ok := c.unit(r.Update)
	if !ok {
		u, ok = unitOf(r.Update)
	}
	if !ok {
		c.mu.Unlock()
		return ota.MissingUpdate(r.Update)
	}
	silent := c.silent(u, r)
	if err := c.keep(u, r, silent); err != nil || silent {
		c.mu.Unlock()
		return err
	}
	c.mu.Unlock()
	c.opt.Fault("report kept")
	m := Report{From: c.as(u), Unit: u, Results: r.Results}
	if err := c.send(ctx, m, func() string { return c.services().Report }); err != nil {
		return err
	}
	c.opt.Fault("report sent")
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.memory.report(u); r != nil && !r.Sent {
		r.Sent = true
		c.save() // if this fails it is sent once more
	}
	return nil
}

// silent reports whether the backend is not told. mu is held.
func (c *Client) silent(u Unit, r ota.Report) bool {
	return u.Update == "" && c.files[u] == nil && !slices.ContainsFunc(r.Results, func(o ota.OperationResult) bool { return o.Code != ota.UserDeclined })
}

// keep remembers how an update ended, and forgets the rest of it. mu is held.
func (c *Client) keep(u Unit, r ota.Report, silent bool) error {
	c.memory.forget(u)
	if !silent {
		c.memory.say(said{Unit: u, Results: short(r.Results), At: c.opt.Now()})
	}
	if f, ok := c.device.files[u]; ok && (f.stage == Installing || f.stage == Reported) {
		c.device.Reported(u, c.opt.Now())
		c.release(u)
	} else {
		c.drop(u, errReported)
	}
	c.note()
	return c.save()
}

var errReported = ota.Fail(ota.KindUnavailable, "reported", "the update was reported to have ended")

// send sends a message if the backend is there to take it.
func (c *Client) send(ctx context.Context, m BackendMessage, name func() string) error {
	c.mu.Lock()
	err := c.reach(ctx, name)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	err = c.say(ctx, m)
	if ota.KindOf(err) == ota.KindForbidden {
		// It is this node that may not: nobody asks for a proof.
		return &ota.Error{Kind: ota.KindUnavailable, Code: "not_entitled", Text: "our credentials do not allow it", Err: err}
	}
	return err
}

// Installed sends the list in the dialect of the last notify.
func (c *Client) Installed(ctx context.Context, inv ota.Inventory) error {
	c.mu.Lock()
	own := c.own()
	form := c.memory.Family
	c.mu.Unlock()
	m := Packages{From: own, Form: Dialect2016, Firmware: inv.Firmware}
	switch {
	case form == Dialect2015 || form == Unknown && own.VIN != "":
		m.From, m.Form = c.as(Unit{}), Dialect2015
	case own.VIN != "":
		m.Form = Dialect2016a
	}
	for _, p := range inv.Packages {
		m.Packages = append(m.Packages, InstalledPackage{PackageID: p.PackageID, Label: p.Name + "-" + p.Version, LastModified: -1})
	}
	return c.send(ctx, m, func() string { return c.services().Packages })
}

// SystemInfo does nothing: RVI has no such message.
func (c *Client) SystemInfo(context.Context, json.RawMessage) error { return nil }

// Next tells what was notified, taken back and asked for.
func (c *Client) Next(ctx context.Context) (ota.Notice, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.notices) == 0 {
		if err := c.await(ctx, forEver, func() bool { return len(c.notices) > 0 }); err != nil {
			return nil, err
		}
	}
	n := c.notices[0]
	c.notices = c.notices[1:]
	return n, nil
}
