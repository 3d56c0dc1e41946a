package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// startInstall has the built-in installer install a downloaded image. The
// journal says so before it begins and what came of it before anyone hears.
// What the client begins by itself waits for a window of the policy.
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
	case e.Step == Ready && a.now.own && !a.windowOpen(e):
		return
	}
	if err := a.checkImage(ctx, e); err != nil {
		a.lostImage(ctx, e, err)
		return
	}
	a.emit(ctx, InstallingUpdate{id})
	if err := a.install(ctx, e); err != nil && ctx.Err() == nil {
		a.failure = err
		a.emit(ctx, Error{err.Error()})
	}
}

// longestWait is how long the client waits for a window before it looks at
// the clock again, which may have been set meanwhile.
const longestWait = time.Hour

// windowOpen reports whether an installation may begin now. If not, it will be
// tried again when a window opens.
func (a *Agent) windowOpen(e Entry) bool {
	now := a.clock.Now().In(a.zone)
	opens := a.cfg.Policy.InstallWindows.next(now)
	if opens.Equal(now) {
		return true
	}
	wait := longestWait
	if !opens.IsZero() {
		wait = min(wait, opens.Sub(now))
	}
	if !a.opens.Equal(opens) {
		a.log.Info("an installation waits for its window", "update", e.Update, "opens", opens)
		a.opens = opens
	}
	a.pace.waitFor(StartInstall{e.Update}, wait)
	return false
}

// maxInterrupted is how often, beside the failures that are allowed, an
// installation may be cut short by the end of the client.
const maxInterrupted = 10

func (a *Agent) install(ctx context.Context, e Entry) error {
	tries := int(a.cfg.Policy.InstallTries)
	if e.Runs >= tries+maxInterrupted {
		return a.finish(ctx, e, Outcome{ota.InstallFailed, fmt.Sprintf("given up: the installation was begun %d times and never ended", e.Runs)})
	}
	work, err := a.state.workDir(e.Update)
	if err != nil {
		return fmt.Errorf("%s: %w", ioError, err)
	}
	e.Step = Installing
	e.Runs++
	if err := a.put(e); err != nil {
		return fmt.Errorf("%s: %w", ioError, err)
	}
	a.allow(installLimit)
	out := a.installer.Install(ctx, Image{Update: e.Update, Package: e.Package, Digest: e.Digest, Path: a.imagePath(e.Update), WorkDir: work})
	a.beat()
	if ctx.Err() != nil {
		return nil // the outcome means nothing; the next start asks again
	}
	if e.Failures+1 < tries && mayPass(out.Code) {
		return a.installAgain(e, out)
	}
	return a.finish(ctx, e, out)
}

// mayPass reports whether an installation that ended so may end otherwise
// another time.
func mayPass(code ota.ResultCode) bool {
	switch code {
	case ota.DependencyFailure, ota.ValidationFailed, ota.UserDeclined, ota.SoftwareBlacklisted, ota.PackageNotFound, ota.OldVersion:
		return false
	}
	return !code.Success()
}

// installAgain puts a failed installation back before its beginning, and
// returns why: the reaction to that is another try later.
func (a *Agent) installAgain(e Entry, out Outcome) error {
	if err := a.state.dropWorkDir(e.Update); err != nil {
		return fmt.Errorf("%s: %w", ioError, err) // a new try must not read the old one's output
	}
	e.Step = Ready
	e.Failures++
	if err := a.put(e); err != nil {
		return fmt.Errorf("%s: %w", ioError, err)
	}
	return fmt.Errorf("%s: update %s failed with %s, and will be tried again (%d of %d): %s",
		packageError, e.Update, out.Code, e.Failures, a.cfg.Policy.InstallTries, tail(out.Text, 1<<10))
}

// finish makes an installation's outcome known.
func (a *Agent) finish(ctx context.Context, e Entry, out Outcome) error {
	report, err := deliverable(ota.Outcome(e.Update, out.Code, out.Text))
	if err != nil {
		report = ota.Outcome(e.Update, ota.InternalError, fmt.Sprintf("the installer's outcome makes no report: %v", err))
	}
	if err := a.conclude(report); err != nil {
		return fmt.Errorf("%s: %w", ioError, err)
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
	if err := a.roomy(func() error { return a.state.file(r) }); err != nil {
		return err
	}
	defer a.dropSpare(keepSpare)
	if !safeName(r.Update) {
		return nil
	}
	// What cannot be removed must not keep the report from the server.
	if err := a.images.remove(partName(r.Update)); err != nil {
		a.log.Warn("cannot remove a part file", "err", err)
	}
	return nil
}

// lostImage goes back to downloading: the image that the journal speaks of is
// not there any more, or is damaged.
func (a *Agent) lostImage(ctx context.Context, e Entry, cause error) {
	if ctx.Err() != nil {
		return
	}
	e.Step = Downloading
	if err := a.put(e); err != nil {
		cause = err
	}
	a.failure = cause
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
