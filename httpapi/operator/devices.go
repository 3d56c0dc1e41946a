package operator

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Device is a device as operators see it (server.md 1.4).
type Device struct {
	Namespace     string     `json:"namespace"`
	UUID          string     `json:"uuid" format:"uuid"`
	DeviceName    string     `json:"deviceName"`
	DeviceID      string     `json:"deviceId,omitempty" doc:"the maker's id, such as a VIN"`
	DeviceType    string     `json:"deviceType" enum:"Vehicle,Other"`
	LastSeen      *time.Time `json:"lastSeen,omitempty"`
	CreatedAt     time.Time  `json:"createdAt"`
	ActivatedAt   *time.Time `json:"activatedAt,omitempty" doc:"first time seen"`
	DeviceStatus  string     `json:"deviceStatus" enum:"NotSeen,UpToDate,Outdated,Error"`
	ActiveUpdates int        `json:"activeUpdates" doc:"updates that have not ended"`
	Blocked       *Block     `json:"blocked,omitempty" doc:"present while pending updates are held back"`

	Constrained *Constrained `json:"constrained,omitempty" doc:"present for a microcontroller that speaks CoAP"`
}

// Block says why a device's pending updates are held back.
type Block struct {
	ID        string    `json:"id" format:"uuid" doc:"of the device"`
	BlockedAt time.Time `json:"blockedAt"`
	UpdateID  string    `json:"updateId,omitempty" doc:"the failed update, unless an operator blocked"`
	Reason    string    `json:"reason"`
}

// DeviceT is what an operator says of a device.
type DeviceT struct {
	UUID        string `json:"uuid,omitempty" format:"uuid" doc:"of a new device; chosen by the server unless given"`
	DeviceName  string `json:"deviceName" doc:"unique in its namespace"`
	DeviceID    string `json:"deviceId,omitempty" doc:"the maker's id, such as a VIN; unique in its namespace"`
	DeviceType  string `json:"deviceType,omitempty" enum:"Vehicle,Other" default:"Vehicle"`
	Credentials string `json:"credentials,omitempty" doc:"public ones, any text of at most 64 KiB; kept as they are unless given"`
}

// Credentials prove a device's identity at POST /token.
type Credentials struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret" doc:"told this once"`
}

// InstalledPackage is one package of what a device last reported.
type InstalledPackage struct {
	Device       string            `json:"device" format:"uuid"`
	PackageID    httpapi.PackageID `json:"packageId"`
	LastModified time.Time         `json:"lastModified" doc:"when the list was reported"`
}

func fromDevice(s ota.DeviceSummary) Device {
	return Device{
		Namespace: string(s.Namespace), UUID: string(s.ID), DeviceName: s.Name, DeviceID: s.HardwareID, DeviceType: s.Type,
		LastSeen: moment(s.LastSeen), CreatedAt: s.CreatedAt.UTC(), ActivatedAt: moment(s.ActivatedAt),
		DeviceStatus: string(s.Status), ActiveUpdates: s.Active, Blocked: fromBlock(s.ID, s.Block),
		Constrained: fromConstrained(s.Constrained),
	}
}

func fromBlock(id ota.DeviceID, b ota.Block) *Block {
	if !b.Blocked() {
		return nil
	}
	return &Block{string(id), b.Since.UTC(), string(b.Update), b.Reason}
}

// OneDevice names a device.
type OneDevice struct {
	Space
	UUID string `path:"uuid" format:"uuid"`
}

// id needs no error: the format was checked.
func (o OneDevice) id() ota.DeviceID {
	id, _ := ota.ParseDeviceID(o.UUID)
	return id
}

func (a *api) devices() {
	tags := []string{"devices"}
	handle(a, huma.Operation{OperationID: "list-devices", Method: http.MethodGet, Path: "/devices", Tags: tags}, a.listDevices)
	handle(a, huma.Operation{OperationID: "add-device", Method: http.MethodPost, Path: "/devices", Tags: tags, DefaultStatus: 201}, a.addDevice)
	handle(a, huma.Operation{OperationID: "get-device", Method: http.MethodGet, Path: "/devices/{uuid}", Tags: tags}, a.getDevice)
	handle(a, huma.Operation{OperationID: "get-my-device", Method: http.MethodGet, Path: "/mydevice/{uuid}", Tags: []string{"mydevice"},
		Metadata: map[string]any{aboutItself: true}}, a.getDevice)
	handle(a, huma.Operation{OperationID: "change-device", Method: http.MethodPut, Path: "/devices/{uuid}", Tags: tags}, a.changeDevice)
	handle(a, huma.Operation{OperationID: "remove-device", Method: http.MethodDelete, Path: "/devices/{uuid}", Tags: tags},
		func(ctx context.Context, in *OneDevice) (*unit, error) {
			return done(a.fleet.RemoveDevice(ctx, in.ns(), in.id()))
		})
	handle(a, huma.Operation{OperationID: "renew-credentials", Method: http.MethodPost, Path: "/devices/{uuid}/credentials", Tags: tags,
		DefaultStatus: 201, Summary: "Give a device new credentials; the old ones and their tokens end"}, a.renewCredentials)
	handle(a, huma.Operation{OperationID: "list-device-packages", Method: http.MethodGet, Path: "/devices/{uuid}/packages", Tags: tags}, a.listInstalled)
}

func (a *api) listDevices(ctx context.Context, in *struct {
	Space
	Page
	Regex    string `query:"regex" doc:"pattern (RE2) on deviceName"`
	DeviceID string `query:"deviceId" doc:"exact"`
}) (*body[[]Device], error) {
	if in.Regex != "" && in.DeviceID != "" {
		return nil, ota.Invalid("give regex or deviceId, not both")
	}
	list, err := a.searchDevices(ctx, ota.DeviceFilter{Namespace: in.ns(), HardwareID: in.DeviceID}, in.Regex)
	return answer(each(cut(in.Page, list), fromDevice), err)
}

func (d DeviceT) device() fleet.NewDevice {
	id, _ := ota.ParseDeviceID(d.UUID) // the format was checked; empty stays empty
	return fleet.NewDevice{ID: id, Name: d.DeviceName, HardwareID: d.DeviceID, Type: d.DeviceType, Public: d.Credentials}
}

func (a *api) addDevice(ctx context.Context, in *struct {
	Space
	Body DeviceT
}) (*struct {
	Location string `header:"Location"`
	Body     string `doc:"the device's uuid"`
}, error) {
	d, err := a.fleet.AddDevice(ctx, in.ns(), in.Body.device())
	if err != nil {
		return nil, err
	}
	return &struct {
		Location string `header:"Location"`
		Body     string `doc:"the device's uuid"`
	}{prefix + "/devices/" + string(d.ID), string(d.ID)}, nil
}

func (a *api) getDevice(ctx context.Context, in *OneDevice) (*body[Device], error) {
	s, err := a.fleet.Device(ctx, in.ns(), in.id())
	d := fromDevice(s)
	if err == nil && d.Constrained != nil {
		var proof fleet.Proof
		proof, err = a.fleet.Proof(ctx, in.ns(), in.id())
		d.Constrained.Proof = string(proof)
	}
	return answer(d, err)
}

func (a *api) changeDevice(ctx context.Context, in *struct {
	OneDevice
	Body DeviceT
}) (*unit, error) {
	d := in.Body.device()
	if d.ID != "" && d.ID != in.id() {
		return nil, ota.Invalid("a device's uuid cannot change")
	}
	return done(a.fleet.ChangeDevice(ctx, in.ns(), in.id(), d))
}

func (a *api) renewCredentials(ctx context.Context, in *OneDevice) (*body[Credentials], error) {
	clientID, secret, err := a.fleet.NewCredential(ctx, in.ns(), in.id())
	return answer(Credentials{clientID, secret}, err)
}

func (a *api) listInstalled(ctx context.Context, in *struct {
	OneDevice
	Regex string `query:"regex" doc:"pattern (RE2) on name-version"`
}) (*body[[]InstalledPackage], error) {
	re, err := compile(in.Regex)
	if err != nil {
		return nil, err
	}
	inv, at, err := a.fleet.Inventory(ctx, in.ns(), in.id())
	list := slices.DeleteFunc(inv.Packages, func(p ota.Installed) bool { return !re.MatchString(p.Name + "-" + p.Version) })
	return answer(each(list, func(p ota.Installed) InstalledPackage {
		return InstalledPackage{string(in.id()), httpapi.PackageID(p.PackageID), at.UTC()}
	}), err)
}
