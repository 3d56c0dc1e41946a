package operator

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/httpapi"
)

var problemType = reflect.TypeFor[problem]()

// document writes the OpenAPI document, indented, as it is committed.
func (a *api) document() ([]byte, error) {
	doc, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	return append(doc, '\n'), err
}

// Token is the answer of POST /token (RFC 6749, 5.1).
type Token struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in" doc:"seconds"`
	Scope       string `json:"scope"`
}

// TokenRequest asks for one; client id and secret may come by HTTP Basic
// instead.
type TokenRequest struct {
	GrantType    string `json:"grant_type" enum:"client_credentials"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
}

// TokenRefusal says why there is none (RFC 6749, 5.2).
type TokenRefusal struct {
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
}

// deviceHalf describes what httpapi.DeviceAPI and the token endpoint serve.
// Their handlers read and write by hand, so that their description is too.
func (a *api) deviceHalf() {
	a.describeDevice("list-my-updates", "GET", "/updates", nil, ok(a.schema([]httpapi.PendingUpdate(nil)), "application/json"))
	download := ok(binary, "application/octet-stream")
	download["206"] = &huma.Response{Description: "a range, or several", Content: download["200"].Content}
	download["416"] = a.refusal("the range begins beyond the end")
	get := a.describeDevice("download-my-update", "GET", "/updates/{id}/download", nil, download)
	get.Parameters = append(get.Parameters,
		&huma.Param{Name: "artifact", In: "query", Schema: text(), Description: "which file; the main one unless given"},
		&huma.Param{Name: "Range", In: "header", Schema: text()},
		&huma.Param{Name: "If-Range", In: "header", Schema: text()})
	a.describeDevice("peek-my-update", "HEAD", "/updates/{id}/download", nil, map[string]*huma.Response{"200": {Description: "OK"}})
	a.describeDevice("report-my-update", "POST", "/updates/{id}", a.schema([]httpapi.OperationResult(nil)), noContent())
	list := a.schema([]httpapi.PackageID(nil))
	either := &huma.Schema{OneOf: []*huma.Schema{list, a.schema(httpapi.InstalledSoftware{})}}
	a.describeDevice("set-my-installed", "PUT", "/installed", either, ok(a.schema(Empty{}), "application/json"))
	a.describeDevice("set-my-packages", "PUT", "/packages", either, noContent())
	a.describeDevice("set-my-system-info", "PUT", "/system_info", &huma.Schema{Description: "any JSON"}, ok(a.schema(Empty{}), "application/json"))

	refused := ok(a.schema(TokenRefusal{}), "application/json")["200"]
	refused.Description = "Error"
	answers := ok(a.schema(Token{}), "application/json")
	answers["default"] = refused
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "get-token", Method: "POST", Path: "/token", Tags: []string{"token"}, Security: []map[string][]string{},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/x-www-form-urlencoded": {Schema: a.schema(TokenRequest{})},
		}},
		Responses: answers,
	})
}

func (a *api) describeDevice(id, method, path string, in *huma.Schema, answers map[string]*huma.Response) *huma.Operation {
	op := &huma.Operation{OperationID: id, Method: method, Path: prefix + "/mydevice/{uuid}" + path, Tags: []string{"mydevice"}, Responses: answers}
	for _, name := range []string{"uuid", "id"} {
		if strings.Contains(op.Path, "{"+name+"}") {
			uuid := &huma.Schema{Type: huma.TypeString, Format: "uuid"}
			op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: uuid})
		}
	}
	if in != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: in}}}
	}
	answers["default"] = a.refusal("Error")
	a.huma.OpenAPI().AddOperation(op)
	return op
}

func (a *api) schema(v any) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

func (a *api) refusal(text string) *huma.Response {
	s := a.huma.OpenAPI().Components.Schemas.Schema(problemType, true, "")
	return &huma.Response{Description: text, Content: map[string]*huma.MediaType{httpapi.ProblemType: {Schema: s}}}
}

func ok(s *huma.Schema, mediaType string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{mediaType: {Schema: s}}}}
}

func noContent() map[string]*huma.Response {
	return map[string]*huma.Response{"204": {Description: "No Content"}}
}

func text() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }
