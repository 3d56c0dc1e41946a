package operator

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/publish"
)

// publishHalf describes what room publish serves, by hand as its forms are
// read.
func (a *api) publishHalf() {
	set := func(s *huma.Schema) *huma.Schema { s.Type = huma.TypeObject; return s }
	id := &huma.Schema{Type: huma.TypeString, Description: "names the set of files, such as board/app; / and \\ become _"}
	force := &huma.Schema{Type: huma.TypeString, Enum: []any{"true", "false"}, Description: "insist on a manifest that is refused; it is noted"}
	upload := set(&huma.Schema{
		Properties: map[string]*huma.Schema{
			"publish_id": id, "force": force,
			"version":  {Type: huma.TypeString, Description: "of the files; that of RIOT's file names, or the next revision, unless given"},
			"manifest": binary,
			"files":    {Type: huma.TypeArray, Items: binary, Description: "files that are stored under their file names"},
		},
		AdditionalProperties: binary, // each is stored under the base name of its field's name
		Required:             []string{"publish_id"},
	})
	form := func(more map[string]*huma.Schema) map[string]*huma.MediaType {
		fields := map[string]*huma.Schema{
			"publish_id": id, "force": force,
			"urls":    {Type: huma.TypeString, Description: "devices, comma separated: an address, with a port and a path if need be, and no scheme, such as [fd00::1]:5683/url"},
			"version": {Type: huma.TypeString, Description: "whose manifest; latest unless given"},
		}
		for name, s := range more {
			fields[name] = s
		}
		s := set(&huma.Schema{Properties: fields, Required: []string{"publish_id", "urls"}})
		return map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: s}, "multipart/form-data": {Schema: s}}
	}
	scheme := &huma.Schema{Type: huma.TypeString, Enum: []any{"auto", "direct", "slot", "v4"}, Default: "auto", Description: "how devices are told; auto: by what is stored"}
	remove := set(&huma.Schema{
		Properties: map[string]*huma.Schema{"publish_id": id, "version": {OneOf: []*huma.Schema{text(), {Type: huma.TypeNumber}}}},
		Required:   []string{"publish_id", "version"},
	})

	a.describePublish("publish-files", "/publish", map[string]*huma.MediaType{"multipart/form-data": {Schema: upload}}, "201", publish.Published{})
	a.describePublish("notify-devices", "/notify", form(map[string]*huma.Schema{"scheme": scheme}), "202", publish.Notified{})
	a.describePublish("notify-devices-v4", "/notifyv4", form(nil), "202", publish.Notified{})
	a.describePublish("remove-version", "/remove", map[string]*huma.MediaType{"application/json": {Schema: remove}}, "200", publish.Removed{})
	where := ok(text(), "text/plain")
	where["default"] = a.publishRefusal()
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "get-coap-url", Method: "GET", Path: "/coap/url/{id}", Tags: []string{publishTag}, Security: []map[string][]string{},
		Summary:    "Where devices find the files of a publish id",
		Parameters: []*huma.Param{{Name: "id", In: "path", Required: true, Schema: id}},
		Responses:  where,
	})
}

// publishTag marks operations of room publish, which the generated client has
// none of: an upload is sent as it is read.
const publishTag = "publish"

func (a *api) describePublish(id, path string, in map[string]*huma.MediaType, status string, answer any) {
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: id, Method: "POST", Path: path, Tags: []string{publishTag},
		RequestBody: &huma.RequestBody{Required: true, Content: in},
		Responses: map[string]*huma.Response{
			status:    {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: a.schema(answer)}}},
			"default": a.publishRefusal(),
		},
	})
}

func (a *api) publishRefusal() *huma.Response {
	s := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[publish.Refused](), true, "")
	return &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{httpapi.ProblemType: {Schema: s}}}
}
