package operator

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/ota"
)

// DeviceInfo is a device as Core told it, whose other half was the registry
// (server.md 1.4, last point).
type DeviceInfo struct {
	Namespace   string     `json:"namespace"`
	UUID        string     `json:"uuid" format:"uuid"`
	DeviceName  string     `json:"deviceName"`
	DeviceID    string     `json:"deviceId,omitempty"`
	DeviceType  string     `json:"deviceType" enum:"Vehicle,Other"`
	LastSeen    *time.Time `json:"lastSeen,omitempty"`
	CreatedAt   time.Time  `json:"createdAt"`
	ActivatedAt *time.Time `json:"activatedAt,omitempty"`
	Status      string     `json:"status,omitempty" doc:"only if asked for; as deviceStatus of a device"`
}

func fromDeviceInfo(d Device, status bool) DeviceInfo {
	if !status {
		d.DeviceStatus = ""
	}
	return DeviceInfo{d.Namespace, d.UUID, d.DeviceName, d.DeviceID, d.DeviceType, d.LastSeen, d.CreatedAt, d.ActivatedAt, d.DeviceStatus}
}

// WithStatus asks for the status too.
type WithStatus struct {
	Status bool `query:"status"`
}

func (a *api) deviceInfo() {
	tags := []string{"devices"}
	handle(a, huma.Operation{OperationID: "list-devices-info", Method: http.MethodGet, Path: "/devices_info", Tags: tags}, a.listDevicesInfo)
	handle(a, huma.Operation{OperationID: "get-device-info", Method: http.MethodGet, Path: "/devices_info/{uuid}", Tags: tags}, func(ctx context.Context, in *struct {
		OneDevice
		WithStatus
	}) (*body[DeviceInfo], error) {
		s, err := a.fleet.Device(ctx, in.ns(), in.id())
		return answer(fromDeviceInfo(fromDevice(s), in.Status), err)
	})
}

func (a *api) listDevicesInfo(ctx context.Context, in *struct {
	Space
	WithStatus
	Regex string `query:"regex" doc:"pattern (RE2) on deviceName"`
}) (*body[[]DeviceInfo], error) {
	list, err := a.searchDevices(ctx, ota.DeviceFilter{Namespace: in.ns()}, in.Regex)
	return answer(each(list, func(s ota.DeviceSummary) DeviceInfo { return fromDeviceInfo(fromDevice(s), in.Status) }), err)
}

// searchDevices lists the devices whose name matches a pattern.
func (a *api) searchDevices(ctx context.Context, f ota.DeviceFilter, pattern string) ([]ota.DeviceSummary, error) {
	re, err := compile(pattern)
	if err != nil {
		return nil, err
	}
	list, _, err := a.fleet.Devices(ctx, f)
	return slices.DeleteFunc(list, func(s ota.DeviceSummary) bool { return !re.MatchString(s.Name) }), err
}
