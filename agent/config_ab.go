package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// ABConfig describes two slots for whole images (docs/ab.md). A command is a
// program and its arguments, separated by spaces; no shell reads it.
type ABConfig struct {
	SlotA         string `toml:"slot_a"` // a block device, or a file
	SlotB         string `toml:"slot_b"`
	Bootloader    string `toml:"bootloader"`     // "uboot" or "grub"
	FwEnvConfig   string `toml:"fw_env_config"`  // where fw_setenv finds U-Boot's environment
	Grubenv       string `toml:"grubenv"`        // GRUB's environment block
	Running       string `toml:"running"`        // command that prints the running slot; empty: updraft.slot of the kernel's command line
	Reboot        string `toml:"reboot"`         // command
	HealthCheck   string `toml:"health_check"`   // command; empty: a slot in which the client runs is healthy
	HealthTimeout uint32 `toml:"health_timeout"` // seconds one check may take
	HealthTries   uint32 `toml:"health_tries"`   // checks before the slot is given up
}

func newAB() *ABConfig {
	return &ABConfig{
		FwEnvConfig: "/etc/fw_env.config", Grubenv: "/boot/grub/grubenv",
		Reboot: "systemctl reboot", HealthTimeout: 60, HealthTries: 5,
	}
}

// checkAB checks [ab] where it is used.
func (c Config) checkAB() error {
	if c.AB == nil {
		return errors.New("device.package_manager: ab needs an [ab] section with slot_a, slot_b and bootloader")
	}
	for _, slot := range []struct{ key, path string }{{"slot_a", c.AB.SlotA}, {"slot_b", c.AB.SlotB}} {
		if !filepath.IsAbs(slot.path) {
			return fmt.Errorf("ab.%s: expected the absolute path of a block device or file, not %q", slot.key, slot.path)
		}
	}
	switch {
	case filepath.Clean(c.AB.SlotA) == filepath.Clean(c.AB.SlotB):
		return errors.New("ab.slot_b: it is the same as ab.slot_a")
	case c.AB.Bootloader == "":
		return errors.New("ab.bootloader: expected uboot or grub, but it is not set")
	case c.AB.HealthTimeout == 0:
		return errors.New("ab.health_timeout: expected at least one second")
	case c.AB.HealthTries == 0:
		return errors.New("ab.health_tries: expected at least one")
	}
	return nil
}

// isBootloader lets the default pass, so that what --print writes can be read;
// checkAB does not.
func isBootloader(s string) error {
	if s != "" && s != "uboot" && s != "grub" {
		return fmt.Errorf("expected uboot or grub, not %q", s)
	}
	return nil
}

// isAB reports whether a device.package_manager is "ab".
func isAB(spec string) bool { return strings.EqualFold(spec, "ab") }
