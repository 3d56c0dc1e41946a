// Package publish is the HTTP side of the OTA server for constrained devices
// that projects for RIOT publish to (seed 003, ota-server.md 2 and 4). A
// publish id is a package, its files are artifacts; the package translates
// and decides nothing.
//
//	POST /publish        multipart/form-data: publish_id, optional version and force, files
//	POST /notify         form: publish_id, urls, optional version, scheme and force
//	POST /notifyv4       the same, with the scheme v4
//	POST /remove         {"publish_id", "version"}
//	GET  /coap/url/{id}  where devices will find the files of a publish id
//
// With curl, and "-H 'Authorization: Bearer TOKEN'" unless the server runs
// with --auth none:
//
//	curl -F publish_id=app -F file1=@slot0.bin -F file2=@slot1.bin http://localhost:8080/publish
//	curl -F publish_id=app -F manifest=@manifest.bin http://localhost:8080/publish
//	curl -d publish_id=app -d 'urls=[fd00::1]/url,[fd00::2]/url' http://localhost:8080/notify
//
// # Where it differs from the original
//
//	everywhere       bearer token on every POST; failures are problem documents (RFC 9457), also with
//	                 reasons, a list, where there are several; input that breaks a rule is 422, a body
//	                 that is malformed 400
//	/publish         answers 201 and what was stored; fields may come in any order; a part is a file if
//	                 it has a file name, another field than those above is 422; the same name twice
//	                 with other bytes is 422, not only the first stored; nothing is visible before all
//	                 of it is, nor ever replaced in the middle of a transfer
//	/notify          answers 202 and what became of each device, side by side; the scheme is chosen by
//	                 what is stored; the publish id is cleaned here as well; multicast is refused
//	/notifyv4        version may be left out, and is latest then
//	/remove          the version exactly, not every name that contains it; 404 if there is none; 409
//	                 while updates to it have not ended
//	/coap/url        takes a publish id with slashes, and cleans it; it need not exist, as builds ask
//	                 for the URL first
package publish

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Options are what the door is made of. All are needed.
type Options struct {
	Fleet *fleet.Fleet
	Who   httpapi.Who
	Log   *slog.Logger
}

// Serves reports whether New's handler is for requests with that path.
func Serves(path string) bool {
	switch path {
	case "/publish", "/notify", "/notifyv4", "/remove":
		return true
	}
	return strings.HasPrefix(path, coapURLPath)
}

// New serves the paths above.
func New(o Options) http.Handler {
	d := &door{o}
	mux := http.NewServeMux()
	for pattern, serve := range d.routes() {
		mux.HandleFunc(pattern, serve)
	}
	return d.refuseBadIDs(httpapi.Door(mux, o.Log))
}

func (d *door) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST /publish":                  d.operators(d.publish),
		"POST /notify":                   d.operators(d.notify),
		"POST /notifyv4":                 d.operators(d.notifyV4),
		"POST /remove":                   d.operators(d.remove),
		"GET " + coapURLPath + "{id...}": d.coapURL,
	}
}

// Routes lists the patterns New serves, sorted.
func Routes() []string { return slices.Sorted(maps.Keys(new(door).routes())) }

// coapURLPath begins the paths that end in a publish id.
const coapURLPath = "/coap/url/"

// refuseBadIDs looks at the publish ids in paths before anything else does: a
// path that is not clean is one with a bad id, and answered as such.
func (d *door) refuseBadIDs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := strings.CutPrefix(r.URL.Path, coapURLPath); ok && r.Method == http.MethodGet {
			if _, err := ota.CleanPublishID(id); err != nil {
				d.refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

type door struct{ Options }

// operators lets only them in, and tells what comes of what they ask.
func (d *door) operators(serve func(w http.ResponseWriter, r *http.Request, ns ota.Namespace) (status int, answer any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r, ns, err := d.Who.Operator(r)
		status, answer := 0, any(nil)
		if err == nil {
			status, answer, err = serve(w, r, ns)
		}
		if err != nil {
			httpapi.Abandon(w, r)
			d.refuse(w, r, err)
			return
		}
		write(w, status, "application/json", answer)
	}
}

func (d *door) remove(w http.ResponseWriter, r *http.Request, ns ota.Namespace) (int, any, error) {
	text, err := httpapi.ReadBody(w, r, maxFields)
	if err != nil {
		return 0, nil, malformed(err)
	}
	var in Remove
	if err := json.Unmarshal(text, &in); err != nil {
		return 0, nil, malformed(ota.Invalid("expected {\"publish_id\", \"version\"}: %v", err))
	}
	version, err := versionText(in.Version)
	if err != nil {
		return 0, nil, err
	}
	if err := d.Fleet.Unpublish(r.Context(), ns, in.ID, version); err != nil {
		return 0, nil, err
	}
	id, err := ota.CleanPublishID(in.ID)
	return http.StatusOK, Removed{id, version}, err
}

// versionText reads a version that is a string, or a number as pages send it.
func versionText(raw json.RawMessage) (string, error) {
	var text string
	var number json.Number
	if json.Unmarshal(raw, &text) == nil && string(raw) != "null" {
		return text, nil
	}
	if json.Unmarshal(raw, &number) == nil && number != "" {
		return number.String(), nil
	}
	return "", ota.Invalid("version must be a text or a number")
}

func (d *door) coapURL(w http.ResponseWriter, r *http.Request) {
	id, err := ota.CleanPublishID(r.PathValue("id"))
	if err == nil && d.Fleet.CoAPRoot() == "" {
		err = ota.Fail(ota.KindUnavailable, "no_coap", "this server does not speak CoAP")
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, strings.TrimSuffix(d.Fleet.FileURL(id, ""), "/"))
}
