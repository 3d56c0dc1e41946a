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
	Choices  []string  // all its versions, the newest first
	Versions []version // those of this page
	Pages    pages
	Notified notified
	Problem  string // why what was asked for was not done
}

// version is one of its versions.
type version struct {
	ota.Package
	Newest  bool
	Files   []file
	Updates updateList // the newest few
}

// notifiable reports whether devices can be told of it.
func (v version) notifiable() bool {
	return slices.ContainsFunc(v.Files, func(x file) bool { _, ok := ota.SchemeOf(x.Name); return ok })
}

// file is one of its files.
type file struct {
	ota.Artifact
	URL      string
	Manifest *fleet.Manifest // nil if it is none
}

// app shows an application; with a version to notify of, the form that does.
func (p *Pages) app(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	q := r.URL.Query()
	wanted := q.Get("notify")
	return p.showApp(w, r, ns, http.StatusOK, q.Get("name"), appView{Notified: notified{Version: wanted, Wanted: wanted != ""}})
}

// showApp shows an application, with what became of what was asked for.
func (p *Pages) showApp(w http.ResponseWriter, r *http.Request, ns ota.Namespace, status int, name string, view appView) error {
	f, err := p.watched(r, name, url.Values{"app": {name}})
	if err != nil {
		return err
	}
	if r.Method != http.MethodGet {
		f.Here = appURL(name)
	}
	newest, err := p.Fleet.Packages(r.Context(), ota.PackageFilter{Namespace: ns, Name: name, Newest: true})
	if err != nil {
		return err
	}
	if name == "" || len(newest) == 0 {
		return p.show(w, r, http.StatusNotFound, appGone(f, name))
	}
	view.Name = name
	from := min(fromOf(r), len(newest))
	until := min(from+maxVersions, len(newest))
	for i, pkg := range newest {
		view.Choices = append(view.Choices, pkg.ID.Version)
		if i < from || i >= until {
			continue
		}
		v, err := p.version(r, ns, pkg)
		if err != nil {
			return err
		}
		v.Newest = i == 0
		view.Versions = append(view.Versions, v)
	}
	view.Pages = paged("versions", from, until-from, maxVersions, len(newest), "/app", url.Values{"name": {name}}, "versions")
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
	v.Updates, err = p.newestUpdates(r, ota.UpdateFilter{Namespace: ns, Package: pkg.ID})
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

func appURL(name string) string { return "/app?" + url.Values{"name": {name}}.Encode() }

// notifyURL is where an application's devices are told of a version.
func notifyURL(id ota.PackageID) string {
	return "/app?" + url.Values{"name": {id.Name}, "notify": {id.Version}}.Encode() + "#notify"
}

func manifestURL(id ota.PackageID, file string) string {
	return "/manifest?" + url.Values{"name": {id.Name}, "version": {id.Version}, "file": {file}}.Encode()
}
