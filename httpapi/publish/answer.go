package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Published answers POST /publish: what was sent, and where it is.
type Published struct {
	ID        string     `json:"publish_id"`
	Version   string     `json:"version"`
	Changed   bool       `json:"changed" doc:"false if all of it was there already"`
	Files     []File     `json:"files" doc:"those that were sent"`
	Manifests []Manifest `json:"manifests,omitempty" doc:"all of the version"`
	Forced    []string   `json:"forced,omitempty" doc:"why it would have been refused"`
}

// File is a stored file.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size" doc:"bytes"`
	SHA256 string `json:"sha256"`
	URL    string `json:"url" doc:"a path if the server does not speak CoAP"`
}

// Manifest is what was found out about one.
type Manifest struct {
	Name     string    `json:"name"`
	Status   string    `json:"status" doc:"for people"`
	SUIT     bool      `json:"suit"`
	Sequence uint64    `json:"sequence_number,omitempty"`
	Signer   string    `json:"signer,omitempty" doc:"fingerprint of a trusted key"`
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is an error, which stops a manifest, or a warning.
type Finding struct {
	Severity string `json:"severity" enum:"error,warning"`
	Code     string `json:"code"`
	Text     string `json:"text"`
}

// Notified answers POST /notify and /notifyv4.
type Notified struct {
	ID      string     `json:"publish_id"`
	Version string     `json:"version"`
	Scheme  ota.Scheme `json:"scheme" enum:"direct,slot,v4"`
	Devices []Told     `json:"devices"`
	Forced  []string   `json:"forced,omitempty" doc:"why it would have been refused"`
}

// Told is what became of telling a device.
type Told struct {
	Device string `json:"device"`
	OK     bool   `json:"ok"`
	URL    string `json:"url,omitempty" doc:"of the manifest it was told of"`
	Slot   *int   `json:"slot,omitempty" doc:"that it said is free, if it was asked"`
	Error  string `json:"error,omitempty" doc:"why it did not take it"`
}

// Removed answers POST /remove.
type Removed struct {
	ID      string `json:"publish_id"`
	Version string `json:"version"`
}

// Remove is what POST /remove takes. Version is a text, or a number as pages
// send it.
type Remove struct {
	ID      string          `json:"publish_id"`
	Version json.RawMessage `json:"version"`
}

// Refused is how failures are told.
type Refused struct {
	httpapi.Problem
	Reasons []string `json:"reasons,omitempty" doc:"why manifests are refused"`
}

func published(f *fleet.Fleet, p fleet.Published) Published {
	out := Published{ID: p.Package.ID.Name, Version: p.Package.ID.Version, Changed: p.Changed, Files: []File{}, Forced: p.Forced}
	for _, a := range p.Files {
		out.Files = append(out.Files, File{a.Name, a.Size, string(a.SHA256), f.FileURL(p.Package.ID.Name, a.Name)})
	}
	for _, m := range p.Manifests {
		told := Manifest{Name: m.Name, Status: m.State(), SUIT: m.SUIT, Sequence: m.Sequence, Signer: m.Signer}
		for _, found := range m.Findings {
			told.Findings = append(told.Findings, Finding{string(found.Severity), found.Code, found.Text})
		}
		out.Manifests = append(out.Manifests, told)
	}
	return out
}

func notified(n fleet.Notified) Notified {
	out := Notified{ID: n.Package.Name, Version: n.Package.Version, Scheme: n.Scheme, Devices: []Told{}, Forced: n.Forced}
	for _, t := range n.Devices {
		d := Told{Device: t.Target, OK: t.Err == nil, URL: t.URL}
		if t.Slot >= 0 {
			d.Slot = &t.Slot
		}
		if t.Err != nil {
			d.Error = t.Err.Error()
		}
		out.Devices = append(out.Devices, d)
	}
	return out
}

// badForm marks a body that is malformed, as opposed to one that says
// something which breaks a rule.
type badForm struct{ error }

func (b badForm) Unwrap() error { return b.error }

// malformed marks what is wrong with a body as such.
func malformed(err error) error {
	if err != nil && ota.KindOf(err) == ota.KindInvalid {
		return badForm{err}
	}
	return err
}

// refuse tells a failure. Where the operators' API says 400, this one says 422
// unless the body itself is malformed (ota-server.md 2).
func (d *door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := Refused{Problem: httpapi.ProblemOf(err)}
	if _, form := errors.AsType[badForm](err); !form && p.Status == http.StatusBadRequest {
		p.Status, p.Title = http.StatusUnprocessableEntity, http.StatusText(http.StatusUnprocessableEntity)
	}
	if refusal, ok := errors.AsType[*fleet.Refusal](err); ok {
		p.Reasons = refusal.Reasons
	}
	if p.Status >= 500 {
		httpapi.Refuse(w, r, d.Log, err)
		return
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	write(w, p.Status, httpapi.ProblemType, p)
}

// write answers with one JSON value that no cache keeps.
func write(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("publish: %T does not marshal: %v", v, err))
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left does not want it
}
