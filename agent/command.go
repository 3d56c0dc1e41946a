package agent

import "github.com/updraft-ota/updraft/ota"

// Command is what gateways and reactions may ask of the client: the closed
// set of seed 002.
type Command interface {
	// Name is the command's name in seed 002, such as "StartDownload".
	Name() string
	command()
}

// Authenticate obtains a token. With Credentials they are used for this run
// only; without, the configured ones are.
type Authenticate struct{ Credentials *Credentials }

// Shutdown ends the client at once.
type Shutdown struct{}

// GetUpdateRequests asks the server for pending and in-flight updates.
type GetUpdateRequests struct{}

// ListInstalledPackages lists packages through the package manager.
type ListInstalledPackages struct{}

// ListSystemInfo runs the system_info command and returns its output.
type ListSystemInfo struct{}

// StartDownload fetches an update's image.
type StartDownload struct{ Update ota.UpdateID }

// StartInstall installs a downloaded image with the built-in package manager.
type StartInstall struct{ Update ota.UpdateID }

// SendInstalledPackages replaces the server's list of installed packages.
type SendInstalledPackages struct{ Packages []ota.PackageID }

// SendInstalledSoftware sends packages and firmware found by an installer.
type SendInstalledSoftware struct{ Software InstalledSoftware }

// SendSystemInfo runs the system_info command and uploads its output.
type SendSystemInfo struct{}

// SendUpdateReport forwards an installation's outcome to the server.
type SendUpdateReport struct{ Report ota.Report }

func (Authenticate) Name() string          { return "Authenticate" }
func (Shutdown) Name() string              { return "Shutdown" }
func (GetUpdateRequests) Name() string     { return "GetUpdateRequests" }
func (ListInstalledPackages) Name() string { return "ListInstalledPackages" }
func (ListSystemInfo) Name() string        { return "ListSystemInfo" }
func (StartDownload) Name() string         { return "StartDownload" }
func (StartInstall) Name() string          { return "StartInstall" }
func (SendInstalledPackages) Name() string { return "SendInstalledPackages" }
func (SendInstalledSoftware) Name() string { return "SendInstalledSoftware" }
func (SendSystemInfo) Name() string        { return "SendSystemInfo" }
func (SendUpdateReport) Name() string      { return "SendUpdateReport" }

func (Authenticate) command()          {}
func (Shutdown) command()              {}
func (GetUpdateRequests) command()     {}
func (ListInstalledPackages) command() {}
func (ListSystemInfo) command()        {}
func (StartDownload) command()         {}
func (StartInstall) command()          {}
func (SendInstalledPackages) command() {}
func (SendInstalledSoftware) command() {}
func (SendSystemInfo) command()        {}
func (SendUpdateReport) command()      {}

// Credentials prove the device's identity at the token endpoint.
type Credentials struct {
	ClientID     string
	ClientSecret string
}

// InstalledSoftware is an external installer's inventory (client.md 2.1).
type InstalledSoftware struct {
	Packages  []InstalledPackage
	Firmwares []InstalledFirmware
}

// InstalledPackage is one package of it. LastModified is as told, Unix
// seconds in practice.
type InstalledPackage struct {
	PackageID    string
	Name         string
	Description  string
	LastModified uint64
}

// InstalledFirmware is one module's firmware.
type InstalledFirmware struct {
	Module       string
	FirmwareID   string
	LastModified uint64
}
