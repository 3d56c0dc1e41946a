package web

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/updraft-ota/updraft/ota"
)

// publication is what became of a form with files, as POST /publish tells it.
type publication struct {
	ID      string `json:"publish_id"`
	Version string `json:"version"`
	Changed bool   `json:"changed"`
	Files   []struct {
		Name string `json:"name"`
		Size int64  `json:"size"` // bytes
		URL  string `json:"url"`
	} `json:"files"`
	Manifests []struct {
		Name     string `json:"name"`
		Status   string `json:"status"`
		Findings []struct {
			Severity string `json:"severity"`
			Text     string `json:"text"`
		} `json:"findings"`
	} `json:"manifests"`
	Forced []string `json:"forced"`

	// Of one that failed.
	Detail  string   `json:"detail"`
	Reasons []string `json:"reasons"`
}

// publish passes a form on to POST /publish, which is everyone's, and shows
// what it answers: the piece of the page that tells it to a script, a page to
// a browser without.
func (p *Pages) publish(w http.ResponseWriter, r *http.Request, _ ota.Namespace) error {
	there := *r.URL
	there.Path, there.RawPath = "/publish", ""
	passed := r.WithContext(r.Context())
	passed.URL = &there
	answer := &caught{under: w, status: http.StatusOK, header: http.Header{}}
	p.Publish.ServeHTTP(answer, passed)

	var told publication
	if err := json.Unmarshal(answer.text.Bytes(), &told); err != nil {
		return err
	}
	if end := answer.header.Get("Connection"); end != "" { // see httpapi.Abandon
		w.Header().Set("Connection", end)
	}
	if byScript(r) {
		return p.show(w, r, answer.status, publishResult(told))
	}
	return p.show(w, r, answer.status, publishedPage(p.frame(r, "Publish files"), told))
}

// caught is an answer that is not sent yet.
type caught struct {
	under  http.ResponseWriter
	header http.Header
	status int
	text   bytes.Buffer
}

func (c *caught) Header() http.Header         { return c.header }
func (c *caught) WriteHeader(status int)      { c.status = status }
func (c *caught) Write(b []byte) (int, error) { return c.text.Write(b) }

// Unwrap lets http.ResponseController set deadlines.
func (c *caught) Unwrap() http.ResponseWriter { return c.under }
