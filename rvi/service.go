package rvi

import (
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Service is the last part of a service's name, what follows "/sota/".
type Service string

// The services of the conversation (rvi.md 2.2). A backend's start is another
// than a device's.
const (
	ServiceNotify      Service = "notify"
	ServiceStart       Service = "start"
	ServiceChunk       Service = "chunk"
	ServiceFinish      Service = "finish"
	ServiceGetPackages Service = "getpackages"
	ServiceAbort       Service = "abort"
	ServiceAck         Service = "ack"
	ServiceReport      Service = "report"
	ServicePackages    Service = "packages"
)

// AtDevice and AtBackend are what each side registers (rvi.md 1: all six).
var (
	AtDevice  = []Service{ServiceNotify, ServiceStart, ServiceChunk, ServiceFinish, ServiceGetPackages, ServiceAbort}
	AtBackend = []Service{ServiceStart, ServiceAck, ServiceReport, ServicePackages}
)

// BackendPrefix is the prefix of the backend's services, if it has not told others.
const BackendPrefix = "genivi.org/backend/"

// Local is the name below a node's prefix, such as "/sota/notify".
func (s Service) Local() string { return "/sota/" + string(s) }

// ServiceOf finds the service in a full or local name; "" if it is not one of
// this conversation.
func ServiceOf(name string) Service {
	if i := strings.LastIndex(name, "/sota/"); i >= 0 {
		return Service(name[i+len("/sota/"):])
	}
	return ""
}

// BackendServices are the full names a backend tells in a notify (rvi.md 4.3).
type BackendServices struct{ Start, Ack, Report, Packages string }

// DefaultBackend are the names for a device that was never told any (rvi.md 2.2).
func DefaultBackend() BackendServices {
	at := func(s Service) string { return BackendPrefix + s.Local()[1:] }
	return BackendServices{Start: at(ServiceStart), Ack: at(ServiceAck), Report: at(ServiceReport), Packages: at(ServicePackages)}
}

// CheckBackend refuses names that lie under the device's own prefix (rvi.md
// 4.11). The error has KindForbidden and the code service_prefix_mismatch.
func (s BackendServices) CheckBackend(own Identity) error {
	for _, name := range []string{s.Start, s.Ack, s.Report, s.Packages} {
		if strings.HasPrefix(name, own.Prefix()) {
			return ota.Fail(ota.KindForbidden, "service_prefix_mismatch", "the notify names services of this device itself")
		}
	}
	return nil
}

// DeviceServices are the full names a device tells when it accepts (rvi.md 4.4).
type DeviceServices struct{ Start, Chunk, Abort, Finish, GetPackages string }

// ServicesOf are the names of a device's services.
func ServicesOf(own Identity) DeviceServices {
	at := func(s Service) string { return own.Prefix() + s.Local()[1:] }
	return DeviceServices{Start: at(ServiceStart), Chunk: at(ServiceChunk), Abort: at(ServiceAbort),
		Finish: at(ServiceFinish), GetPackages: at(ServiceGetPackages)}
}

// Name is the full name a device gave to one of its services, "" if it gave none.
func (s DeviceServices) Name(of Service) string {
	switch of {
	case ServiceStart:
		return s.Start
	case ServiceChunk:
		return s.Chunk
	case ServiceAbort:
		return s.Abort
	case ServiceFinish:
		return s.Finish
	case ServiceGetPackages:
		return s.GetPackages
	}
	return ""
}

func (s DeviceServices) all() []string {
	return []string{s.Start, s.Chunk, s.Abort, s.Finish, s.GetPackages}
}
