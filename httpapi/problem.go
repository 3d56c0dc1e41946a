package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"unicode/utf8"

	"github.com/updraft-ota/updraft/ota"
)

// Problem is how every failure is told: a problem document (RFC 9457) that
// also carries the original's code and description (server.md 1.1).
type Problem struct {
	Type        string `json:"type" doc:"about:blank; code tells more"`
	Title       string `json:"title" doc:"the status in words"`
	Status      int    `json:"status"`
	Detail      string `json:"detail" doc:"what was wrong and what to do"`
	Code        string `json:"code" doc:"machine-readable cause, such as missing_package"`
	Description string `json:"description" doc:"the same as detail"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// statuses is the one table between kinds of failure and HTTP. The first kind
// of a status is what a client takes it for.
var statuses = []struct {
	kind   ota.Kind
	status int
}{
	{ota.KindInvalid, http.StatusBadRequest},
	{ota.KindUnauthenticated, http.StatusUnauthorized},
	{ota.KindForbidden, http.StatusForbidden},
	{ota.KindNotFound, http.StatusNotFound},
	{ota.KindConflict, http.StatusConflict},
	{ota.KindTooLarge, http.StatusRequestEntityTooLarge},
	{ota.KindLocked, http.StatusLocked},
	{ota.KindTooMany, http.StatusTooManyRequests},
	{ota.KindInternal, http.StatusInternalServerError},
	{ota.KindCorrupt, http.StatusInternalServerError},
	{ota.KindUnavailable, http.StatusServiceUnavailable},
	{ota.KindUnreachable, http.StatusServiceUnavailable},
	{ota.KindNoSpace, http.StatusInsufficientStorage},
}

// StatusOf returns the HTTP status of a kind.
func StatusOf(kind ota.Kind) int {
	for _, row := range statuses {
		if row.kind == kind {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// kindOf is the inverse, for the client: code settles what the status leaves
// open, and statuses outside the table are sorted by who is to blame.
func kindOf(status int, code string) ota.Kind {
	if status == http.StatusInternalServerError && code == "corrupt_blob" {
		return ota.KindCorrupt
	}
	for _, row := range statuses {
		if row.status == status {
			return row.kind
		}
	}
	switch {
	case status == http.StatusGone:
		return ota.KindConflict
	case status == http.StatusRequestTimeout || status >= 500:
		return ota.KindUnavailable
	}
	return ota.KindInvalid
}

// ProblemOf tells an error to the outside. Of internal errors, and of any
// error's cause, nothing is told.
func ProblemOf(err error) Problem {
	kind, code, text := ota.KindInternal, "internal_error", "something went wrong on the server; its log has the details"
	if e, ok := errors.AsType[*ota.Error](err); ok && e.Kind != ota.KindInternal {
		kind, code, text = e.Kind, e.Code, e.Text
	}
	return problem(StatusOf(kind), code, text)
}

func problem(status int, code, text string) Problem {
	return Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: text, Code: code, Description: text,
	}
}

// Refuse answers a request with an error. Faults of ours are logged here,
// where they stop; those of the caller are the caller's to know.
func Refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	p := ProblemOf(err)
	if p.Status >= 500 && r.Context().Err() == nil {
		log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, p.Status, ProblemType, p)
}

// writeJSON answers with one JSON value that no cache keeps.
func writeJSON(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("httpapi: %T does not marshal: %v", v, err))
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left does not want it
}

// errorFrom reads an unsuccessful answer as an error, in the words of
// client.md 2.10. An answer without a machine-readable code gets "http_NNN".
func errorFrom(status int, body []byte) *ota.Error {
	var told struct {
		Code  string `json:"code"`
		OAuth string `json:"error"` // RFC 6749, 5.2
	}
	_ = json.Unmarshal(body, &told) // what is not JSON has no code
	e := ota.Fail(kindOf(status, told.Code), told.Code, "Response Code: %d %s", status, http.StatusText(status))
	if told.OAuth == "invalid_client" {
		e.Kind, e.Code = ota.KindUnauthenticated, told.OAuth
	}
	if e.Code == "" {
		e.Code = fmt.Sprintf("http_%d", status)
	}
	switch {
	case len(body) == 0:
	case utf8.Valid(body):
		e.Text += ", Body:\n" + string(body)
	default:
		e.Text += fmt.Sprintf(", Body: %d bytes", len(body))
	}
	return e
}
