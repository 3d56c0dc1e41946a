package operator

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Package is a package as operators see it (server.md 1.6). Size, sums and
// signature are those of its main file.
type Package struct {
	Namespace     string             `json:"namespace"`
	UUID          string             `json:"uuid" format:"uuid"`
	ID            httpapi.PackageID  `json:"id"`
	URI           URI                `json:"uri"`
	Size          int64              `json:"size"`
	CheckSum      string             `json:"checkSum" doc:"SHA-1, lower-case hex, for old readers"`
	SHA256        string             `json:"sha256" doc:"lower-case hex"`
	Description   string             `json:"description,omitempty"`
	Vendor        string             `json:"vendor,omitempty"`
	Signature     string             `json:"signature,omitempty"`
	CreatedAt     time.Time          `json:"createdAt"`
	IsBlackListed bool               `json:"isBlackListed"`
	Artifacts     []httpapi.Artifact `json:"artifacts,omitempty" doc:"every file, the main one first, if there are several"`
	Forced        []Forced           `json:"forced,omitempty" doc:"what operators insisted on although it was refused, the newest last, at most 20"`
}

// Forced is what an operator insisted on.
type Forced struct {
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty" doc:"who it was, such as operator at 192.0.2.7"`
	Doing   string    `json:"doing" doc:"publish or notify"`
	Reasons []string  `json:"reasons" doc:"what there was against it"`
}

func fromForced(f ota.Forced) Forced {
	return Forced{f.At.UTC(), f.By, f.Doing, each(f.Reasons, func(s string) string { return s })}
}

// Info is what can be changed of a package.
type Info struct {
	Description string `json:"description"`
}

// URI is where a package's bytes are: a path on this server, or a whole URL if
// the server was told its name.
type URI struct {
	URI string `json:"uri" format:"uri-reference"`
}

func fromPackage(ctx context.Context, p ota.Package) Package {
	main := p.Main()
	out := Package{
		Namespace: string(p.Namespace), UUID: p.UUID, ID: httpapi.PackageID(p.ID),
		URI:  URI{absolute(ctx, prefix+"/packages/"+url.PathEscape(p.ID.Name)+"/"+url.PathEscape(p.ID.Version)+"/file")},
		Size: main.Size, CheckSum: main.SHA1, SHA256: string(main.SHA256),
		Description: p.Description, Vendor: p.Vendor, Signature: main.Signature, CreatedAt: p.CreatedAt.UTC(),
	}
	if len(p.Artifacts) > 1 {
		out.Artifacts = each(p.Artifacts, func(a ota.Artifact) httpapi.Artifact {
			return httpapi.Artifact{Name: a.Name, Size: a.Size, SHA256: string(a.SHA256), Signature: a.Signature}
		})
	}
	if len(p.Forced) > 0 {
		out.Forced = each(p.Forced, fromForced)
	}
	return out
}

// OnePackage names a package.
type OnePackage struct {
	Space
	Name    string `path:"name"`
	Version string `path:"version"`
}

func (p OnePackage) id() ota.PackageID { return ota.PackageID{Name: p.Name, Version: p.Version} }

func (a *api) packages() {
	op := func(id, method, path string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/packages" + path, Tags: []string{"packages"}}
	}
	const one = "/{name}/{version}"
	handle(a, op("list-packages", http.MethodGet, ""), a.listPackages)
	handle(a, op("get-package", http.MethodGet, one), a.getPackage)
	handle(a, op("remove-package", http.MethodDelete, one), a.removePackage)
	handle(a, op("describe-package", http.MethodPut, one+"/info"), a.describePackage)
	handle(a, op("list-queued-devices", http.MethodGet, one+"/queued"), a.listQueuedDevices)
	handle(a, op("put-package", http.MethodPut, one), a.putPackage)
	// Said afterwards, or huma would read the form itself.
	a.huma.OpenAPI().Paths[prefix+"/packages"+one].Put.RequestBody = uploadForm
	file := op("get-package-file", http.MethodGet, one+"/file")
	file.Responses = map[string]*huma.Response{
		"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: binary}}},
		"206": {Description: "a range of it", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: binary}}},
		"default": {Description: "Error", Content: map[string]*huma.MediaType{httpapi.ProblemType: {
			Schema: a.huma.OpenAPI().Components.Schemas.Schema(problemType, true, "")}}},
	}
	handle(a, file, a.getFile)
}

var binary = &huma.Schema{Type: huma.TypeString, Format: "binary"}

func (a *api) listPackages(ctx context.Context, in *struct {
	Space
	Page
	Regex string `query:"regex" doc:"pattern (RE2) on name or version"`
}) (*body[[]Package], error) {
	re, err := compile(in.Regex)
	if err != nil {
		return nil, err
	}
	list, err := a.fleet.Packages(ctx, ota.PackageFilter{Namespace: in.ns()})
	list = slices.DeleteFunc(list, func(p ota.Package) bool {
		return !re.MatchString(p.ID.Name) && !re.MatchString(p.ID.Version)
	})
	return answer(each(cut(in.Page, list), func(p ota.Package) Package { return fromPackage(ctx, p) }), err)
}

func (a *api) getPackage(ctx context.Context, in *OnePackage) (*body[Package], error) {
	p, err := a.fleet.Package(ctx, in.ns(), in.id())
	return answer(fromPackage(ctx, p), err)
}

func (a *api) removePackage(ctx context.Context, in *OnePackage) (*struct{}, error) {
	return nil, a.fleet.RemovePackage(ctx, in.ns(), in.id())
}

func (a *api) describePackage(ctx context.Context, in *struct {
	OnePackage
	Body Info
}) (*unit, error) {
	return done(a.fleet.DescribePackage(ctx, in.ns(), in.id(), in.Body.Description))
}

func (a *api) listQueuedDevices(ctx context.Context, in *OnePackage) (*body[[]string], error) {
	if _, err := a.fleet.Package(ctx, in.ns(), in.id()); err != nil {
		return nil, err
	}
	list, err := a.fleet.Updates(ctx, ota.UpdateFilter{Namespace: in.ns(), Package: in.id(), Statuses: []ota.Status{ota.Pending}})
	ids := each(list, func(u ota.Update) string { return string(u.Device) })
	slices.Sort(ids)
	return answer(slices.Compact(ids), err)
}

func (a *api) getFile(ctx context.Context, in *struct {
	OnePackage
	Artifact string `query:"artifact" doc:"which file; the main one unless given"`
}) (*huma.StreamResponse, error) {
	blob, art, err := a.fleet.OpenArtifact(ctx, in.ns(), in.id(), in.Artifact)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer blob.Close()
		r, w := humago.Unwrap(ctx)
		httpapi.ServeContent(w, r, &ota.Content{Body: blob, Size: art.Size, Digest: art.SHA256})
	}}, nil
}
