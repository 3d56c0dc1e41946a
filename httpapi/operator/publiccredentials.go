package operator

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// PublicCredentials are what a device proves itself with elsewhere, such as a
// public key. Nothing here reads them.
type PublicCredentials struct {
	UUID        string `json:"uuid" format:"uuid"`
	Credentials string `json:"credentials"`
}

func (a *api) publicCredentials() {
	tags := []string{"devices"}
	handle(a, huma.Operation{OperationID: "put-device", Method: http.MethodPut, Path: "/devices", Tags: tags,
		Summary: "Set the public credentials of the device with this deviceId, which is registered if there is none"}, a.putDevice)
	handle(a, huma.Operation{OperationID: "get-public-credentials", Method: http.MethodGet, Path: "/devices/{uuid}/public_credentials", Tags: tags},
		func(ctx context.Context, in *OneDevice) (*body[PublicCredentials], error) {
			text, err := a.fleet.PublicCredentials(ctx, in.ns(), in.id())
			return answer(PublicCredentials{string(in.id()), text}, err)
		})
}

func (a *api) putDevice(ctx context.Context, in *struct {
	Space
	Body DeviceT
}) (*body[string], error) {
	id, err := a.fleet.PutPublicCredentials(ctx, in.ns(), in.Body.device())
	return answer(string(id), err)
}
