package agent

import "github.com/updraft-ota/updraft/ota"

// Event is what the client tells everyone who listens: the closed set of
// seed 002 and AlreadyAuthenticated (client.md 2.3).
type Event interface {
	// Name is the event's name in seed 002, such as "DownloadComplete".
	Name() string
	event()
}

// Error says that a command failed, in words for humans: "<category>: <detail>".
type Error struct{ Text string }

// Authenticated: a token was obtained.
type Authenticated struct{}

// NotAuthenticated: a command needed a token and there is none that holds.
type NotAuthenticated struct{}

// AlreadyAuthenticated: Authenticate while a token is held or none is needed.
type AlreadyAuthenticated struct{}

// UpdatesReceived: the server offers these, at least one, in install order.
type UpdatesReceived struct{ Updates []ota.Offer }

// UpdateAvailable: an update waits for consent (RVI, and confirmation wanted).
type UpdateAvailable struct{ Update Available }

// NoUpdateRequests: the server offers nothing.
type NoUpdateRequests struct{}

// FoundInstalledPackages answers ListInstalledPackages.
type FoundInstalledPackages struct{ Packages []ota.PackageID }

// FoundSystemInfo answers ListSystemInfo.
type FoundSystemInfo struct{ Info string }

// DownloadingUpdate: a download begins.
type DownloadingUpdate struct{ Update ota.UpdateID }

// DownloadComplete: the image is on disk, whole and verified.
type DownloadComplete struct{ Image Downloaded }

// DownloadFailed: a download ended badly. Code is not part of the event's
// wire form; it is what the failure report will say.
type DownloadFailed struct {
	Update ota.UpdateID
	Reason string
	Code   ota.ResultCode
}

// InstallingUpdate: an installation begins.
type InstallingUpdate struct{ Update ota.UpdateID }

// InstallComplete: an installation ended well (code 0 or 1).
type InstallComplete struct{ Report ota.Report }

// InstallFailed: an installation ended badly.
type InstallFailed struct{ Report ota.Report }

// UpdateReportSent: a report was delivered.
type UpdateReportSent struct{}

// InstalledPackagesSent: the list of packages was delivered.
type InstalledPackagesSent struct{}

// InstalledSoftwareSent: the list of software was delivered.
type InstalledSoftwareSent struct{}

// SystemInfoSent: the system information was delivered.
type SystemInfoSent struct{}

// InstalledSoftwareNeeded asks external installers for their inventory.
type InstalledSoftwareNeeded struct{}

func (Error) Name() string                   { return "Error" }
func (Authenticated) Name() string           { return "Authenticated" }
func (NotAuthenticated) Name() string        { return "NotAuthenticated" }
func (AlreadyAuthenticated) Name() string    { return "AlreadyAuthenticated" }
func (UpdatesReceived) Name() string         { return "UpdatesReceived" }
func (UpdateAvailable) Name() string         { return "UpdateAvailable" }
func (NoUpdateRequests) Name() string        { return "NoUpdateRequests" }
func (FoundInstalledPackages) Name() string  { return "FoundInstalledPackages" }
func (FoundSystemInfo) Name() string         { return "FoundSystemInfo" }
func (DownloadingUpdate) Name() string       { return "DownloadingUpdate" }
func (DownloadComplete) Name() string        { return "DownloadComplete" }
func (DownloadFailed) Name() string          { return "DownloadFailed" }
func (InstallingUpdate) Name() string        { return "InstallingUpdate" }
func (InstallComplete) Name() string         { return "InstallComplete" }
func (InstallFailed) Name() string           { return "InstallFailed" }
func (UpdateReportSent) Name() string        { return "UpdateReportSent" }
func (InstalledPackagesSent) Name() string   { return "InstalledPackagesSent" }
func (InstalledSoftwareSent) Name() string   { return "InstalledSoftwareSent" }
func (SystemInfoSent) Name() string          { return "SystemInfoSent" }
func (InstalledSoftwareNeeded) Name() string { return "InstalledSoftwareNeeded" }

func (Error) event()                   {}
func (Authenticated) event()           {}
func (NotAuthenticated) event()        {}
func (AlreadyAuthenticated) event()    {}
func (UpdatesReceived) event()         {}
func (UpdateAvailable) event()         {}
func (NoUpdateRequests) event()        {}
func (FoundInstalledPackages) event()  {}
func (FoundSystemInfo) event()         {}
func (DownloadingUpdate) event()       {}
func (DownloadComplete) event()        {}
func (DownloadFailed) event()          {}
func (InstallingUpdate) event()        {}
func (InstallComplete) event()         {}
func (InstallFailed) event()           {}
func (UpdateReportSent) event()        {}
func (InstalledPackagesSent) event()   {}
func (InstalledSoftwareSent) event()   {}
func (SystemInfoSent) event()          {}
func (InstalledSoftwareNeeded) event() {}

// Available is an update that waits for someone's consent (client.md 2.1).
type Available struct {
	Update              ota.UpdateID
	Signature           string
	Description         string
	RequestConfirmation bool
	Size                uint64
}

// Downloaded is an image ready to install.
type Downloaded struct {
	Update    ota.UpdateID
	Path      string // local file
	Signature string // as the server gave it, "" if none
}
