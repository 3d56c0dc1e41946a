package operator

//go:generate go run ./internal/writedoc openapi.json
//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config client/config.yaml openapi.json

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

const prefix = "/api/v1"

// maxJSON bounds what an operator may say in JSON, in bytes.
const maxJSON = 1 << 20

// Options are what the API is made of. All are needed, but for Links and Host.
type Options struct {
	Fleet *fleet.Fleet
	Who   httpapi.Who
	// Links tells which devices are on the line; nil: none ever is.
	Links func() []ota.Link
	// Host names the server in the URLs it hands out, with a port if that is
	// not the listener's. "" hands out paths.
	Host    string
	Version string // of the program
	Log     *slog.Logger
}

// New serves the operators' API at its full paths below /api/v1/, with its
// own description at /api/v1/openapi.json, which everyone may read. It also
// serves GET /api/v1/mydevice/{uuid}, as what a device asks about itself is
// what operators see of it. Every answer names the program's version.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	a := build(mux, o.Fleet, o.Who, o.Log)
	a.links = o.Links
	doc, err := a.document()
	if err != nil {
		panic("operator: " + err.Error()) // a mistake in this package, found by any test
	}
	mux.HandleFunc("GET "+prefix+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		_, _ = w.Write(doc)
	})
	return traced(o.Version, originated(o.Host, httpapi.Door(mux, o.Log)))
}

// Document is the OpenAPI 3.1 document of what operators and devices ask below
// /api/v1, of the token endpoint, and of what room publish serves.
func Document() ([]byte, error) {
	return build(http.NewServeMux(), nil, httpapi.NoAuth, slog.Default()).document()
}

type api struct {
	fleet *fleet.Fleet
	who   httpapi.Who
	links func() []ota.Link
	log   *slog.Logger
	huma  huma.API
}

func build(mux *http.ServeMux, f *fleet.Fleet, who httpapi.Who, log *slog.Logger) *api {
	a := &api{fleet: f, who: who, log: log}
	a.huma = humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Updraft", Version: "1", Description: "Over-the-air updates: what operators and devices may ask of the server."},
			Components: &huma.Components{
				Schemas:         huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}},
			},
			Security: []map[string][]string{{"bearer": {}}},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
	})
	a.huma.UseMiddleware(a.admit)
	a.devices()
	a.constrained()
	a.publicCredentials()
	a.deviceInfo()
	a.survey()
	a.systemInfo()
	a.packages()
	a.updates()
	a.deviceUpdates()
	a.blocks()
	a.online()
	a.deviceHalf()
	a.publishHalf()
	return a
}

// aboutItself marks the operations a device may ask about itself.
const aboutItself = "device"

// admit lets only operators in, and devices where they ask about themselves.
// JSON comes in here too, under the same limits as a device's.
func (a *api) admit(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	acting, err := a.may(r, ctx)
	if err != nil {
		httpapi.Abandon(w, r)
	}
	if op := ctx.Operation(); err == nil && op.RequestBody != nil && op.RequestBody.Content["application/json"] != nil {
		var text []byte
		text, err = httpapi.ReadBody(w, r, op.MaxBodyBytes-1) // huma takes less than its limit
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	if err != nil {
		httpapi.Refuse(w, r, a.logger(r.Context()), err)
		return
	}
	ctx.SetHeader("Cache-Control", "no-store")
	next(huma.WithContext(ctx, acting))
}

// may decides who may ask what, and settles the namespace for Space to read.
// The context says who asks.
func (a *api) may(r *http.Request, ctx huma.Context) (context.Context, error) {
	id, err := a.who(r)
	if err != nil {
		return nil, err
	}
	if err := mayAsk(id, ctx); err != nil {
		return nil, err
	}
	ns, err := id.Within(r)
	r.Header.Set("x-ats-namespace", string(ns))
	return id.Acting(r).Context(), err
}

func mayAsk(id httpapi.Identity, ctx huma.Context) error {
	if _, ok := ctx.Operation().Metadata[aboutItself]; !ok {
		return id.MayOperate()
	}
	device, err := ota.ParseDeviceID(ctx.Param("uuid"))
	if err != nil {
		return err
	}
	return id.MayBe(device)
}

// handle registers an operation whose failures are told by the one table.
func handle[I, O any](a *api, op huma.Operation, serve func(context.Context, *I) (*O, error)) {
	op.Path = prefix + op.Path
	op.BodyReadTimeout = -1 // see admit
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = maxJSON
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := serve(ctx, in)
		if err == nil {
			return out, nil
		}
		p := problem(httpapi.ProblemOf(err))
		if p.Status >= 500 && ctx.Err() == nil {
			a.logger(ctx).Error("request failed", "operation", op.OperationID, "err", err)
		}
		return nil, &p
	})
}

// problem is httpapi.Problem as huma knows errors.
type problem httpapi.Problem

func (p *problem) Error() string             { return p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return httpapi.ProblemType }

func init() {
	// huma's settings are the process's. Nothing but this package uses them.
	huma.DefaultArrayNullable = false
	huma.NewError = invalid
}

// invalid tells what huma itself found wrong: it knows statuses of its own,
// but bad input is 400 invalid_entity on every path here.
func invalid(status int, text string, errs ...error) huma.StatusError {
	var why []string
	for _, err := range errs {
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			why = append(why, d.Location+": "+d.Message) // not the value, which may be long
		} else if err != nil {
			why = append(why, err.Error())
		}
	}
	if len(why) > 0 {
		text += ": " + strings.Join(why, "; ")
	}
	err := error(ota.Invalid("%s", text))
	switch {
	case status == http.StatusRequestEntityTooLarge:
		err = ota.Fail(ota.KindTooLarge, "too_large", "%s", text)
	case status >= 500:
		err = errors.New(text)
	}
	p := problem(httpapi.ProblemOf(err))
	return &p
}

// Space is the namespace a caller speaks of. Its rules are in admit.
type Space struct {
	Namespace string `header:"x-ats-namespace" default:"default" maxLength:"200"`
}

func (s Space) ns() ota.Namespace { return ota.Namespace(s.Namespace) }

// body is an answer's body.
type body[T any] struct{ Body T }

func answer[T any](v T, err error) (*body[T], error) { return &body[T]{v}, err }

// Empty is the answer of what has none, {} (server.md 1.1).
type Empty struct{}

type unit = body[Empty]

func done(err error) (*unit, error) { return &unit{}, err }
