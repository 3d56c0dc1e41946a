package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// listPackages answers ListInstalledPackages.
func (a *Agent) listPackages(ctx context.Context) {
	if a.installer == nil {
		a.emit(ctx, FoundInstalledPackages{})
		return
	}
	a.allow(callLimit)
	list, err := a.installer.Installed(ctx)
	if err != nil {
		a.emit(ctx, Error{packageError + ": " + err.Error()})
		return
	}
	a.emit(ctx, FoundInstalledPackages{list})
}

// sendPackages replaces the server's list.
func (a *Agent) sendPackages(ctx context.Context, c SendInstalledPackages) {
	inv := ota.Inventory{Packages: make([]ota.Installed, len(c.Packages))}
	for i, p := range c.Packages {
		inv.Packages[i] = ota.Installed{PackageID: p}
	}
	a.sendInventory(ctx, inv, InstalledPackagesSent{})
}

// sendSoftware replaces the server's list by an external installer's.
func (a *Agent) sendSoftware(ctx context.Context, c SendInstalledSoftware) {
	var inv ota.Inventory
	for _, p := range c.Software.Packages {
		inv.Packages = append(inv.Packages, ota.Installed{PackageID: ota.PackageID{Name: p.Name, Version: versionOf(p)}})
	}
	for _, f := range c.Software.Firmwares {
		inv.Firmware = append(inv.Firmware, ota.Firmware{Module: f.Module, ID: f.FirmwareID, LastModified: int64(f.LastModified)})
	}
	a.sendInventory(ctx, inv, InstalledSoftwareSent{})
}

// versionOf finds the version in a package id, which software loading
// managers write as NAME-VERSION.
func versionOf(p InstalledPackage) string {
	if v, ok := strings.CutPrefix(p.PackageID, p.Name+"-"); ok && v != "" {
		return v
	}
	return p.PackageID
}

func (a *Agent) sendInventory(ctx context.Context, inv ota.Inventory, sent Event) {
	a.allow(callLimit)
	err := inv.Validate()
	if err == nil {
		err = a.link.Installed(ctx, inv)
	}
	if err != nil {
		a.fail(ctx, httpError, err)
		return
	}
	a.emit(ctx, sent)
}

// listSystemInfo answers ListSystemInfo.
func (a *Agent) listSystemInfo(ctx context.Context) {
	a.allow(callLimit)
	doc, err := systemInfo(ctx, a.cfg.Device.SystemInfo)
	if err != nil {
		a.emit(ctx, Error{infoError + ": " + err.Error()})
		return
	}
	a.emit(ctx, FoundSystemInfo{string(doc)})
}

// sendSystemInfo uploads what the system_info command prints.
func (a *Agent) sendSystemInfo(ctx context.Context) {
	a.allow(callLimit)
	doc, err := systemInfo(ctx, a.cfg.Device.SystemInfo)
	if err != nil {
		a.emit(ctx, Error{infoError + ": " + err.Error()})
		return
	}
	if err := a.link.SystemInfo(ctx, json.RawMessage(doc)); err != nil {
		a.fail(ctx, httpError, err)
		return
	}
	a.emit(ctx, SystemInfoSent{})
}

// sendReport writes a report down and delivers it after those that wait. A
// report that cannot be delivered now stays in the outbox.
func (a *Agent) sendReport(ctx context.Context, r ota.Report) {
	r, err := deliverable(r)
	if err != nil {
		a.emit(ctx, Error{"Parse error: " + err.Error()})
		return
	}
	if err := a.conclude(r); err != nil {
		a.failure = err
		a.emit(ctx, Error{ioError + ": " + err.Error()})
		return
	}
	defer a.installNext()
	if a.auth != nil && !a.token {
		a.notAuthenticated(ctx)
		return
	}
	a.deliver(ctx)
}

// deliver sends what waits in the outbox, oldest first. A server that is away
// or wants a token ends the round; a report it fails to process holds back
// only later reports of the same update.
func (a *Agent) deliver(ctx context.Context) {
	held := map[ota.UpdateID]bool{}
	var failed error
	for _, q := range a.state.unsent() {
		if held[q.Report.Update] {
			continue
		}
		a.allow(callLimit)
		err := a.link.Report(ctx, q.Report)
		switch kind := ota.KindOf(err); {
		case err == nil:
			err = a.settle(ctx, q, Reported, UpdateReportSent{})
		case kind == ota.KindNotFound || kind == ota.KindInvalid || kind == ota.KindConflict || kind == ota.KindTooLarge:
			text := fmt.Sprintf("%s: the server refused the report of update %s: %v", httpError, q.Report.Update, err)
			err = a.settle(ctx, q, Refused, Error{text})
		case kind == ota.KindInternal && ctx.Err() == nil:
			held[q.Report.Update], failed = true, err
			continue
		}
		if err != nil {
			a.fail(ctx, httpError, fmt.Errorf("the report of update %s waits: %w", q.Report.Update, err))
			return
		}
	}
	if failed != nil {
		a.fail(ctx, httpError, fmt.Errorf("a report waits: %w", failed))
	}
}

// settle takes a report out of the outbox and tells how that went.
func (a *Agent) settle(ctx context.Context, q Queued, how Step, e Event) error {
	if err := a.state.settle(q, how); err != nil {
		return err
	}
	a.emit(ctx, e)
	return nil
}
