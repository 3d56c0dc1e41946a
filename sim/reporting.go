package sim

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/suit"
)

// The states that are reported, those of LwM2M's firmware object (10.4).
const (
	idle = iota
	downloading
	downloaded
	updating
)

// status is what a device reports.
type status struct {
	State    uint8  `cbor:"1,keyasint"`
	Code     *uint8 `cbor:"2,keyasint,omitempty"` // seed 002
	Sequence uint64 `cbor:"3,keyasint,omitempty"` // of the manifest
	Text     string `cbor:"4,keyasint,omitempty"`
}

// maxText is how much a device tells of what went wrong, in bytes.
const maxText = 500

// progressPatience is how long an update waits until the server knows how far
// it is.
const progressPatience = 15 * time.Second

// progress tells the server where an update is. It does not matter if that
// gets lost.
func (d *Device) progress(ctx context.Context, state uint8, sequence uint64) {
	if d.Server == "" || d.path() == "" {
		return
	}
	soon, cancel := context.WithTimeout(ctx, progressPatience)
	defer cancel()
	if err := d.post(soon, status{State: state, Sequence: sequence}); err != nil && ctx.Err() == nil {
		d.trouble("report progress", err)
	}
}

// reportAll reports outcomes, each until the server has taken it.
func (d *Device) reportAll(ctx context.Context) {
	for d.until(ctx, "report", d.reportLast) {
		select {
		case <-ctx.Done():
			return
		case <-d.outbox:
		}
	}
}

// reportLast reports the last outcome, if the server does not have it. What it
// refuses is not said again.
func (d *Device) reportLast(ctx context.Context) error {
	o := d.flash.now().Outcome
	if o == nil || o.Reported {
		return nil
	}
	var what any = cbor.RawMessage(o.Report)
	if o.Report == nil {
		code := uint8(o.Code)
		text := strings.ToValidUTF8(o.Text[:min(len(o.Text), maxText)], "")
		what = status{State: idle, Code: &code, Sequence: o.Sequence, Text: text}
	}
	err := d.post(ctx, what)
	if r, answered := errors.AsType[*coap.ResponseError](err); answered && r.Code.Class() == 4 {
		d.trouble("the server does not take the report", err)
		err = nil
	} else if err == nil {
		d.tell(Event{Kind: Reported})
	}
	if err != nil {
		return err
	}
	d.link.settled()
	err = d.flash.change(func(f *facts) {
		if f.Outcome == o { // not another one by now
			done := *o
			done.Reported = true
			f.Outcome = &done
		}
	})
	select {
	case d.flash.delivered <- struct{}{}:
	default:
	}
	return err
}

func (d *Device) post(ctx context.Context, what any) error {
	body, err := cbor.Marshal(what)
	if err != nil {
		return err
	}
	return d.link.use(ctx, func(c *coap.Client) error {
		m, err := c.Post(ctx, "/r/"+d.path(), coap.CBOR, body)
		if err == nil {
			err = m.Err()
		}
		return err
	})
}

// suitReport is a report as the manifest processor wrote it, if such are to be
// sent.
func (d *Device) suitReport(r suit.Report) []byte {
	if !d.SUITReports {
		return nil
	}
	if d.Signer == nil {
		return r.Encode()
	}
	signed, err := suit.SignReport(r, *d.Signer)
	if err != nil {
		return nil // it could not be signed: the plain report does
	}
	return signed
}
