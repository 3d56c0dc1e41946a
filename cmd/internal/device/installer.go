package device

import (
	"log/slog"
	"strings"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/agent/pacman"
	"github.com/updraft-ota/updraft/agent/pacman/ab"
)

// newInstaller is the way to install that the configuration names, nil for
// "off".
func newInstaller(cfg agent.Config, log *slog.Logger) (agent.Installer, error) {
	if strings.EqualFold(cfg.Device.PackageManager, "ab") {
		return ab.New(*cfg.AB, ab.Options{StateDir: cfg.StatePath(), Log: log})
	}
	return pacman.New(cfg.Device.PackageManager, pacman.Options{Root: cfg.Device.PackageRoot, Log: log})
}
