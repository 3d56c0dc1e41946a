package agent

import (
	"context"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// authenticate obtains a token (state U → A). Credentials that came with the
// command are kept for this run if they are good, and never written down.
func (a *Agent) authenticate(ctx context.Context, c Authenticate) {
	if a.auth == nil || a.token {
		a.emit(ctx, AlreadyAuthenticated{})
		return
	}
	use := c.Credentials
	if use == nil {
		use = a.given
	}
	if use == nil {
		use = a.configured()
	}
	a.allow(callLimit)
	if err := a.auth.Authenticate(ctx, use.ClientID, use.ClientSecret); err != nil {
		if k := ota.KindOf(err); k == ota.KindUnauthenticated || k == ota.KindForbidden { // the event does not say why
			a.log.Warn("authentication failed", "client", use.ClientID, "err", err)
		}
		a.fail(ctx, httpError, err)
		return
	}
	a.token = true
	if c.Credentials != nil {
		a.given = c.Credentials
	}
	a.emit(ctx, Authenticated{})
}

func (a *Agent) configured() *Credentials {
	if a.cfg.Auth == nil {
		return &Credentials{}
	}
	return &Credentials{ClientID: a.cfg.Auth.ClientID, ClientSecret: a.cfg.Auth.ClientSecret}
}

// getUpdates asks what there is to do and writes it down before telling.
func (a *Agent) getUpdates(ctx context.Context) {
	a.allow(callLimit)
	offers, err := a.link.Pending(ctx)
	if err != nil {
		a.fail(ctx, httpError, err)
		return
	}
	if err := a.learn(offers); err != nil {
		a.emit(ctx, Error{ioError + ": " + err.Error()})
		return
	}
	for _, o := range offers {
		if e, _ := a.state.entry(o.Update); e.Confirm && e.Step == Known && !a.asked[o.Update] {
			a.asked[o.Update] = true
			a.emit(ctx, UpdateAvailable{available(o)})
		}
	}
	if len(offers) == 0 {
		a.emit(ctx, NoUpdateRequests{})
		return
	}
	a.emit(ctx, UpdatesReceived{offers})
}

// unasked lists the updates that wait for a consent nobody was asked for since
// the start.
func (a *Agent) unasked() []ota.UpdateID {
	return slices.DeleteFunc(a.state.undecided(), func(id ota.UpdateID) bool { return a.asked[id] })
}

// learn writes offers into the journal, and drops what is no longer offered:
// the list is the whole truth.
func (a *Agent) learn(offers []ota.Offer) error {
	offered := make(map[ota.UpdateID]bool, len(offers))
	for i, o := range offers {
		offered[o.Update], o.Pos = true, i // servers may give one place to several
		was, _ := a.state.entry(o.Update)
		if err := a.state.offered(o); err != nil {
			return err
		}
		if now, _ := a.state.entry(o.Update); now.Digest != was.Digest {
			delete(a.asked, o.Update) // consent was asked for other content
		}
	}
	for _, step := range []Step{Known, Downloading} {
		for _, id := range a.state.at(step) {
			if offered[id] {
				continue
			}
			if err := a.drop(id); err != nil {
				return err
			}
		}
	}
	return nil
}

func available(o ota.Offer) Available {
	main := o.Main()
	return Available{
		Update: o.Update, Signature: main.Signature, Description: o.Description,
		RequestConfirmation: o.Confirm, Size: uint64(max(main.Size, 0)),
	}
}
