package operator

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/google/uuid"
)

// traced names program and request on every answer (server.md 1.1). A
// caller's own trace id is kept if it is a UUID: it is nothing but a word for
// the log, so there is no HMAC beside it, as the original has one, and no key
// to keep for that. Whoever repeats an id confuses only their own search.
func traced(version string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.Header.Get("x-ats-traceid"))
		if err != nil {
			id = uuid.New()
		}
		w.Header().Set("x-ats-version", "updraft/"+version)
		w.Header().Set("x-ats-traceid", id.String())
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), traceKey{}, id)))
	})
}

type traceKey struct{}

// logger is the log of one request.
func (a *api) logger(ctx context.Context) *slog.Logger {
	if id, ok := ctx.Value(traceKey{}).(uuid.UUID); ok {
		return a.log.With("trace", id)
	}
	return a.log
}
