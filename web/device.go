package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// deviceView is a device's page.
type deviceView struct {
	ota.DeviceSummary
	Updates updateList
	// Of a constrained device, as its manifests name them.
	VendorID, ClassID string
}

func (p *Pages) device(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	id := ota.DeviceID(r.URL.Query().Get("id"))
	summary, err := p.Fleet.Device(r.Context(), ns, id)
	if err != nil {
		return err
	}
	f, err := p.watched(r, summary.Name, url.Values{"device": {string(id)}})
	if err != nil {
		return err
	}
	view := deviceView{DeviceSummary: summary}
	if c := summary.Constrained; c != nil {
		view.VendorID, view.ClassID = fleet.ClassIDs(*c)
	}
	view.Updates, err = p.updates(r, ota.UpdateFilter{Namespace: ns, Device: id}, "/device", url.Values{"id": {string(id)}}, maxUpdates)
	if err != nil {
		return err
	}
	for i, u := range view.Updates.Shown {
		if view.Updates.Shown[i].Results, err = p.Fleet.Results(r.Context(), ns, id, u.ID); err != nil && ota.KindOf(err) != ota.KindNotFound {
			return err
		}
	}
	f.Moving = view.Updates.moving()
	return p.show(w, r, http.StatusOK, devicePage(f, view))
}

// findDevice leads to the device of that name, uuid or hardware id.
func (p *Pages) findDevice(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	wanted := strings.TrimSpace(r.URL.Query().Get("find"))
	for _, filter := range []ota.DeviceFilter{{Name: wanted}, {ID: ota.DeviceID(wanted)}, {HardwareID: wanted}} {
		if wanted == "" {
			break // would be all of them
		}
		filter.Namespace, filter.Limit = ns, 1
		list, _, err := p.Fleet.Devices(r.Context(), filter)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			http.Redirect(w, r, deviceURL(list[0].ID), http.StatusSeeOther)
			return nil
		}
	}
	return p.show(w, r, http.StatusNotFound, noDevice(p.frame(r, "No such device"), wanted))
}

// manifest shows one made readable.
func (p *Pages) manifest(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	q := r.URL.Query()
	id, name := ota.PackageID{Name: q.Get("name"), Version: q.Get("version")}, q.Get("file")
	list, err := p.Fleet.ManifestsOf(r.Context(), ns, id)
	if err != nil {
		return err
	}
	m := manifestOf(list, name, nil)
	if m == nil {
		return ota.Fail(ota.KindNotFound, "missing_entity", "%s has no manifest %q", id, name)
	}
	listing, err := p.Fleet.ManifestListing(r.Context(), ns, id, name)
	unread := ota.KindOf(err) == ota.KindInvalid
	if err != nil && !unread {
		return err
	}
	f, err := p.watched(r, name+" of "+id.String(), url.Values{"app": {id.Name}})
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, manifestPage(f, id, *m, listing, unread))
}

func deviceURL(id ota.DeviceID) string { return "/device?" + url.Values{"id": {string(id)}}.Encode() }
