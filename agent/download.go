package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
)

// startDownload gets an update's image onto the disk, whole and verified. An
// image that is there already is checked and announced without the server.
func (a *Agent) startDownload(ctx context.Context, id ota.UpdateID) {
	e, err := a.sought(ctx, id)
	switch {
	case err != nil:
		a.fail(ctx, httpError, err)
		return
	case e.Step.ended() && a.now.own:
		return // done while this waited in the queue
	case e.Step.ended():
		a.emit(ctx, Error{httpError + ": " + over(e)})
		return
	case e.Step == Installing:
		a.emit(ctx, Error{fmt.Sprintf("%s: update %s is being installed", httpError, id)})
		return
	case e.Step != Ready && !a.unmetered(ctx, id):
		a.pace.wait(resumeDownloads{})
		return
	}
	a.emit(ctx, DownloadingUpdate{id})
	if e.Step == Dropped || e.Step == "" {
		a.emit(ctx, DownloadFailed{id, fmt.Sprintf("the server offers no update %q", id), ota.GeneralError})
		return
	}
	dctx, done := a.downloads.begin(ctx, id)
	defer done()
	e, err = a.obtain(dctx, e)
	switch bad, failed := errors.AsType[*failure](err); {
	case err == nil:
		a.emit(ctx, DownloadComplete{Downloaded{Update: id, Path: a.imagePath(id), Signature: e.Signature}})
	case ctx.Err() != nil: // the part file and the journal wait for the next start
	case dctx.Err() != nil:
		a.emit(ctx, Error{fmt.Sprintf("%s: download ended: the server took update %s back", httpError, id)})
	case failed:
		a.giveUp(ctx, e, bad)
	case errors.Is(err, errMetered):
		a.failure = err
		a.emit(ctx, Error{fmt.Sprintf("Policy: the download of update %s waits: %v", id, err)})
	default:
		a.fail(ctx, httpError, err)
	}
}

// failure ends a download for good: its code and text go to the server. Any
// other error leaves the update as it is, for the next poll to go on with: a
// server that is away, a token that has expired and a blocked queue say
// nothing about the update.
type failure struct {
	code ota.ResultCode
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// localFailure is what goes wrong on this device's disk.
func localFailure(err error) *failure {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, full) {
			return &failure{ota.DiskFull, err}
		}
	}
	return &failure{ota.GeneralError, err}
}

// giveUp records a failed download with its report, and then tells.
func (a *Agent) giveUp(ctx context.Context, e Entry, f *failure) {
	if safeName(e.Update) {
		// First, because a full disk may have no room for the journal either.
		if err := a.images.remove(partName(e.Update)); err != nil {
			a.log.Warn("cannot remove a part file", "err", err)
		}
	}
	report, err := deliverable(ota.Outcome(e.Update, f.code, f.Error()))
	if err == nil {
		err = a.conclude(report)
	}
	if err != nil {
		a.failure = err
		a.emit(ctx, Error{fmt.Sprintf("%s: %v, after: %v", ioError, err, f)})
		return
	}
	a.emit(ctx, DownloadFailed{e.Update, report.Results[0].Text, f.code})
}

// sought returns the journal's entry, asking the server for updates if there
// is none yet. Its Step is empty if the server offers no such update.
func (a *Agent) sought(ctx context.Context, id ota.UpdateID) (Entry, error) {
	if e, known := a.state.entry(id); known && e.Step != Dropped {
		return e, nil
	}
	a.allow(callLimit)
	offers, err := a.link.Pending(ctx)
	if err == nil {
		err = a.learn(offers)
	}
	e, _ := a.state.entry(id)
	return e, err
}

// obtain fetches what is missing of an image and puts it into place.
func (a *Agent) obtain(ctx context.Context, e Entry) (Entry, error) {
	if !safeName(e.Update) {
		return e, &failure{ota.GeneralError, fmt.Errorf("update id %q cannot be a file name", e.Update)}
	}
	if e.Step == Ready || e.Step == Downloading {
		// A crash may have come between the file's last name and the journal.
		err := a.checkImage(ctx, e)
		switch {
		case err == nil && e.Step == Ready:
			return e, nil
		case err == nil:
			e.Step = Ready
			return e, a.record(e)
		case e.Step == Ready:
			a.log.Warn("a downloaded image is lost and will be fetched again", "update", e.Update, "err", err)
		}
	}
	keep := e.Step == Downloading && e.Digest != "" // else nothing says that the rest will fit
	e.Step = Downloading
	if err := a.record(e); err != nil {
		return e, err
	}
	p, err := openPart(a.images, partName(e.Update), keep, a.beat)
	if err != nil {
		return e, localFailure(err)
	}
	defer p.close()
	if err := a.fetchAll(ctx, &e, p); err != nil {
		return e, err
	}
	if err := p.publish(a.images, string(e.Update)); err != nil {
		return e, localFailure(err)
	}
	e.Step = Ready
	if err := a.record(e); err != nil {
		return e, err
	}
	if k, ok := a.link.(ota.Keeper); ok {
		k.Release(e.Update)
	}
	return e, nil
}

// record is a journal write whose failure is the disk's.
func (a *Agent) record(e Entry) error {
	if err := a.put(e); err != nil {
		return localFailure(err)
	}
	return nil
}

// checkImage reads the image in place and compares it with the journal.
func (a *Agent) checkImage(ctx context.Context, e Entry) error {
	f, err := a.images.open(string(e.Update), unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	size, digest, err := digestOf(ctx, f, a.beat)
	switch {
	case err != nil:
		return err
	case size != e.Size || digest != e.Digest:
		return fmt.Errorf("%s has another content than was downloaded", f.Name())
	}
	return a.trust.check(e)
}

func (a *Agent) imagePath(id ota.UpdateID) string { return a.images.path + "/" + string(id) }

// safeName reports whether an update id may be a file name: one path element,
// visible, printable, and short enough for names made from it.
func safeName(id ota.UpdateID) bool {
	s := string(id)
	return s != "" && len(s) <= 200 && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '/' || unicode.IsControl(r)
	})
}

func partName(id ota.UpdateID) string { return "." + string(id) + ".part" }

// downloads lets a notice reach the download that runs.
type downloads struct {
	mu      sync.Mutex
	running ota.UpdateID
	cancel  context.CancelFunc
	gone    map[ota.UpdateID]bool // withdrawn, but not yet acted on
}

// begin returns the context of a download, which ends if it is withdrawn.
func (d *downloads) begin(ctx context.Context, id ota.UpdateID) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.cancel = id, cancel
	if d.gone[id] {
		cancel()
	}
	return ctx, func() {
		cancel()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.running, d.cancel = "", nil
	}
}

// withdraw ends the download of an update, now or as soon as it begins.
func (d *downloads) withdraw(id ota.UpdateID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone == nil {
		d.gone = make(map[ota.UpdateID]bool)
	}
	d.gone[id] = true
	if d.cancel != nil && d.running == id {
		d.cancel()
	}
}

// forget says that the withdrawal is in the journal.
func (d *downloads) forget(id ota.UpdateID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.gone, id)
}
