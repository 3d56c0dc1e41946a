package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// interpret runs one command: the table of client.md 2.4. Every event is told
// as it happens; the last one is the command's final event.
func (a *Agent) interpret(ctx context.Context, j job) {
	a.now, a.final, a.failure = j, nil, nil
	a.log.Debug("command", "name", j.command.Name(), "own", j.own)
	defer func() {
		if r := recover(); r != nil {
			a.failure = errors.New("panic")
			a.log.Error("command panicked", "command", j.command.Name(), "panic", r, "stack", string(debug.Stack()))
			a.emit(ctx, Error{fmt.Sprintf("Internal error: %s: %v", j.command.Name(), r)})
		}
		if j.done != nil && a.final != nil {
			j.done <- a.final
		}
	}()
	if a.needsToken(j) {
		a.promise(j)
		a.notAuthenticated(ctx)
		return
	}
	a.run(ctx, j.command)
}

func (a *Agent) run(ctx context.Context, c Command) {
	switch c := c.(type) {
	case Authenticate:
		a.authenticate(ctx, c)
	case GetUpdateRequests:
		a.getUpdates(ctx)
	case ListInstalledPackages:
		a.listPackages(ctx)
	case ListSystemInfo:
		a.listSystemInfo(ctx)
	case StartDownload:
		a.startDownload(ctx, c.Update)
	case StartInstall:
		a.startInstall(ctx, c.Update)
	case SendInstalledPackages:
		a.sendPackages(ctx, c)
	case SendInstalledSoftware:
		a.sendSoftware(ctx, c)
	case SendSystemInfo:
		a.sendSystemInfo(ctx)
	case SendUpdateReport:
		a.sendReport(ctx, c.Report)
	case resumeDownloads:
		a.getUpdates(ctx)
	case notice:
		a.noticed(ctx, c.Notice)
	default:
		a.emit(ctx, Error{"Unknown Command: " + c.Name()})
	}
}

// needsToken reports whether the command must not run in state U. Listing is
// local; so is going on with what the client has begun itself, and a report
// is written down before the token is missed.
func (a *Agent) needsToken(j job) bool {
	if a.auth == nil || a.token {
		return false
	}
	switch c := j.command.(type) {
	case Authenticate, ListInstalledPackages, ListSystemInfo, SendUpdateReport, notice:
		return false
	case StartInstall:
		return !j.own
	case StartDownload:
		e, _ := a.state.entry(c.Update)
		return !j.own || e.Step != Ready
	}
	return true
}

// promise writes down that someone wants a download that must wait for a token:
// a user's consent is not asked for twice.
func (a *Agent) promise(j job) {
	c, ok := j.command.(StartDownload)
	if e, _ := a.state.entry(c.Update); ok && !j.own && e.Step == Known {
		e.Step = Downloading
		if err := a.put(e); err != nil {
			a.log.Error("a download will have to be asked for again", "update", c.Update, "err", err)
		}
	}
}

// emit tells everyone and lets the client react.
func (a *Agent) emit(ctx context.Context, e Event) {
	a.beat()
	a.final = e
	a.logEvent(e)
	a.bus.send(e)
	a.paceAfter(e)
	a.follow(react(e, a.facts(ctx, e)))
}

// follow queues what a reaction wants.
func (a *Agent) follow(cs []Command) {
	for _, c := range cs {
		if l, ok := c.(later); ok {
			a.pace.wait(l.Command)
			continue
		}
		a.pace.cancel(c.Name())
		a.queue.own(c)
	}
}

// paceAfter makes delays short again after a success. That a token was given
// proves little, and so does its use for something else than what was turned
// away: a token that lacks one scope must not be renewed every second.
func (a *Agent) paceAfter(e Event) {
	name := a.now.command.Name()
	switch e.(type) {
	case UpdatesReceived:
		if name == (resumeDownloads{}).Name() {
			break // that the server answers does not resume a download yet
		}
		a.pace.worked(name)
	case DownloadComplete:
		a.pace.ease(resumeDownloads{}.Name())
		a.pace.worked(name)
	case NoUpdateRequests, UpdateReportSent, InstalledPackagesSent, InstalledSoftwareSent, SystemInfoSent, InstallComplete:
		a.pace.worked(name)
	default:
		return
	}
	if a.rejected == "" || a.rejected == name {
		a.pace.worked(Authenticate{}.Name())
		a.rejected = ""
	}
}

