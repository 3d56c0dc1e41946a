package web

import (
	"net/http"
	"net/url"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// deviceView is a device's page.
type deviceView struct {
	ota.DeviceSummary
	Updates []update
	More    int
	Results map[ota.UpdateID][]ota.StoredResult
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
	view := deviceView{DeviceSummary: summary, Results: map[ota.UpdateID][]ota.StoredResult{}}
	if c := summary.Constrained; c != nil {
		view.VendorID, view.ClassID = fleet.ClassIDs(*c)
	}
	view.Updates, view.More, err = p.updates(r, ns, ota.UpdateFilter{Namespace: ns, Device: id, Limit: maxLooked})
	if err != nil {
		return err
	}
	results, err := p.Fleet.Results(r.Context(), ns, id, "")
	for _, s := range results {
		view.Results[s.Update] = append(view.Results[s.Update], s)
	}
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, devicePage(f, view))
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
	return p.show(w, r, http.StatusOK, manifestPage(p.frame(r, name), id, *m, listing, unread))
}

func deviceURL(id ota.DeviceID) string { return "/device?" + url.Values{"id": {string(id)}}.Encode() }
