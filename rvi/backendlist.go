package rvi

import (
	"context"
	"encoding/json"

	"github.com/updraft-ota/updraft/ota"
)

// listProtocol keeps that the list of what a vehicle has installed is wanted,
// until one comes: the vehicle may be away, or the message be lost. It is apart
// from the vehicle's contact, as it is wanted of those who never spoke too.
const listProtocol = "rvi.list"

// listContact is what is kept.
type listContact struct {
	Wanted bool `json:"wanted"`
}

// listWanted reads whether a list is wanted.
func listWanted(ctx context.Context, p ota.Push) (bool, error) {
	var c listContact
	kept, err := p.Contact(ctx, listProtocol)
	if err == nil {
		err = json.Unmarshal(kept, &c)
	}
	if ota.KindOf(err) == ota.KindNotFound && !gone(err) {
		err = nil
	}
	return c.Wanted, err
}

// wantList keeps that a list is wanted, or that it has come.
func wantList(ctx context.Context, p ota.Push, wanted bool) error {
	is, err := listWanted(ctx, p)
	if err != nil || is == wanted {
		return err
	}
	state, err := json.Marshal(listContact{wanted})
	if err != nil {
		return err
	}
	return p.PutContact(ctx, listProtocol, state)
}

// owedList asks a vehicle that has come for the list that was wanted meanwhile.
func (t *talk) owedList(ctx context.Context) {
	wanted, err := listWanted(ctx, t.push)
	if err != nil {
		t.failed("whether its list is wanted cannot be read", err)
		return
	}
	if wanted {
		t.askForList(ctx)
	}
}

// listed takes the list of what is installed.
func (t *talk) listed(ctx context.Context, list ota.Inventory) error {
	if err := t.push.Installed(ctx, list); err != nil {
		return err
	}
	return wantList(ctx, t.push, false)
}

// askForList asks for what the vehicle has installed.
func (t *talk) askForList(ctx context.Context) {
	form := FormFor(t.dialect(), ServiceGetPackages, t.b.opt.Compatible)
	t.say(ctx, ServiceGetPackages, GetPackages{form}.AppendParams(nil))
}
