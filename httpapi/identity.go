package httpapi

import (
	"context"
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

// MayOperate refuses a caller that is no operator. It fails with KindForbidden.
func (id Identity) MayOperate() error {
	if id.Role == Anyone || id.Role == Operator {
		return nil
	}
	return ota.Fail(ota.KindForbidden, "forbidden", "this token is not an operator's")
}

type identityKey struct{}

// WithIdentity notes who is asking.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// IdentityOf returns who is asking; nobody if that was not noted.
func IdentityOf(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
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
