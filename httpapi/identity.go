package httpapi

import (
	"net"
	"net/http"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// Role says in which part a caller comes.
type Role uint8

const (
	// Anyone is everyone's role on a server that asks for no proof
	// (--auth none): everything is allowed.
	Anyone Role = iota + 1
	Operator
	Device
)

// Identity is who is asking, as far as it was proved. The zero Identity is
// nobody and may do nothing.
type Identity struct {
	Role      Role
	Device    ota.DeviceID  // of a Device
	Namespace ota.Namespace // of a Device
}

// MayBe refuses a caller that cannot speak for the device. It fails with
// KindForbidden.
func (id Identity) MayBe(device ota.DeviceID) error {
	if id.Role == Anyone || id.Role == Device && id.Device == device {
		return nil
	}
	return ota.Fail(ota.KindForbidden, "forbidden", "this token does not speak for device %s", device)
}

// Within tells which namespace the request speaks of: the one its header
// x-ats-namespace names, else a device's own, else the default (server.md
// 1.1). It fails with KindForbidden if a device names another than its own,
// and with KindInvalid if the header names none or several.
func (id Identity) Within(r *http.Request) (ota.Namespace, error) {
	named := r.Header[namespaceHeader]
	switch {
	case len(named) > 1:
		return "", ota.Invalid("x-ats-namespace is given %d times", len(named))
	case len(named) == 0 && id.Role == Device:
		return id.Namespace, nil
	case len(named) == 0:
		return ota.DefaultNamespace, nil
	case id.Role == Device && named[0] != string(id.Namespace):
		return "", ota.Fail(ota.KindForbidden, "forbidden", "this token is for devices of another namespace")
	}
	ns := ota.Namespace(named[0])
	return ns, ns.Validate()
}

const namespaceHeader = "X-Ats-Namespace" // in the form of http.Header's keys

// MayOperate refuses a caller that is no operator. It fails with KindForbidden.
func (id Identity) MayOperate() error {
	if id.Role == Anyone || id.Role == Operator {
		return nil
	}
	return ota.Fail(ota.KindForbidden, "forbidden", "this token is not an operator's")
}

// Who finds out who is asking. It fails with KindUnauthenticated.
type Who func(r *http.Request) (Identity, error)

// Operator lets an operator in, or anyone where nobody is asked for proof. The
// request it returns says whose it is (see ota.Actor). It fails with
// KindUnauthenticated or KindForbidden, and as Within does.
func (who Who) Operator(r *http.Request) (*http.Request, ota.Namespace, error) {
	id, err := who(r)
	if err != nil {
		return r, "", err
	}
	if err := id.MayOperate(); err != nil {
		return r, "", err
	}
	ns, err := id.Within(r)
	return id.Acting(r), ns, err
}

// Acting says in whose name a request is made.
func (id Identity) Acting(r *http.Request) *http.Request {
	who := map[Role]string{Anyone: "anyone", Operator: "operator", Device: "device " + string(id.Device)}[id.Role]
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil {
		who += " at " + host
	}
	return r.WithContext(ota.WithActor(r.Context(), who))
}

// NoAuth takes every caller for Anyone (--auth none).
func NoAuth(*http.Request) (Identity, error) { return Identity{Role: Anyone}, nil }

// OpenFor makes an Opener that lets callers speak for themselves only.
func OpenFor(who Who, uplink func(ota.DeviceID) ota.Uplink) Opener {
	return func(r *http.Request, device ota.DeviceID) (ota.Uplink, error) {
		id, err := who(r)
		if err != nil {
			return nil, err
		}
		if err := id.MayBe(device); err != nil {
			return nil, err
		}
		if _, err := id.Within(r); err != nil {
			return nil, err
		}
		return uplink(device), nil
	}
}

// Bearer returns the request's bearer token (RFC 6750, 2.1). It fails with
// KindUnauthenticated if there is none.
func Bearer(r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", ota.Fail(ota.KindUnauthenticated, "not_authenticated", "send \"Authorization: Bearer <token>\"")
	}
	return token, nil
}
