package agent

import (
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// facts is all that a reaction depends on beside its event.
type facts struct {
	cause Command // the command the event came from
	own   bool    // it was the client's own
	retry bool    // it failed in a way that may pass

	auth       bool // [auth] is configured
	greeted    bool // the greeting went out since the start
	manager    bool // there is a built-in package manager
	systemInfo bool // there is a system_info command
	download   bool // pending updates are fetched without being asked for

	installed []ota.PackageID // what the package manager lists
	listed    bool            // installed is known
	steps     map[ota.UpdateID]Step
	unsent    []ota.Report // reports that wait in the outbox
}

// react says what follows an event: the table of client.md 2.5 with its
// recommendations. It has no other input or effect than its values. A command
// wrapped in later should wait for the delay its kind has earned.
func react(e Event, f facts) []Command {
	switch e := e.(type) {
	case Authenticated:
		return f.greeting()
	case AlreadyAuthenticated:
		if !f.auth && !f.greeted {
			return f.greeting()
		}
	case NotAuthenticated:
		return append(f.unheard(), later{Authenticate{}})
	case UpdatesReceived:
		return f.begin(e.Updates)
	case DownloadComplete:
		if f.manager {
			return []Command{StartInstall{e.Image.Update}}
		}
	case DownloadFailed:
		if f.steps[e.Update] == "" {
			return nil // the server knows of no such update
		}
		return []Command{SendUpdateReport{ota.Outcome(e.Update, e.Code, e.Reason)}}
	case InstallComplete:
		return []Command{SendUpdateReport{e.Report}}
	case InstallFailed:
		return []Command{SendUpdateReport{e.Report}}
	case UpdateReportSent:
		return f.list()
	case Error:
		return f.again()
	}
	return nil
}

// greeting is what a server should hear first: what is installed, what the
// device is, and what it could not be told before.
func (f facts) greeting() []Command {
	cs := f.list()
	if f.systemInfo {
		cs = append(cs, SendSystemInfo{})
	}
	for _, r := range f.unsent {
		cs = append(cs, SendUpdateReport{r})
	}
	return cs
}

// list sends what is installed, as far as that is known.
func (f facts) list() []Command {
	if !f.manager || !f.listed {
		return nil
	}
	return []Command{SendInstalledPackages{f.installed}}
}

// begin starts what the server offers, in its order.
func (f facts) begin(offers []ota.Offer) []Command {
	var cs []Command
	for _, o := range offers {
		if c := f.start(o); c != nil {
			cs = append(cs, c)
		}
	}
	return cs
}

// start is the table of client.md 2.8. What the journal remembers comes first:
// an update whose outcome is known never starts again, whatever the server says.
func (f facts) start(o ota.Offer) Command {
	step := f.steps[o.Update]
	switch {
	case step.ended():
		return nil
	case step == Installing:
		return StartInstall{o.Update} // if not running, it was cut short
	case o.Status == ota.Pending:
		if !f.download || o.Confirm {
			return nil
		}
		return StartDownload{o.Update}
	case o.Status != ota.InFlight:
		return nil
	case f.manager:
		if f.listed && slices.Contains(f.installed, o.Package) {
			return SendUpdateReport{ota.Outcome(o.Update, ota.OK, "")}
		}
		return StartDownload{o.Update}
	case step == Downloading: // ours to finish; afterwards it is the installer's
		return StartDownload{o.Update}
	}
	return nil
}

// again repeats what the client wanted to tell the server, and could not.
func (f facts) again() []Command {
	if !f.retry {
		return nil
	}
	switch c := f.cause.(type) {
	case SendUpdateReport:
		if len(f.unsent) > 0 {
			return []Command{later{SendUpdateReport{f.unsent[0]}}}
		}
	case Authenticate, SendInstalledPackages, SendSystemInfo:
		if f.own {
			return []Command{later{c}}
		}
	}
	return nil
}

// unheard repeats a report that was turned away by a server we have no proof
// to show to; where there is one, the greeting sends it.
func (f facts) unheard() []Command {
	if _, ok := f.cause.(SendUpdateReport); ok && !f.auth && len(f.unsent) > 0 {
		return []Command{later{SendUpdateReport{f.unsent[0]}}}
	}
	return nil
}

// unfinished is what a stopped or crashed client left in its journal.
type unfinished struct {
	downloading, ready, installing []ota.UpdateID
	manager                        bool
}

// resume says how a client goes on after a start. An image that is ready is
// "downloaded" again, which checks and announces it without fetching; a
// download goes on when the server has said what it offers now.
func resume(u unfinished) []Command {
	var cs []Command
	for _, id := range u.installing {
		if u.manager {
			cs = append(cs, StartInstall{id})
		}
	}
	for _, id := range u.ready {
		cs = append(cs, StartDownload{id})
	}
	if len(u.downloading) > 0 {
		cs = append(cs, GetUpdateRequests{})
	}
	return cs
}
