package operator

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// document is a JSON document that travels as it is, byte for byte.
type document struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

type describe struct {
	OneDevice
	RawBody []byte `contentType:"application/json"`
}

func (a *api) systemInfo() {
	op := func(id, method string, status int) huma.Operation {
		op := huma.Operation{
			OperationID: id, Method: method, Path: "/devices/{uuid}/system_info", Tags: []string{"devices"},
			DefaultStatus: status, MaxBodyBytes: fleet.MaxSystemInfo + 1, SkipValidateBody: true,
		}
		anything := map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Description: "any JSON"}}}
		if method == http.MethodGet {
			op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: anything}}
		} else {
			op.RequestBody = &huma.RequestBody{Required: true, Content: anything}
		}
		return op
	}
	handle(a, op("get-system-info", http.MethodGet, 200), a.getSystemInfo)
	handle(a, op("add-system-info", http.MethodPost, 201), a.addSystemInfo)
	handle(a, op("set-system-info", http.MethodPut, 200), a.setSystemInfo)
}

func (a *api) getSystemInfo(ctx context.Context, in *OneDevice) (*document, error) {
	doc, err := a.fleet.SystemInfo(ctx, in.ns(), in.id())
	if doc == nil {
		doc = json.RawMessage("{}")
	}
	return &document{"application/json", doc}, err
}

func (a *api) addSystemInfo(ctx context.Context, in *describe) (*unit, error) {
	if doc, err := a.fleet.SystemInfo(ctx, in.ns(), in.id()); err != nil || doc != nil {
		if err == nil {
			err = ota.Fail(ota.KindConflict, "conflicting_entity", "the device has system information already: replace it by PUT")
		}
		return nil, err
	}
	return a.setSystemInfo(ctx, in)
}

func (a *api) setSystemInfo(ctx context.Context, in *describe) (*unit, error) {
	doc, err := httpapi.ParseSystemInfo(in.RawBody)
	if err != nil {
		return nil, err
	}
	return done(a.fleet.SetSystemInfo(ctx, in.ns(), in.id(), doc))
}
