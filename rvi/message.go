package rvi

import "github.com/updraft-ota/updraft/ota"

// Message is one thing said in the conversation.
type Message interface {
	// Service is whom it is for.
	Service() Service
	// AppendParams appends its parameters, a JSON array of one object or, for
	// GetPackages and Abort, what rvi.md 4.10 says.
	AppendParams(b []byte) []byte
}

// DeviceMessage is what a backend tells a device: Notify, Start, Chunk, Finish,
// GetPackages or Abort.
type DeviceMessage interface {
	Message
	toDevice()
}

// BackendMessage is what a device tells the backend: BackendStart, Ack, Report
// or Packages.
type BackendMessage interface {
	Message
	// Sender is who the message says it is from: a claim, see CheckSender.
	Sender() Identity
	// Dialect is the form the message has.
	Dialect() Dialect
}

// ReadAtDevice reads the parameters of a message to one of a device's services,
// given by its full or local name. Unknown members are ignored. What does not
// decode fails with KindInvalid (or KindTooLarge) and the reason of rvi.md 7 as
// its code; bytes that are no base64, or too many, with KindConflict.
func ReadAtDevice(service string, params []byte) (DeviceMessage, error) {
	var read func(fields) DeviceMessage
	switch s := ServiceOf(service); s {
	case ServiceNotify:
		read = readNotify
	case ServiceStart:
		read = readStart
	case ServiceChunk:
		read = readChunk
	case ServiceFinish:
		read = readFinish
	case ServiceGetPackages, ServiceAbort:
		form, err := readForm(params)
		if s == ServiceAbort {
			return Abort{form}, err
		}
		return GetPackages{form}, err
	default:
		return nil, unknownService(service)
	}
	return readObject(params, read)
}

// ReadAtBackend reads the parameters of a message to one of the backend's
// services; see ReadAtDevice.
func ReadAtBackend(service string, params []byte) (BackendMessage, error) {
	var read func(fields, Dialect) BackendMessage
	switch ServiceOf(service) {
	case ServiceStart:
		read = readBackendStart
	case ServiceAck:
		read = readAck
	case ServiceReport:
		read = readReport
	case ServicePackages:
		read = readPackages
	default:
		return nil, unknownService(service)
	}
	return readObject(params, func(f fields) BackendMessage { return read(f, readDialect(f)) })
}

func unknownService(name string) error {
	return ota.Fail(ota.KindNotFound, "unknown_service", "there is no service %.100q here", name)
}

// readObject unwraps an array of one object, or takes a bare object (rvi.md 2.6).
func readObject[M any](params []byte, read func(fields) M) (m M, err error) {
	v, err := readJSON(params)
	if err != nil {
		return m, err
	}
	if list, ok := elements(v); ok {
		switch len(list) {
		case 0:
			return m, ota.Fail(ota.KindInvalid, "empty_parameters", "the message has no parameters")
		case 1:
			v = list[0]
		default:
			return m, ota.Fail(ota.KindInvalid, "extra_parameters", "the message has more than one parameter")
		}
	}
	members, ok := members(v)
	if !ok {
		return m, ota.Fail(ota.KindInvalid, "wrong_type:parameters", "parameters must be an array of one object")
	}
	read1 := read(fields{m: members, err: &err})
	if err != nil {
		return m, err
	}
	return read1, nil
}
