package resource

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// Options are a Door's. Fleet is needed.
type Options struct {
	Fleet *fleet.Fleet
	// Private closes files to whoever does not prove to be a device.
	Private bool
	// Trusting asks nobody for proof: a device is the one its path names.
	Trusting bool
	// Root tells what the URIs begin with that are handed out to peers of a
	// transport; "", or nil, for what the fleet says.
	Root func(coap.Transport) string
	Log  *slog.Logger // slog.Default() if nil
}

// Door is what a coap.Server serves: all resources of this server.
type Door struct {
	Options
	coap.Mux
	files   *files
	talks   *talks
	listing listing

	ctx   context.Context // until Close
	close context.CancelFunc

	mu        sync.RWMutex
	elsewhere map[string]ota.Namespace // of identities, if not the default one
	gone      map[string]bool          // identities that were removed
	certified map[string]bool          // common names of certificates that are devices'
}

var _ coap.ContentHandler = (*Door)(nil)

// New makes a door. Close it when nothing serves it any more.
func New(o Options) *Door {
	o.Log = cmp.Or(o.Log, slog.Default())
	d := &Door{Options: o, files: newFiles(o.Fleet), elsewhere: map[string]ota.Namespace{}, gone: map[string]bool{}, certified: map[string]bool{}}
	d.talks = newTalks(d)
	d.ctx, d.close = context.WithCancel(context.Background())
	d.Handle("/", fileHandler{d})
	for path, h := range map[string]coap.HandlerFunc{
		"/.well-known/core": d.core, "/u": d.desired, "/r": d.report, "/e": d.enrol, "/rd": d.register,
	} {
		d.Handle(path, h)
	}
	return d
}

// Close closes the files that are kept open.
func (d *Door) Close() {
	d.close()
	d.files.close()
}

// contact notes that a device is there: what waits for it is told now.
func (d *Door) contact(id ota.DeviceID) { d.talks.note(id, func(n *news) { n.here = true }) }

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
	if !ok && r.Context().Err() != nil { // who asked has gone, or the server ends
		w.SetCode(coap.ServiceUnavailable)
		return
	}
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
