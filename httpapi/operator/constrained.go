package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// Constrained is what else is known of a device that is a microcontroller.
type Constrained struct {
	Vendor          string     `json:"vendor" doc:"the vendor's domain"`
	Class           string     `json:"class" doc:"the vendor's text for the class of the device"`
	VendorID        string     `json:"vendorId" format:"uuid" doc:"as it stands in manifests"`
	ClassID         string     `json:"classId" format:"uuid" doc:"as it stands in manifests"`
	PlainCoAP       bool       `json:"plainCoap" doc:"it is believed without any proof: what it tells is marked as unauthenticated"`
	Address         string     `json:"address,omitempty" doc:"where it is a CoAP server itself"`
	RegisteredUntil *time.Time `json:"registeredUntil,omitempty" doc:"present if the device told its address by itself"`
	Sequence        uint64     `json:"sequence" format:"uint64" doc:"of the manifest it has installed; 0 until it tells"`
	Proof           string     `json:"proof,omitempty" enum:"key,enrolment,certificate,none" doc:"by what it can show who it is over coaps: its key; a token by which it gets that, not used yet; a certificate, if it has one. Told of one device, not in lists"`
}

func fromConstrained(c *ota.Constrained) *Constrained {
	if c == nil {
		return nil
	}
	vendor, class := fleet.ClassIDs(*c)
	return &Constrained{c.Vendor, c.Class, vendor, class, c.Plain, c.Address, moment(c.Until), c.Sequence, ""}
}

// ConstrainedT is what an operator says of a new constrained device.
type ConstrainedT struct {
	UUID       string `json:"uuid,omitempty" format:"uuid" doc:"chosen by the server unless given"`
	DeviceName string `json:"deviceName" doc:"unique in its namespace"`
	DeviceID   string `json:"deviceId,omitempty" doc:"the maker's id; unique in its namespace"`
	DeviceType string `json:"deviceType,omitempty" enum:"Vehicle,Other" default:"Other"`
	Vendor     string `json:"vendor" doc:"the vendor's domain, such as example.com"`
	Class      string `json:"class" doc:"the vendor's text for the class of the device"`
	PSK        bool   `json:"psk,omitempty" doc:"make a key for it to speak coaps"`
	Enrol      bool   `json:"enrol,omitempty" doc:"make a token by which it gets its key by itself, once"`
	PlainCoAP  bool   `json:"plainCoap,omitempty" doc:"believe it without any proof, over plain CoAP"`
	Address    string `json:"address,omitempty" doc:"host:port where it is a CoAP server itself"`
}

// ConstrainedKeys are told once.
type ConstrainedKeys struct {
	UUID        string `json:"uuid" format:"uuid"`
	PSKIdentity string `json:"psk_identity,omitempty" doc:"by which it says who it is over DTLS"`
	PSKKey      string `json:"psk_key,omitempty" doc:"printable ASCII; its bytes are the key"`
	EnrolToken  string `json:"enrol_token,omitempty" doc:"the key, with that identity, by which it enrols at /e, once"`
}

func (a *api) constrained() {
	handle(a, huma.Operation{OperationID: "add-constrained-device", Method: http.MethodPost, Path: "/devices/constrained", Tags: []string{"devices"},
		DefaultStatus: 201, Summary: "Register a microcontroller that speaks CoAP"}, a.addConstrained)
	handle(a, huma.Operation{OperationID: "renew-key", Method: http.MethodPost, Path: "/devices/{uuid}/psk", Tags: []string{"devices"},
		DefaultStatus: 201, Summary: "Give a microcontroller another key for coaps; the old one and its sessions end"}, a.renewKey)
}

func (a *api) addConstrained(ctx context.Context, in *struct {
	Space
	Body ConstrainedT
}) (*body[ConstrainedKeys], error) {
	t := in.Body
	id, _ := ota.ParseDeviceID(t.UUID) // the format was checked; empty stays empty
	d, key, err := a.fleet.AddConstrained(ctx, in.ns(), fleet.NewConstrained{
		NewDevice:   fleet.NewDevice{ID: id, Name: t.DeviceName, HardwareID: t.DeviceID, Type: t.DeviceType},
		Constrained: ota.Constrained{Vendor: t.Vendor, Class: t.Class, Plain: t.PlainCoAP, Address: t.Address},
		PSK:         t.PSK, Enrol: t.Enrol,
	})
	return answer(fromKey(d.ID, key), err)
}

func (a *api) renewKey(ctx context.Context, in *struct {
	OneDevice
	Enrol bool `query:"enrol" doc:"make a token by which it gets its key by itself, once, instead"`
}) (*body[ConstrainedKeys], error) {
	key, err := a.fleet.NewKey(ctx, in.ns(), in.id(), in.Enrol)
	return answer(fromKey(in.id(), key), err)
}

func fromKey(id ota.DeviceID, k ota.PSK) ConstrainedKeys {
	if ota.IsEnrolment(k.Identity) {
		return ConstrainedKeys{UUID: string(id), PSKIdentity: k.Identity, EnrolToken: k.Key}
	}
	return ConstrainedKeys{UUID: string(id), PSKIdentity: k.Identity, PSKKey: k.Key}
}
