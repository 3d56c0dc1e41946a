package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// A connection that breaks is tried again after these delays, which start
// anew whenever bytes arrived. After policy.download_tries in a row without one
// the download ends: for good if the server answers but does not give the
// bytes, for a while if it is away.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// errChanged: the server's content is not what it offered.
var errChanged = errors.New("the server has other content than it offered")

// fetchAll fills the part file and checks it. It changes e to what the server
// tells of size and digest, if its offer did not. It fails with a *failure, or
// with an error that leaves the update as it is.
func (a *Agent) fetchAll(ctx context.Context, e *Entry, p *part) error {
	if e.Size >= 0 && p.size > e.Size {
		if err := p.rewind(0); err != nil {
			return localFailure(err)
		}
	}
	wait, stalls, asked := newDelays(firstRetry, lastRetry), 0, false
	for {
		before := p.size
		err := a.fetchSome(ctx, e, p)
		if err == nil {
			if err = a.judge(e, p); err != errTornPart {
				return err
			}
			a.log.Warn("what was on disk of a download is damaged: it starts anew", "update", e.Update)
			if err := p.rewind(0); err != nil {
				return localFailure(err)
			}
			continue
		}
		if errors.Is(err, errChanged) && !asked {
			asked = true
			if err := a.askAgain(ctx, e, p); err != nil {
				return err
			}
			continue
		}
		if localFailure(err).code == ota.DiskFull && a.dropOldest() {
			continue
		}
		if final := ended(ctx, err); final != nil {
			return final
		}
		if p.size > before {
			wait.reset()
			stalls = 0
		} else if stalls++; stalls >= int(a.cfg.Policy.DownloadTries) {
			return exhausted(err, stalls)
		}
		d := wait.next()
		a.log.Info("download interrupted", "update", e.Update, "bytes", p.size, "again_in", d, "err", err)
		a.allow(d)
		if !pause(ctx, d) {
			return ctx.Err()
		}
	}
}

// ended returns the error that ends a download at once, or nil if err may
// pass: a broken connection, or a server that is away or overloaded.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*failure](err); ok || errors.Is(err, errMetered) {
		return err
	}
	switch ota.KindOf(err) {
	case ota.KindUnauthenticated, ota.KindForbidden, ota.KindLocked:
		return err
	case ota.KindCorrupt:
		return &failure{ota.ValidationFailed, err}
	case ota.KindNoSpace:
		return &failure{ota.DiskFull, err}
	case ota.KindUnreachable, ota.KindUnavailable, ota.KindTooMany, ota.KindInternal:
		if errors.Is(err, errChanged) {
			return &failure{ota.ValidationFailed, err}
		}
		return nil
	}
	return &failure{ota.GeneralError, fmt.Errorf("%s: %w", httpError, err)}
}

// exhausted is the verdict after so many tries.
func exhausted(err error, tries int) error {
	switch ota.KindOf(err) {
	case ota.KindUnreachable, ota.KindUnavailable, ota.KindTooMany:
		return err
	}
	return &failure{ota.GeneralError, fmt.Errorf("%s: no byte arrived in %d tries: %w", httpError, tries, err)}
}

// fetchSome appends what one connection gives. It returns nil when the part
// file has its full length.
func (a *Agent) fetchSome(ctx context.Context, e *Entry, p *part) error {
	if p.size > 0 && p.size == e.Size {
		return nil // there is nothing after the end to ask for
	}
	if err := a.makeRoom(*e, p.size); err != nil {
		return err
	}
	if err := a.mayDownload(ctx); err != nil {
		return err
	}
	a.allow(callLimit)
	c, err := a.link.Fetch(ctx, ota.FetchRequest{Update: e.Update, From: p.size, Digest: e.Digest})
	if err != nil {
		return err
	}
	defer c.Body.Close()
	if err := a.agree(e, p, c); err != nil {
		return err
	}
	if err := a.makeRoom(*e, p.size); err != nil {
		return err // the size may be news
	}
	p.most = a.mostFor(*e, p.size)
	var body io.Reader = metered{c.Body, func() error { return a.mayDownload(ctx) }}
	if e.Size >= 0 {
		body = io.LimitReader(body, e.Size-p.size)
	}
	if err := p.fill(body, func() { a.allow(readLimit) }); err != nil {
		return err
	}
	switch {
	case e.Size < 0:
		e.Size = p.size
	case p.size < e.Size:
		return fmt.Errorf("after %d of %d bytes: %w", p.size, e.Size, io.ErrUnexpectedEOF)
	}
	return nil
}

// agree compares the content with what is expected and on disk.
func (a *Agent) agree(e *Entry, p *part, c *ota.Content) error {
	if e.Size >= 0 && c.Size >= 0 && c.Size != e.Size || e.Digest != "" && c.Digest != "" && c.Digest != e.Digest {
		return errChanged
	}
	other := c.Signature != "" && c.Signature != e.Signature
	if e.Size < 0 && c.Size >= 0 || e.Digest == "" && c.Digest != "" || other {
		// An offer that told less: write down what a resumed download must fit.
		if e.Size < 0 {
			e.Size = c.Size
		}
		if e.Digest == "" {
			e.Digest = c.Digest
		}
		if other {
			e.Signature = c.Signature
		}
		if err := a.record(*e); err != nil {
			return err
		}
	}
	switch {
	case c.From > p.size:
		return fmt.Errorf("the server answered from byte %d where %d was asked for", c.From, p.size)
	case c.From < p.size:
		if err := p.rewind(c.From); err != nil {
			return localFailure(err)
		}
	}
	return nil
}

// askAgain renews a stale offer. It fails if the server still offers what it
// does not have.
func (a *Agent) askAgain(ctx context.Context, e *Entry, p *part) error {
	a.allow(callLimit)
	offers, err := a.link.Pending(ctx)
	if err != nil {
		return err
	}
	for _, o := range offers {
		if main := o.Main(); o.Update == e.Update && main.SHA256 != "" && main.SHA256 != e.Digest {
			e.Package, e.Size, e.Digest, e.Signature = o.Package, main.Size, main.SHA256, main.Signature
			if err := p.rewind(0); err != nil {
				return localFailure(err)
			}
			if e.Confirm {
				return a.askUser(*e)
			}
			return a.record(*e)
		}
	}
	return &failure{ota.ValidationFailed, errChanged}
}

// errOther: someone agreed to other content than there is now.
var errOther = errors.New("its user has agreed to other content and is asked again")

// askUser goes back to before a user's consent.
func (a *Agent) askUser(e Entry) error {
	e.Step = Known
	if err := a.record(e); err != nil {
		return err
	}
	delete(a.asked, e.Update)
	a.queue.own(resumeDownloads{})
	return errOther
}

// errTornPart: a part file from an earlier run spoils the whole.
var errTornPart = errors.New("the part file was damaged")

// judge decides whether a part file of full length is the image.
func (a *Agent) judge(e *Entry, p *part) error {
	got := p.digest()
	if e.Digest == "" {
		e.Digest = got // a server that tells no digest is believed
	}
	switch {
	case got == e.Digest:
	case p.inherited:
		return errTornPart
	default:
		return &failure{ota.ValidationFailed, fmt.Errorf("the image has SHA-256 %s where %s was expected", got, e.Digest)}
	}
	if err := a.trust.check(*e); err != nil {
		return &failure{ota.ValidationFailed, err}
	}
	return nil
}
