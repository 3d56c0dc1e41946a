package rvi

import (
	"cmp"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Packages is the complete list of what a device has installed (rvi.md 4.4, 5.4).
type Packages struct {
	From     Identity
	Form     Dialect // which of the forms of rvi.md 5.4 it has
	Packages []InstalledPackage
	Firmware []ota.Firmware
}

// InstalledPackage is one of them. All but name and version is of 2016 only,
// and not needed there.
type InstalledPackage struct {
	ota.PackageID
	Label        string // package_id: in general name, "-" and version
	Description  string
	LastModified int64 // Unix seconds; -1 if not told
}

func (Packages) Service() Service   { return ServicePackages }
func (m Packages) Sender() Identity { return m.From }
func (m Packages) Dialect() Dialect { return m.Form }

// Inventory is the list in the server's words. A package whose version the
// device did not tell has its label in place of it.
func (m Packages) Inventory() ota.Inventory {
	inv := ota.Inventory{Firmware: m.Firmware}
	for _, p := range m.Packages {
		id := p.PackageID
		if id.Version == "" {
			id.Version = p.Label
		}
		inv.Packages = append(inv.Packages, ota.Installed{PackageID: id})
	}
	return inv
}

// VersionIn takes the version out of a label, which is the name, "-" and the
// version; "" if it does not begin with the name (rvi.md 5.4).
func VersionIn(label, name string) string {
	rest, ok := strings.CutPrefix(label, name)
	if !ok {
		return ""
	}
	return strings.TrimPrefix(rest, "-")
}

func readPackages(f fields, d Dialect) BackendMessage {
	m := Packages{From: f.sender(d), Form: d}
	if d != Dialect2015 {
		name := "installed_software"
		if !f.has(name) && f.has("installed") {
			name = "installed"
		}
		f = f.object(name)
		f.at = ""
		m.Firmware = f.firmware()
	}
	f.entries("packages", ota.MaxInventory, "package.", func(e fields) {
		p := InstalledPackage{Label: e.maybeText("package_id", maxText), Description: e.maybeText("description", maxText),
			LastModified: e.maybeNumber("last_modified", maxInteger)}
		p.PackageID = ota.PackageID{Name: e.text("name", maxText), Version: e.maybeText("version", maxText)}
		if p.Version == "" && p.Label == "" {
			e.need("version")
		}
		if p.Version == "" {
			p.Version = VersionIn(p.Label, p.Name)
		}
		e.checkInstalled("package name", p.Name)
		e.checkInstalled("package version", cmp.Or(p.Version, p.Label))
		m.Packages = append(m.Packages, p)
	})
	return m
}

// firmware reads the list under either of its names; it may be missing.
func (f fields) firmware() (list []ota.Firmware) {
	name := "firmware"
	if !f.has(name) {
		name = "firmwares"
	}
	if !f.has(name) {
		return nil
	}
	f.entries(name, ota.MaxInventory, "firmware.", func(e fields) {
		at := func(name, other string) string {
			if e.has(name) || !e.has(other) {
				return name
			}
			return other
		}
		fw := ota.Firmware{Module: e.text("module", maxText), ID: e.text(at("firmware_id", "firmwareId"), maxText),
			LastModified: max(e.maybeNumber(at("last_modified", "lastModified"), maxInteger), 0)}
		e.checkInstalled("firmware module", fw.Module)
		e.checkInstalled("firmware id", fw.ID)
		list = append(list, fw)
	})
	return list
}

func (f fields) checkInstalled(what, s string) {
	if err := ota.ValidateInstalled(what, s); err != nil && *f.err == nil {
		f.fail("bad_installed_name", "%s", err.Error())
	}
}

func (m Packages) AppendParams(b []byte) []byte {
	w := params(b)
	if m.Form == Dialect2015 {
		w.list("packages", len(m.Packages), func(i int) { w.packageID(m.Packages[i].PackageID) })
		w.sender(m.From)
		return w.done()
	}
	w.sender(m.From)
	w.open("installed_software")
	w.list("packages", len(m.Packages), func(i int) { m.Packages[i].write(&w) })
	w.list("firmware", len(m.Firmware), func(i int) {
		w.text("module", m.Firmware[i].Module)
		w.text("firmware_id", m.Firmware[i].ID)
		w.number("last_modified", m.Firmware[i].LastModified)
	})
	w.close()
	return w.done()
}

// write writes the server's form with the members of the client's (rvi.md 5.4).
func (p InstalledPackage) write(w *writer) {
	w.packageID(p.PackageID)
	w.maybe("package_id", p.Label)
	if p.Label != "" || p.Description != "" {
		w.text("description", p.Description)
	}
	if p.LastModified >= 0 {
		w.number("last_modified", p.LastModified)
	}
}
