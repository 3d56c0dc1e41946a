package httpapi

import (
	"log/slog"
	"net/http"
	"path"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Door serves mux, but tells its refusals (no such path, wrong method) as
// problem documents. A path with empty, "." or ".." elements is refused with
// 400 rather than redirected: a redirect may lose the method and the body. A
// browser's request that changes something and comes from another site's page
// is refused with 403; with --auth none nothing else would stop it.
func Door(mux *http.ServeMux, log *slog.Logger) http.Handler {
	sites := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !clean(r.URL.EscapedPath()) {
			Refuse(w, r, log, ota.Invalid("path %.80q has empty, \".\" or \"..\" elements", r.URL.Path))
			return
		}
		if err := sites.Check(r); err != nil {
			Refuse(w, r, log, ota.Fail(ota.KindForbidden, "cross_origin", "%v", err))
			return
		}
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := &quiet{header: w.Header()}
		mux.ServeHTTP(refusal, r)
		p := problem(http.StatusNotFound, "missing_entity", "there is nothing at this path")
		if refusal.status == http.StatusMethodNotAllowed {
			p = problem(refusal.status, "method_not_allowed", r.Method+" is not possible here; "+w.Header().Get("Allow")+" is")
		}
		writeJSON(w, p.Status, ProblemType, p)
	})
}

// clean reports whether net/http would serve the path as it is.
func clean(p string) bool {
	return strings.HasPrefix(p, "/") && (path.Clean(p) == p || path.Clean(p)+"/" == p)
}

// quiet keeps what the mux says of a refusal but its text.
type quiet struct {
	header http.Header
	status int
}

func (q *quiet) Header() http.Header         { return q.header }
func (q *quiet) WriteHeader(status int)      { q.status = status }
func (q *quiet) Write(b []byte) (int, error) { return len(b), nil }
