package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// maxForm is how large a token request may be, in bytes.
const maxForm = 16 << 10

// Answer is what a device gets for its credentials (RFC 6749, 5.1).
type Answer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in" doc:"seconds"`
	Scope       string `json:"scope"`
}

// Refusal is why it gets none (RFC 6749, 5.2).
type Refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`

	status int
	retry  time.Duration
}

// Endpoint serves POST /token: the client-credentials grant, with client id
// and secret by HTTP Basic or in the form, but not both.
func (i *Issuer) Endpoint(log *slog.Logger) http.Handler {
	e := &endpoint{issuer: i, log: log}
	mux := http.NewServeMux()
	mux.Handle("POST /token", e)
	return httpapi.Door(mux, log)
}

type endpoint struct {
	issuer             *Issuer
	log                *slog.Logger
	clients, addresses limiter
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	answer, refusal := e.grant(w, r)
	if refusal == nil {
		write(w, http.StatusOK, answer)
		return
	}
	switch refusal.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="updraft"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", fmt.Sprint(math.Ceil(refusal.retry.Seconds())))
	}
	write(w, refusal.status, refusal)
}

// grant looks at the credentials before the limits: what others do wrong, from
// the same address or under the same client id, must not keep out the device
// that knows its secret. Secrets have more than 256 bits, so the limits are
// there against haste, not against guessing.
func (e *endpoint) grant(w http.ResponseWriter, r *http.Request) (*Answer, *Refusal) {
	clientID, secret, refusal := credentials(w, r)
	if refusal != nil {
		return nil, refusal
	}
	c, err := e.issuer.Accounts.Authenticate(r.Context(), clientID, secret)
	switch {
	case err == nil:
		refusal = e.clients.take(clientID, e.issuer.Now())
	case ota.KindOf(err) == ota.KindUnauthenticated:
		if refusal = e.addresses.take(source(r), e.issuer.Now()); refusal == nil {
			refusal = &Refusal{"invalid_client", "unknown client id or wrong secret", http.StatusUnauthorized, 0}
		}
	}
	if refusal != nil {
		return nil, refusal
	}
	var token string
	if err == nil {
		token, err = e.issuer.Issue(c)
	}
	if err != nil {
		if r.Context().Err() == nil {
			e.log.Error("token not issued", "err", err)
		}
		return nil, &Refusal{"server_error", "something went wrong on the server; its log has the details", http.StatusInternalServerError, 0}
	}
	return &Answer{token, "bearer", int(e.issuer.TTL.Seconds()), scopes(c.Device)}, nil
}

// credentials reads the request.
func credentials(w http.ResponseWriter, r *http.Request) (clientID, secret string, refusal *Refusal) {
	form, refusal := readForm(w, r)
	if refusal != nil {
		return "", "", refusal
	}
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return "", "", badRequest("invalid_request", "grant_type is missing")
	case grant != "client_credentials":
		return "", "", badRequest("unsupported_grant_type", "only client_credentials is supported")
	}
	clientID, secret, basic := r.BasicAuth()
	switch {
	case basic && form.Has("client_secret"):
		return "", "", badRequest("invalid_request", "credentials twice: in the header and in the form")
	case !basic:
		clientID, secret = form.Get("client_id"), form.Get("client_secret")
	}
	if clientID == "" || secret == "" {
		return "", "", &Refusal{"invalid_client", "client id and secret are needed, by HTTP Basic or in the form", http.StatusUnauthorized, 0}
	}
	return clientID, secret, nil
}

func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *Refusal) {
	// Writers without deadlines leave the limit of time to the server.
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Now().Add(10 * time.Second))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	_ = ctl.SetReadDeadline(time.Time{}) // or it would look as if the client had gone
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &Refusal{"invalid_request", "the request is too large", http.StatusRequestEntityTooLarge, 0}
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, badRequest("invalid_request", "send a form, application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["grant_type"]) > 1 || len(form["client_id"]) > 1 || len(form["client_secret"]) > 1 {
		return nil, badRequest("invalid_request", "the form is malformed or repeats a field")
	}
	return form, nil
}

func badRequest(code, text string) *Refusal {
	return &Refusal{code, text, http.StatusBadRequest, 0}
}

func write(w http.ResponseWriter, status int, v any) {
	body, _ := json.Marshal(v) // plain strings and numbers always marshal
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
