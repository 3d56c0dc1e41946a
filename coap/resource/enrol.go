package resource

import (
	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// The keys of what a device claims to be, and of what it gets.
const (
	claimName   = 1
	claimVendor = 2
	claimClass  = 3

	enrolledUUID     = 1
	enrolledIdentity = 2
	enrolledKey      = 3
)

// enrol serves /e: a device that has shown its one-time token gets its key.
func (d *Door) enrol(w coap.ResponseWriter, r *coap.Request) {
	if !only(w, r, coap.POST) {
		return
	}
	if r.Peer.Security != coap.PSK {
		d.refuse(w, r, ota.Fail(ota.KindUnauthenticated, "proof_needed", "enrol over coaps, with the token as the key"))
		return
	}
	claim, err := readClaim(r.Payload)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	k, err := d.Fleet.Enrol(r.Context(), r.Peer.Identity, claim)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	coap.Write(w, coap.Created, coap.CBOR, encode(
		entry{enrolledUUID, string(k.Device)}, entry{enrolledIdentity, k.Identity}, entry{enrolledKey, k.Key}))
}

func readClaim(payload []byte) (c fleet.Claim, err error) {
	entries, err := decode(payload)
	if err != nil {
		return c, err
	}
	for key, to := range map[uint64]*string{claimName: &c.Name, claimVendor: &c.Vendor, claimClass: &c.Class} {
		if *to, err = text(entries, key); err != nil {
			return c, err
		}
	}
	return c, nil
}
