package swm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Inventory is what getInstalledPackages answers (client.md 5.4).
type Inventory struct {
	Packages []InstalledPackage
	Firmware []ota.Firmware
}

// InstalledPackage is one package of it.
type InstalledPackage struct {
	ID          ota.PackageID
	Description string // one line
	Modified    uint64 // Unix seconds; 0 if unknown
}

// firmwarePlugin lists what modules run, if it is there.
const firmwarePlugin = "list_firmware"

// Installed lists packages, and firmware as far as there is a plug-in that
// knows of it. It fails if dpkg-query or the plug-in does.
func (m *Manager) Installed(ctx context.Context, packages, firmware bool) (Inventory, error) {
	var inv Inventory
	var err error
	if packages {
		if inv.Packages, err = m.described(ctx); err != nil {
			return inv, err
		}
	}
	if firmware {
		inv.Firmware, err = m.firmware(ctx)
	}
	return inv, err
}

// described lists what is installed, with more about each.
func (m *Manager) described(ctx context.Context) (list []InstalledPackage, err error) {
	if _, err := os.Stat(m.admindir()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // dpkg never touched this system
	}
	out, err := ask(ctx, "dpkg-query", "--admindir", m.admindir(), "-W", "-f",
		`${Package}\t${Version}\t${Status}\t${db-fsys:Last-Modified}\t${binary:Summary}\n`)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 5)
		if len(f) != 5 || !strings.HasSuffix(f[2], " ok installed") {
			continue
		}
		at, _ := strconv.ParseUint(f[3], 10, 64)
		list = append(list, InstalledPackage{ota.PackageID{Name: f[0], Version: f[1]}, f[4], at})
	}
	return list, nil
}

// firmware reads lines of module, firmware and Unix seconds, with tabs between.
func (m *Manager) firmware(ctx context.Context) (list []ota.Firmware, err error) {
	path := filepath.Join(m.Plugins, firmwarePlugin)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err := trustworthy(path); err != nil {
		return nil, err
	}
	out, err := ask(ctx, path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			return nil, fmt.Errorf("plug-in %s: expected MODULE, FIRMWARE and SECONDS with tabs between, not %q", path, line)
		}
		at, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("plug-in %s: %w", path, err)
		}
		list = append(list, ota.Firmware{Module: f[0], ID: f[1], LastModified: at})
	}
	return list, nil
}