func (a *Agent) logEvent(e Event) {
	switch e := e.(type) {
	case Error:
		a.log.Error(e.Text)
	case DownloadFailed:
		a.log.Error("download failed", "update", e.Update, "code", e.Code, "reason", e.Reason)
	case InstallFailed:
		for _, r := range e.Report.Results {
			if !r.Code.Success() {
				a.log.Error("installation failed", "update", e.Report.Update, "code", r.Code, "reason", r.Text)
			}
		}
	case DownloadingUpdate:
		a.log.Info("downloading", "update", e.Update)
	case DownloadComplete:
		a.log.Info("downloaded", "update", e.Image.Update, "file", e.Image.Path)
	case InstallingUpdate:
		a.log.Info("installing", "update", e.Update)
	case InstallComplete:
		a.log.Info("installed", "update", e.Report.Update)
	default:
		a.log.Debug("event", "name", e.Name())
	}
}

// facts gathers what the reaction to e may depend on.
func (a *Agent) facts(ctx context.Context, e Event) facts {
	f := facts{
		cause: a.now.command, own: a.now.own, retry: passing(a.failure),
		auth: a.auth != nil, greeted: a.greeted,
		manager: a.installer != nil, systemInfo: a.cfg.Device.SystemInfo != noSystemInfo, download: a.cfg.Device.AutoDownload,
	}
	switch e.(type) {
	case Authenticated, AlreadyAuthenticated:
		a.greeted = true
		f.halfway = len(a.state.at(Downloading))+len(a.unasked()) > 0
	case UpdatesReceived, NoUpdateRequests, DownloadComplete, DownloadFailed, InstallComplete, InstallFailed:
		f.turn, f.failed = a.turn()
	case UpdateReportSent, Error, NotAuthenticated:
	default:
		return f
	}
	f.steps = a.state.steps()
	for _, q := range a.state.unsent() {
		f.unsent = append(f.unsent, q.Report)
	}
	if f.manager && wantsList(e, f) {
		f.installed, f.listed = a.installed(ctx)
	}
	return f
}

// turn is the update to install next, "" if none is, and whether it failed
// before.
func (a *Agent) turn() (ota.UpdateID, bool) {
	if e := a.state.turn(a.cfg.Device.AutoDownload); e != nil {
		return e.Update, e.Failures > 0
	}
	return "", false
}

// installNext begins the installation whose turn it is after something else
// than an event has ended the one before.
func (a *Agent) installNext() {
	f := facts{manager: a.installer != nil}
	f.turn, f.failed = a.turn()
	a.follow(f.install())
}

// wantsList reports whether the reaction to e looks at what is installed:
// asking the package manager takes time.
func wantsList(e Event, f facts) bool {
	switch e := e.(type) {
	case Authenticated, UpdateReportSent:
		return true
	case AlreadyAuthenticated:
		return !f.auth && !f.greeted
	case UpdatesReceived:
		for _, o := range e.Updates {
			if o.Status == ota.InFlight {
				return true
			}
		}
	}
	return false
}

// installed lists packages for a reaction; failing to is only logged. So is a
// name that no server takes: it must not keep the others from being told.
func (a *Agent) installed(ctx context.Context) ([]ota.PackageID, bool) {
	a.allow(callLimit)
	defer a.beat()
	list, err := a.installer.Installed(ctx)
	if err != nil {
		a.log.Error("cannot list installed packages", "err", err)
		return nil, false
	}
	return slices.DeleteFunc(list, func(p ota.PackageID) bool {
		err := cmp.Or(ota.ValidateInstalled("name", p.Name), ota.ValidateInstalled("version", p.Version))
		if err != nil {
			a.log.Warn("a package is left out of the list for the server", "name", p.Name, "version", p.Version, "err", err)
		}
		return err != nil
	}), true
}

// passing reports whether an error may be gone at another try.
func passing(err error) bool {
	if err == nil {
		return false
	}
	switch ota.KindOf(err) {
	case ota.KindUnreachable, ota.KindUnavailable, ota.KindTooMany, ota.KindInternal:
		return true
	}
	return false
}

// Categories of error texts (client.md 2.10).
const (
	httpError    = "HTTP client error"
	ioError      = "IO error"
	packageError = "Package error"
	infoError    = "System info error"
)

// fail ends a command that could not talk to the server. If the client is
// ending there is nothing to tell.
func (a *Agent) fail(ctx context.Context, category string, err error) {
	a.failure = err
	switch kind := ota.KindOf(err); {
	case ctx.Err() != nil:
	case kind == ota.KindUnauthenticated || kind == ota.KindForbidden:
		a.rejected = a.now.command.Name()
		a.notAuthenticated(ctx)
	default:
		a.emit(ctx, Error{category + ": " + err.Error()})
	}
}

// notAuthenticated drops the token: state U, or N where there never was one.
func (a *Agent) notAuthenticated(ctx context.Context) {
	if a.auth != nil && a.token {
		a.auth.Forget()
		a.token = false
	}
	a.emit(ctx, NotAuthenticated{})
}
