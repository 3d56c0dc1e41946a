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
	halfway   bool         // a download was begun, or consent to one is to be asked for
	unsent    []ota.Report // reports that wait in the outbox
	turn      ota.UpdateID // to be installed next, "" if none is
	failed    bool         // that one, an earlier time
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
		return append(f.begin(e.Updates), f.install()...)
	case NoUpdateRequests, DownloadComplete:
		return f.install()
	case DownloadFailed:
		if f.steps[e.Update] == "" {
			return nil // the server knows of no such update
		}
		return f.report(ota.Outcome(e.Update, e.Code, e.Reason))
	case InstallComplete:
		return f.report(e.Report)
	case InstallFailed:
		return f.report(e.Report)
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
	if f.halfway {
		cs = append(cs, resumeDownloads{})
	}
	return cs
}

// report tells how an update ended, and goes on to the next.
func (f facts) report(r ota.Report) []Command {
	return append([]Command{SendUpdateReport{r}}, f.install()...)
}

// install begins the installation whose turn it is. One that failed already
// takes its time.
func (f facts) install() []Command {
	switch {
	case !f.manager || f.turn == "":
		return nil
	case f.failed:
		return []Command{later{StartInstall{f.turn}}}
	}
	return []Command{StartInstall{f.turn}}
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
	case step == Ready || step == Installing:
		return nil // it is the installer's now, and f.install sees to ours
	case step == Downloading && o.Status == ota.Pending:
		return StartDownload{o.Update} // begun, so whoever had to agree did
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
		if o.Confirm && step != Downloading {
			return nil // whatever the server remembers, we know of no consent
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
	case resumeDownloads:
		return []Command{later{c}}
	case StartDownload:
		if f.steps[c.Update] == Downloading {
			return []Command{later{resumeDownloads{}}}
		}
	case StartInstall:
		switch f.steps[c.Update] {
		case Ready, Installing:
			return []Command{later{c}}
		case Downloading: // the image was lost
			return []Command{later{resumeDownloads{}}}
		}
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

// unheard repeats what was turned away by a server we have no proof to show
// to; where there is one, the greeting does.
func (f facts) unheard() []Command {
	switch f.cause.(type) {
	case StartDownload, resumeDownloads:
		if !f.auth {
			return []Command{later{resumeDownloads{}}}
		}
	}
	if _, ok := f.cause.(SendUpdateReport); ok && !f.auth && len(f.unsent) > 0 {
		return []Command{later{SendUpdateReport{f.unsent[0]}}}
	}
	return nil
}

// resumeDownloads is the client's own command to go on with the downloads that
// were begun, as far as the server still offers them.
type resumeDownloads struct{}

func (resumeDownloads) Name() string { return "resume downloads" }
func (resumeDownloads) command()     {}

// unfinished is what a stopped or crashed client left in its journal.
type unfinished struct {
	downloading, ready, installing []ota.UpdateID
	undecided                      []ota.UpdateID // wait for consent
	manager                        bool
}

// resume says how a client goes on after a start. An image that is ready is
// "downloaded" again, which checks and announces it without fetching; a
// download goes on, and consent is asked for again, when the server has said
// what it offers now.
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
	if len(u.downloading)+len(u.undecided) > 0 {
		cs = append(cs, resumeDownloads{})
	}
	return cs
}
