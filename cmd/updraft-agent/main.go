// Updraft-agent is the device client.
package main

import (
	"os"

	"github.com/updraft-ota/updraft/cmd/internal/device"
)

// version is set by the build.
var version = "unknown"

func main() {
	device.Quiet()
	os.Exit(device.Main(os.Args[1:], version, device.Hooks{}))
}
