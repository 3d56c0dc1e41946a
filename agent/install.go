package agent

import (
	"context"
	"fmt"

	"github.com/updraft-ota/updraft/ota"
)

// startInstall has the built-in installer install a downloaded image. The
// journal says so before it begins and what came of it before anyone hears.
func (a *Agent) startInstall(ctx context.Context, id ota.UpdateID) {
	e, _ := a.state.entry(id)
	switch {
	case (e.Step.ended() || e.Step == Dropped) && a.now.own:
		return // done, or taken back, while this waited in the queue
	case a.installer == nil:
		a.emit(ctx, Error{packageError + ": the package manager is off: an external installer installs"})
		return
	case e.Step.ended() || e.Step == Dropped:
		a.emit(ctx, Error{packageError + ": " + over(e)})
		return
	case e.Step != Ready && e.Step != Installing:
		a.emit(ctx, Error{fmt.Sprintf("%s: update %s is not downloaded", packageError, id)})
		return
	}
	if err := a.checkImage(ctx, e); err != nil {
		a.lostImage(ctx, e, err)
		return
	}
	a.emit(ctx, InstallingUpdate{id})
	if err := a.install(ctx, e); err != nil {
		a.emit(ctx, Error{ioError + ": " + err.Error()})
	}
}

func (a *Agent) install(ctx context.Context, e Entry) error {
	work, err := a.state.workDir(e.Update)
	if err != nil {
		return err
	}
	e.Step = Installing
	if err := a.state.put(e); err != nil {
		return err
	}
	a.allow(installLimit)
	out := a.installer.Install(ctx, Image{Update: e.Update, Package: e.Package, Digest: e.Digest, Path: a.imagePath(e.Update), WorkDir: work})
	a.beat()
	if ctx.Err() != nil {
		return nil // the outcome means nothing; the next start asks again
	}
	report, err := deliverable(ota.Outcome(e.Update, out.Code, out.Text))
	if err != nil {
		report = ota.Outcome(e.Update, ota.InternalError, fmt.Sprintf("the installer's outcome makes no report: %v", err))
	}
	if err := a.conclude(report); err != nil {
		return err
	}
	if err := a.state.dropWorkDir(e.Update); err != nil {
		a.log.Warn("cannot remove the installer's directory", "err", err)
	}
	if !report.Success() {
		a.emit(ctx, InstallFailed{report})
		return nil
	}
	if err := a.images.remove(string(e.Update)); err != nil {
		a.log.Warn("cannot remove an installed image", "err", err)
	}
	a.emit(ctx, InstallComplete{report})
	return nil
}

// conclude makes an outcome durable together with its report, and drops what
// an unfinished download left.
func (a *Agent) conclude(r ota.Report) error {
	if err := a.state.file(r); err != nil {
		return err
	}
	if !safeName(r.Update) {
		return nil
	}
	return a.images.remove(partName(r.Update))
}

// lostImage goes back to downloading: the image that the journal speaks of is
// not there any more, or is damaged.
func (a *Agent) lostImage(ctx context.Context, e Entry, cause error) {
	if ctx.Err() != nil {
		return
	}
	e.Step = Downloading
	if err := a.state.put(e); err != nil {
		cause = err
	}
	a.emit(ctx, Error{fmt.Sprintf("%s: the image of update %s is lost and will be fetched again: %v", ioError, e.Update, cause)})
}

// over says why an update does not start again.
func over(e Entry) string {
	switch {
	case e.Step == Dropped:
		return fmt.Sprintf("the server took update %s back", e.Update)
	case e.Success:
		return fmt.Sprintf("update %s has ended well already", e.Update)
	}
	return fmt.Sprintf("update %s has failed already", e.Update)
}
