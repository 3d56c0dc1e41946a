package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// riotManifest is how much room RIOT has for a manifest, in bytes (6.4).
const riotManifest = 640

// update carries an order out, up to the reboot that makes it true. It fails
// only if the device itself is broken.
func (d *Device) update(ctx context.Context, o order) (reboot bool, err error) {
	d.tell(Event{Kind: Told, URL: o.url})
	file, err := d.fetchManifest(ctx, o)
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		return false, d.conclude(outcome{Code: codeOf(err), Text: err.Error()})
	}
	sum := sha256.Sum256(file)
	digest, now := hex.EncodeToString(sum[:]), d.flash.now()
	if digest == now.Digest {
		if last := now.Outcome; last != nil && last.Code.Success() && !last.Reported && d.Server != "" {
			d.settled = true // told again before the server could hear of it
			return false, nil
		}
		return false, d.conclude(outcome{Code: ota.AlreadyProcessed, Sequence: *now.Sequence, Text: "it runs already"})
	}
	d.progress(ctx, downloading, 0)
	b := &board{Device: d, slot: 1 - now.Active}
	p := suit.Processor{Device: b, Dialect: d.Dialect, Trusted: d.Trusted, Installed: now.Sequence}
	m, report, err := p.Install(ctx, file)
	if ctx.Err() != nil {
		return false, nil // switched off; whoever told the device will do so again
	}
	if err == nil {
		err = wrong(ota.FlashFailed, b.bootable(m))
	}
	if err != nil {
		return false, d.conclude(d.refusal(m, report, err))
	}
	d.progress(ctx, downloaded, m.Sequence)
	t := &trial{Slot: now.Active, Sequence: m.Sequence, Digest: digest}
	installed := Event{Kind: Installed, Sequence: &t.Sequence, Digest: digest}
	if writesFirmware(m) {
		t.Slot = b.slot
		installed.Slot = &t.Slot
	}
	if err := d.flash.put(manifestFile(digest), file); err != nil {
		return false, err
	}
	if err := d.flash.change(func(f *facts) { f.Trial = t }); err != nil {
		return false, err
	}
	d.tell(installed)
	d.progress(ctx, updating, m.Sequence)
	d.tell(Event{Kind: Rebooting, Slot: &t.Slot})
	return true, nil
}

// fetchManifest gets a manifest into memory, and compares it with what was
// announced.
func (d *Device) fetchManifest(ctx context.Context, o order) ([]byte, error) {
	room := int64(suit.MaxEnvelope)
	if d.Dialect == suit.RIOT {
		room = riotManifest
	}
	var file memory
	n, err := d.network().fetch(ctx, o.url, &file, room)
	if err != nil {
		return nil, fmt.Errorf("fetch the manifest: %w", err)
	}
	d.tell(Event{Kind: Fetched, URL: o.url, Size: n})
	if sum := sha256.Sum256(file); o.digest != nil && !bytes.Equal(o.digest, sum[:]) {
		return nil, wrong(ota.ValidationFailed, fmt.Errorf("it is not the manifest that was announced: digest %x, not %x", sum, o.digest))
	}
	return file, nil
}

// start is what a boot loader and then the firmware do: they try what was
// installed, keep it if the manifest says it is good, and go back if not.
func (d *Device) start(ctx context.Context) error {
	now := d.flash.now()
	if t := now.Trial; t != nil {
		b := &board{Device: d, slot: t.Slot}
		if err := d.try(ctx, b, t); err != nil {
			return err
		}
		now = d.flash.now()
	}
	d.tell(Event{Kind: Started, Slot: &now.Active, Sequence: now.Sequence, Digest: now.Digest})
	return d.flash.tidy()
}

// try runs what was installed by its manifest.
func (d *Device) try(ctx context.Context, b *board, t *trial) error {
	file, err := d.flash.manifest(t.Digest)
	var m *suit.Manifest
	var report suit.Report
	if err == nil {
		p := suit.Processor{Device: b, Dialect: d.Dialect, Trusted: d.Trusted, Installed: &t.Sequence}
		m, report, err = p.Boot(ctx, file)
	}
	if err == nil {
		err = b.bootable(m)
	}
	if ctx.Err() != nil {
		return nil // switched off before it was sure
	}
	if err != nil {
		now := d.flash.now()
		d.tell(Event{Kind: WentBack, Slot: &now.Active, Text: err.Error()})
		return d.conclude(d.refusal(m, report, wrong(ota.FlashFailed, err)))
	}
	return d.conclude(outcome{Code: ota.OK, Sequence: t.Sequence, Report: d.suitReport(report)})
}

// conclude notes how a manifest ended, with all that follows of it, in one
// write; what was on trial is either kept or forgotten. Then the server may
// hear of it.
func (d *Device) conclude(o outcome) error {
	err := d.flash.change(func(f *facts) {
		if t := f.Trial; t != nil && o.Code == ota.OK {
			f.Active, f.Sequence, f.Digest = t.Slot, &t.Sequence, t.Digest
		}
		f.Trial, f.Outcome = nil, &o
	})
	if err != nil {
		return err
	}
	d.settled = true
	code := uint8(o.Code)
	e := Event{Kind: Outcome, Code: &code, Result: o.Code.String(), Text: o.Text}
	if o.Sequence != 0 {
		e.Sequence = &o.Sequence
	}
	d.tell(e)
	select {
	case d.outbox <- struct{}{}:
	default:
	}
	return nil
}

// refusal is the outcome of a manifest that was not installed, or does not run.
func (d *Device) refusal(m *suit.Manifest, report suit.Report, err error) outcome {
	if report.Result == nil { // the manifest's processor was content, or never came to it
		report.Result = &suit.Result{Code: -int64(suit.ReasonOperation), Reason: suit.ReasonOperation}
	}
	o := outcome{Code: codeOf(err), Text: err.Error()}
	if report.Manifest.Sum != nil { // one that could be read
		o.Report = d.suitReport(report)
	}
	if m != nil {
		o.Sequence = m.Sequence
	}
	return o
}

// coded is an error whose code is known.
type coded struct {
	code ota.ResultCode
	error
}

func (c *coded) Unwrap() error { return c.error }

// wrong gives an error a code.
func wrong(code ota.ResultCode, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code, err}
}

// codeOf is how seed 002 calls what went wrong.
func codeOf(err error) ota.ResultCode {
	if c, ok := errors.AsType[*coded](err); ok {
		return c.code
	}
	if errors.Is(err, errFull) {
		return ota.DiskFull
	}
	if r, ok := errors.AsType[*coap.ResponseError](err); ok && r.Code == coap.NotFound {
		return ota.PackageNotFound
	}
	f, ok := errors.AsType[*suit.Failure](err)
	switch {
	case !ok || f.Reason == suit.ReasonOperation:
		return ota.InstallFailed
	case f.Reason == suit.ReasonCondition && f.At.Section == 0: // of the manifest as a whole
		return ota.OldVersion
	}
	return ota.ValidationFailed
}
