package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// maxVersions bounds the versions that a page shows with their files.
const maxVersions = 20

// appView is an application's page.
type appView struct {
	Name     string
	Versions []version
	More     int // older versions that are not shown
	Notified notified
}

// version is one of its versions.
type version struct {
	ota.Package
	Newest  bool
	Files   []file
	Updates []update
	More    int // updates that are not shown
}

// file is one of its files.
type file struct {
	ota.Artifact
	URL      string
	Manifest *fleet.Manifest // nil if it is none
}

// update is an update to it, with its device's name.
type update struct {
	ota.Update
	Name string
}

func (p *Pages) app(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	return p.showApp(w, r, ns, http.StatusOK, r.URL.Query().Get("name"), notified{})
}

// showApp shows an application, with what became of telling devices of it.
func (p *Pages) showApp(w http.ResponseWriter, r *http.Request, ns ota.Namespace, status int, name string, n notified) error {
	f, err := p.watched(r, name, url.Values{"app": {name}})
	if err != nil {
		return err
	}
	f.Here = appURL(name)
	newest, err := p.Fleet.Packages(r.Context(), ota.PackageFilter{Namespace: ns, Name: name, Newest: true})
	if err != nil {
		return err
	}
	if name == "" || len(newest) == 0 {
		return p.show(w, r, http.StatusNotFound, appGone(f, name))
	}
	view := appView{Name: name, More: max(0, len(newest)-maxVersions), Notified: n}
	for i, pkg := range newest[:len(newest)-view.More] {
		v, err := p.version(r, ns, pkg)
		if err != nil {
			return err
		}
		v.Newest = i == 0
		view.Versions = append(view.Versions, v)
	}
	return p.show(w, r, status, appPage(f, view))
}

// version looks up what there is to say of a version.
func (p *Pages) version(r *http.Request, ns ota.Namespace, pkg ota.Package) (version, error) {
	v := version{Package: pkg}
	manifests, err := p.Fleet.ManifestsOf(r.Context(), ns, pkg.ID)
	if err != nil && ota.KindOf(err) != ota.KindCorrupt && ota.KindOf(err) != ota.KindNotFound {
		return v, err
	}
	for _, a := range pkg.Artifacts {
		v.Files = append(v.Files, file{Artifact: a, URL: p.Fleet.FileURL(pkg.ID.Name, a.Name), Manifest: manifestOf(manifests, a.Name, err)})
	}
	v.Updates, v.More, err = p.updates(r, ns, ota.UpdateFilter{Namespace: ns, Package: pkg.ID, Limit: maxLooked})
	return v, err
}

// manifestOf finds what is known of a file, which is that it cannot be read if
// nothing could be looked at.
func manifestOf(list []fleet.Manifest, name string, err error) *fleet.Manifest {
	if i := slices.IndexFunc(list, func(m fleet.Manifest) bool { return m.Name == name }); i >= 0 {
		return &list[i]
	}
	if _, named := ota.SchemeOf(name); named && err != nil {
		return &fleet.Manifest{Name: name, Findings: []suit.Finding{{Severity: suit.SeverityError, Code: ota.CodeOf(err), Text: "its bytes are damaged: publish it again"}}}
	}
	return nil
}

// How many updates a list shows, and of how many it finds the newest.
const (
	maxUpdates = 50
	maxLooked  = 1000
)

// updates lists updates with their devices' names, the newest first.
func (p *Pages) updates(r *http.Request, ns ota.Namespace, filter ota.UpdateFilter) (list []update, more int, err error) {
	found, err := p.Fleet.Updates(r.Context(), filter)
	if err != nil {
		return nil, 0, err
	}
	ids := make([]ota.DeviceID, len(found))
	for i, u := range found {
		ids[i] = u.Device
	}
	names, err := p.Fleet.Names(r.Context(), ns, ids)
	for _, u := range slices.Backward(found) {
		list = append(list, update{u, names[u.Device]})
	}
	if more = len(list) - maxUpdates; more > 0 {
		return list[:maxUpdates], more, err
	}
	return list, 0, err
}

func appURL(name string) string { return "/app?" + url.Values{"name": {name}}.Encode() }

func manifestURL(id ota.PackageID, file string) string {
	return "/manifest?" + url.Values{"name": {id.Name}, "version": {id.Version}, "file": {file}}.Encode()
}
