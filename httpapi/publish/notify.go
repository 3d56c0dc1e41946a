package publish

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

func (d *door) notify(w http.ResponseWriter, r *http.Request, ns ota.Namespace) (int, any, error) {
	form, err := readForm(w, r)
	if err != nil {
		return 0, nil, malformed(err)
	}
	scheme, err := ota.ParseScheme(form.Get("scheme"))
	if err != nil {
		return 0, nil, err
	}
	return d.tell(r, ns, form, scheme)
}

func (d *door) notifyV4(w http.ResponseWriter, r *http.Request, ns ota.Namespace) (int, any, error) {
	form, err := readForm(w, r)
	if err != nil {
		return 0, nil, malformed(err)
	}
	return d.tell(r, ns, form, ota.SchemeV4)
}

func (d *door) tell(r *http.Request, ns ota.Namespace, form url.Values, scheme ota.Scheme) (int, any, error) {
	force, err := yes(form.Get("force"))
	if err != nil {
		return 0, nil, err
	}
	n := fleet.Notification{ID: form.Get("publish_id"), Version: form.Get("version"), Scheme: scheme, Force: force}
	for _, list := range form["urls"] {
		n.Targets = append(n.Targets, strings.Split(list, ",")...)
	}
	out, err := d.Fleet.Notify(r.Context(), ns, n)
	return http.StatusAccepted, notified(out), err
}

// readForm reads a short form, in either of the two ways browsers and curl
// send one.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	text, err := httpapi.ReadBody(w, r, maxFields)
	if err != nil {
		return nil, err
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, ota.Invalid("send a form, urlencoded or multipart/form-data: %v", err)
	}
	switch mediaType {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(text))
		if err != nil {
			err = ota.Invalid("the form is malformed: %v", err)
		}
		return form, err
	case "multipart/form-data":
		r.Body = io.NopCloser(bytes.NewReader(text))
		if err := r.ParseMultipartForm(2 * maxFields); err != nil {
			return nil, ota.Invalid("the form is malformed: %v", err)
		}
		return url.Values(r.MultipartForm.Value), nil
	}
	return nil, ota.Invalid("send a form, urlencoded or multipart/form-data, not %s", mediaType)
}
