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
		err = d.registered(r, c)
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	if begins {
		w.SetCode(coap.Created)
		w.Options().AddString(coap.LocationPath, "rd")
		w.Options().AddString(coap.LocationPath, string(c.ID))
	}
}

func (d *Door) registered(r *coap.Request, c caller) error {
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
	if err := up.Register(r.Context(), address, d.Fleet.Now().Add(lasts)); err != nil {
		return err
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
	d.contact(c.ID)
	return nil
}

// registeredAt is where a device says it can be told something: at the address
// it registers from, on the port of base= if it has another there. What is at
// another address has not asked to be told anything.
func registeredAt(r *coap.Request) (string, error) {
	from := netip.AddrPortFrom(r.Peer.Addr.Addr().Unmap(), r.Peer.Addr.Port())
	base, ok := r.Query("base")
	if !ok {
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
