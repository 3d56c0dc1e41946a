package resource

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// lifetime is how long a registration is good that does not say (RFC 9176 5).
const lifetime = 90_000 * time.Second

// register serves /rd: a device tells where it can be told something (RFC
// 9176, coap-suit.md 2.8), and maybe ?seq=, what it has installed.
//
//	POST   /rd?ep=DEVICE&lt=SECONDS&base=URI   2.01, Location /rd/UUID
//	POST   /rd/UUID?lt=SECONDS&base=URI        2.04, goes on
//	DELETE /rd/UUID                            2.02, forgets it
//
// Whoever has things sent to an address proves to be there first, by an Echo
// option (coap-suit.md 2.9): else forged registrations would have the server
// send messages to others. A device that knows no such option may register
// where it is known to be, say because an operator gave its address; it is not
// told anything sooner for that.
func (d *Door) register(w coap.ResponseWriter, r *coap.Request) {
	if !only(w, r, coap.POST, coap.DELETE) {
		return
	}
	ref, begins := second(r), len(r.Segments()) == 1
	if begins {
		ref, _ = r.Query("ep")
	}
	known := begins && r.Peer.Security != coap.NoSecurity // it need not say who it is
	if ref == "" && !known || begins && r.Code == coap.DELETE {
		d.refuse(w, r, ota.Invalid("name the device: POST /rd?ep=NAME"))
		return
	}
	c, err := d.caller(r, ref)
	if err == nil {
		err = d.registered(w, r, c)
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	if begins { // a challenge goes before this
		w.SetCode(coap.Created)
		w.Options().AddString(coap.LocationPath, "rd")
		w.Options().AddString(coap.LocationPath, string(c.ID))
	}
}

func (d *Door) registered(w coap.ResponseWriter, r *coap.Request, c caller) error {
	up := d.Fleet.Uplink(c.ID)
	if r.Code == coap.DELETE {
		return up.Register(r.Context(), "", time.Time{})
	}
	address, err := registeredAt(r)
	if err != nil {
		return err
	}
	lasts := lifetime
	if s, ok := r.Query("lt"); ok {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n == 0 {
			return ota.Invalid("lt: expected 1 to 4294967295 seconds")
		}
		lasts = time.Duration(n) * time.Second
	}
	switch now := d.Fleet.Now(); {
	case !r.Peer.Proven && !sameAddress(address, c.Constrained.AddressAt(now)):
		w.Challenge()
		return nil
	case !r.Peer.Proven || address == "":
		up.Heard()
	default:
		if err := up.Register(r.Context(), address, now.Add(lasts)); err != nil {
			return err
		}
	}
	if s, ok := r.Query("seq"); ok {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return ota.Invalid("seq: expected a number")
		}
		if err := up.Tell(r.Context(), fleet.State{Sequence: &n, Unproven: !c.proven}); err != nil {
			return err
		}
		d.talks.observed(c.Device)
	}
	if r.Peer.Proven {
		d.contact(c.ID)
	}
	return nil
}

// sameAddress reports whether a registered address is a known one, which may
// lack a port.
func sameAddress(registered, known string) bool {
	return registered == known || registered == net.JoinHostPort(strings.Trim(known, "[]"), defaultPort)
}

// registeredAt is where a device says it can be told something: at the address
// it registers from, on the port of base= if it has another there. What is at
// another address has not asked to be told anything. Without base= it is "" for
// a device that does not speak plain CoAP over UDP: that is what it is told by,
// and where it would listen for that is not known.
func registeredAt(r *coap.Request) (string, error) {
	from := netip.AddrPortFrom(r.Peer.Addr.Addr().Unmap(), r.Peer.Addr.Port())
	base, ok := r.Query("base")
	switch {
	case !ok && r.Peer.Transport != coap.UDP:
		return "", nil
	case !ok:
		return from.String(), nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "coap" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", ota.Invalid("base: expected coap://HOST:PORT")
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	at, err := netip.ParseAddrPort(net.JoinHostPort(u.Hostname(), port))
	if err != nil || at.Addr().Unmap().WithZone("") != from.Addr().WithZone("") {
		return "", ota.Fail(ota.KindForbidden, "another_address", "base: a device registers where it is itself, at %s", from.Addr())
	}
	return netip.AddrPortFrom(from.Addr(), at.Port()).String(), nil
}
