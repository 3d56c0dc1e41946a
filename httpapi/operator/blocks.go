package operator

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

func (a *api) blocks() {
	op := func(id, method string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/device_updates/{uuid}/blocked", Tags: []string{"device updates"}}
	}
	handle(a, op("get-blocked", http.MethodGet), func(ctx context.Context, in *OneDevice) (*body[[]Block], error) {
		d, err := a.fleet.Device(ctx, in.ns(), in.id())
		list := []Block{}
		if b := fromBlock(d.ID, d.Block); b != nil {
			list = append(list, *b)
		}
		return answer(list, err)
	})
	handle(a, op("block", http.MethodPut), func(ctx context.Context, in *OneDevice) (*struct{}, error) {
		return nil, a.fleet.Block(ctx, in.ns(), in.id())
	})
	handle(a, op("unblock", http.MethodDelete), func(ctx context.Context, in *OneDevice) (*struct{}, error) {
		return nil, a.fleet.Unblock(ctx, in.ns(), in.id())
	})
}
