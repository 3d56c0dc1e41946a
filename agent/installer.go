package agent

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
)

// Installer is a built-in way to install images; agent/pacman has one file
// for each. A client whose package manager is "off" has none.
type Installer interface {
	// Installed lists what is installed now.
	Installed(ctx context.Context) ([]ota.PackageID, error)

	// Install installs an image and says how it went, by asking the package
	// database afterwards. It may be called again for the same image after a
	// crash in the middle: it then waits for what the earlier run left
	// running, finishes what it left half done, and installs only what is not
	// there yet; what an integrator's program says holds as it is. If ctx ends first, the answer's code is
	// meaningless and the work may go on in the background.
	Install(ctx context.Context, img Image) Outcome
}

// Image is a verified image file with what is known about it.
type Image struct {
	Update  ota.UpdateID
	Package ota.PackageID // as the server calls it
	Digest  ota.Digest    // of the file, which was checked just before
	Path    string
	// WorkDir is a directory of the client's own (0700) that survives
	// crashes, for the output of the programs run. It is removed once the
	// outcome is in the journal.
	WorkDir string
}

// Outcome is a result code and a text for the report.
type Outcome struct {
	Code ota.ResultCode
	Text string
}
