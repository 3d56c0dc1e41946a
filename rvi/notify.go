package rvi

import "github.com/updraft-ota/updraft/ota"

// maxListed is how many packages a notify or a start may list.
const maxListed = 1000

// Notify offers updates (rvi.md 4.4, 5.1): packages in 2015, one update in 2016;
// both to a device whose dialect is not known (5.6). One without any only tells
// the names of the backend's services.
type Notify struct {
	Services BackendServices
	Packages []OfferedPackage
	Update   *OfferedUpdate
}

// OfferedPackage is a package of a notify of 2015.
type OfferedPackage struct {
	Package ota.PackageID
	Size    int64      // in bytes, of the update as a whole
	SHA256  ota.Digest // optional (rvi.md 6.3)
	Confirm bool       // ours, and optional: the user must agree first
}

// OfferedUpdate is the update of a notify of 2016.
type OfferedUpdate struct {
	Update      ota.UpdateID
	Signature   string
	Description string
	Confirm     bool // the user must agree first
	Size        int64
	Package     ota.PackageID // ours, and optional: what it installs
}

func (Notify) Service() Service { return ServiceNotify }
func (Notify) toDevice()        {}

func readNotify(f fields) DeviceMessage {
	s := f.object("services")
	name := func(service Service) string { return s.text(string(service), maxServiceName) }
	m := Notify{Services: BackendServices{Start: name(ServiceStart), Ack: name(ServiceAck), Report: name(ServiceReport), Packages: name(ServicePackages)}}
	if f.has("update_available") {
		m.Update = readOfferedUpdate(f.object("update_available"))
	}
	if m.Update != nil && !f.has("packages") {
		return m
	}
	f.entries("packages", maxListed, "", func(e fields) {
		m.Packages = append(m.Packages, OfferedPackage{
			Size: e.number("size", maxInteger), Package: e.object("package").packageID(), SHA256: e.digest(),
			Confirm: e.has("request_confirmation") && e.boolean("request_confirmation")})
	})
	return m
}

func readOfferedUpdate(f fields) *OfferedUpdate {
	u := &OfferedUpdate{Update: ota.UpdateID(f.uuid("update_id")), Signature: f.text("signature", maxText),
		Description: f.text("description", maxText), Confirm: f.boolean("request_confirmation"), Size: f.number("size", maxInteger)}
	if f.has("package") {
		u.Package = f.object("package").packageID()
	}
	return u
}

func (m Notify) AppendParams(b []byte) []byte {
	w := params(b)
	w.open("services")
	w.text("start", m.Services.Start)
	w.text("ack", m.Services.Ack)
	w.text("report", m.Services.Report)
	w.text("packages", m.Services.Packages)
	w.close()
	if m.Packages != nil || m.Update == nil {
		w.list("packages", len(m.Packages), func(i int) {
			p := m.Packages[i]
			w.number("size", p.Size)
			w.unit(Unit{Package: p.Package})
			w.maybe("sha256", string(p.SHA256))
			if p.Confirm {
				w.boolean("request_confirmation", true)
			}
		})
	}
	if u := m.Update; u != nil {
		w.open("update_available")
		w.text("update_id", string(u.Update))
		w.text("signature", u.Signature)
		w.text("description", u.Description)
		w.boolean("request_confirmation", u.Confirm)
		w.number("size", u.Size)
		if u.Package != (ota.PackageID{}) {
			w.unit(Unit{Package: u.Package})
		}
		w.close()
	}
	return w.done()
}
