package resource

import (
	"cmp"
	"log/slog"
	"strings"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// Options are a Door's. Fleet is needed.
type Options struct {
	Fleet *fleet.Fleet
	// Private closes files to whoever does not prove to be a device.
	Private bool
	Log     *slog.Logger // slog.Default() if nil
}

// Door is what a coap.Server serves: all resources of this server.
type Door struct {
	Options
	coap.Mux
	files *files
}

var _ coap.ContentHandler = (*Door)(nil)

// New makes a door. Close it when nothing serves it any more.
func New(o Options) *Door {
	o.Log = cmp.Or(o.Log, slog.Default())
	d := &Door{Options: o, files: newFiles(o.Fleet)}
	d.Handle("/", fileHandler{d})
	d.Handle("/.well-known/core", coap.HandlerFunc(d.core))
	return d
}

// Close closes the files that are kept open.
func (d *Door) Close() { d.files.close() }

// mayRead reports whether a peer may have files and what is told to everyone.
func (d *Door) mayRead(p coap.Peer) bool {
	if p.Security == coap.NoSecurity {
		return !d.Private
	}
	return true
}

// codes is the one table between kinds of failure and CoAP.
var codes = map[ota.Kind]coap.Code{
	ota.KindInvalid:         coap.BadRequest,
	ota.KindUnauthenticated: coap.Unauthorized,
	ota.KindForbidden:       coap.Forbidden,
	ota.KindNotFound:        coap.NotFound,
	ota.KindConflict:        coap.Conflict,
	ota.KindTooLarge:        coap.RequestEntityTooLarge,
	ota.KindLocked:          coap.Forbidden,
	ota.KindTooMany:         coap.TooManyRequests,
	ota.KindUnavailable:     coap.ServiceUnavailable,
	ota.KindUnreachable:     coap.GatewayTimeout,
}

// maxDiagnostic is the longest text that goes into an answer, in bytes: all of
// it stays below what may be sent to an address that is not proven.
const maxDiagnostic = 100

// refuse answers with what went wrong. What is a fault of ours is logged, and
// not told.
func (d *Door) refuse(w coap.ResponseWriter, r *coap.Request, err error) {
	code, ok := codes[ota.KindOf(err)]
	if !ok {
		d.Log.Error("a CoAP request failed", "method", r.Code, "path", r.Path(), "from", r.Peer.Addr, "err", err)
		coap.Fail(w, coap.InternalServerError, "a fault of the server's; its log has the details")
		return
	}
	text := err.Error()
	if len(text) > maxDiagnostic {
		text = strings.ToValidUTF8(text[:maxDiagnostic-len("…")], "") + "…"
	}
	coap.Fail(w, code, "%s", text)
}

// only answers methods other than those that are possible.
func only(w coap.ResponseWriter, r *coap.Request, possible ...coap.Code) bool {
	for _, m := range possible {
		if r.Code == m {
			return true
		}
	}
	w.SetCode(coap.MethodNotAllowed)
	return false
}

// namespaceOf is the namespace whose files a peer gets.
func (d *Door) namespaceOf(coap.Peer) ota.Namespace { return ota.DefaultNamespace }

// PSK is the key of a device that speaks coaps.
func (d *Door) PSK(identity string) ([]byte, error) {
	return nil, ota.Fail(ota.KindUnauthenticated, "unknown_identity", "no device has such an identity")
}
