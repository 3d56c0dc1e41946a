package web

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// maxFields bounds a form without files, in bytes.
const maxFields = 64 << 10

// notified is a form to tell devices of a manifest, and what became of it.
type notified struct {
	Targets string // as they were typed
	Version string
	Scheme  ota.Scheme
	Force   bool
	Wanted  bool // nothing was asked for yet, but the form

	Done    *fleet.Notified
	Problem string
	Reasons []string // if the manifest is refused
}

// failed counts the devices that did not take it.
func (n notified) failed() (count int) {
	for _, d := range n.Done.Devices {
		if d.Err != nil {
			count++
		}
	}
	return count
}

// why tells an operator what a device said.
func why(err error) string { return httpapi.ProblemOf(err).Detail }

// notify tells devices, and shows what each said: the piece of the page that
// tells it to a script, the page with it to a browser without.
func (p *Pages) notify(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	n := notified{Targets: form.Get("urls"), Version: form.Get("version"), Force: form.Get("force") != ""}
	name, status := form.Get("publish_id"), http.StatusOK
	if n.Scheme, err = ota.ParseScheme(form.Get("scheme")); err == nil {
		var done fleet.Notified
		done, err = p.Fleet.Notify(r.Context(), ns, fleet.Notification{
			ID: name, Version: n.Version, Scheme: n.Scheme, Force: n.Force,
			Targets: strings.FieldsFunc(n.Targets, func(c rune) bool { return c == ',' || c == '\n' || c == '\r' || c == ' ' }),
		})
		n.Done = &done
	}
	if err != nil {
		problem := httpapi.ProblemOf(err)
		if problem.Status >= 500 && ota.KindOf(err) != ota.KindUnavailable {
			return err
		}
		status, n.Done, n.Problem, n.Reasons = problem.Status, nil, problem.Detail, reasons(err)
		if len(n.Reasons) > 0 { // which the detail strings together
			n.Problem = "The manifest is refused:"
		}
	}
	if byScript(r) {
		return p.show(w, r, status, notifyResult(n))
	}
	return p.showApp(w, r, ns, status, name, appView{Notified: n})
}

// remove deletes a version; who asks has confirmed it.
func (p *Pages) remove(w http.ResponseWriter, r *http.Request, ns ota.Namespace) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	id := ota.PackageID{Name: form.Get("name"), Version: form.Get("version")}
	err = p.Fleet.RemovePackage(r.Context(), ns, id)
	if ota.KindOf(err) == ota.KindConflict {
		problem := httpapi.ProblemOf(err)
		return p.showApp(w, r, ns, problem.Status, id.Name, appView{Problem: id.String() + " was not deleted: " + problem.Detail})
	}
	if err != nil {
		return err
	}
	left, err := p.Fleet.Packages(r.Context(), ota.PackageFilter{Namespace: ns, Name: id.Name, Limit: 1})
	if err != nil {
		return err
	}
	to := "/"
	if len(left) > 0 {
		to = appURL(id.Name)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// readForm reads a short form as browsers send one without files.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	text, err := httpapi.ReadBody(w, r, maxFields)
	if err != nil {
		return nil, err
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return nil, ota.Invalid("send a form, application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, ota.Invalid("the form is malformed: %v", err)
	}
	return form, nil
}

// reasons are why a manifest is refused, if that is the error.
func reasons(err error) []string {
	if refusal, ok := errors.AsType[*fleet.Refusal](err); ok {
		return refusal.Reasons
	}
	return nil
}
