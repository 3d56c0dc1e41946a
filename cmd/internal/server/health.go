package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
)

// health answers those who watch over the server: /healthz (the process is
// up), /readyz (it can serve: the store answers and everything listens) and
// /health (server.md 1.12).
type health struct {
	auth      string                          // told by /health, so that a client knows what to expect
	ask       func(ctx context.Context) error // whether the store answers
	listening atomic.Bool
}

// readyPatience is how long the store may take to answer /readyz.
const readyPatience = 2 * time.Second

func (h *health) alive(w http.ResponseWriter, r *http.Request) {
	if reads(w, r) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"OK"}`)
	}
}

func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyPatience)
	defer cancel()
	switch {
	case !reads(w, r):
	case !h.listening.Load():
		tell(w, http.StatusServiceUnavailable, "not_listening", "the server is starting or stopping")
	case h.ask(ctx) != nil:
		tell(w, http.StatusServiceUnavailable, "store_unavailable", "the store does not answer; the server's log has the details")
	default:
		h.alive(w, r)
	}
}

func (h *health) summary(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyPatience)
	defer cancel()
	switch {
	case !reads(w, r):
	case h.ask(ctx) != nil:
		tell(w, http.StatusServiceUnavailable, "store_unavailable", "the store does not answer; the server's log has the details")
	default:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"OK","auth":"`+h.auth+`"}`)
	}
}

// reads refuses methods that do more than read.
func reads(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	tell(w, http.StatusMethodNotAllowed, "method_not_allowed", r.Method+" is not possible here; GET is")
	return false
}

// tell answers with a problem document whose status stands for no kind of
// failure the rooms know; those go through httpapi.Refuse.
func tell(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", httpapi.ProblemType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A client that left does not want it.
	_ = json.NewEncoder(w).Encode(httpapi.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: text, Code: code, Description: text,
	})
}
