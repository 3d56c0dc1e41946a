package resource

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// only the second segment of a path such as /u/DEVICE; "" if there are others.
func second(r *coap.Request) string {
	if s := r.Segments(); len(s) == 2 {
		return s[1]
	}
	return ""
}

// The keys of what a device is to install (coap-suit.md 5).
const (
	desiredSequence = 1 // of the manifest; left out if that is not SUIT
	desiredDigest   = 2 // SHA-256 of the manifest file
	desiredURI      = 3
	desiredSize     = 4 // of the manifest file, in bytes
)

// desired serves /u/DEVICE: what the device is to install now. It may be
// observed. With nothing to install the answer is 4.04, but to an observer the
// empty map, as an error would end the observation (RFC 7641 4.2). A device
// that has two slots says which is free by ?slot=.
func (d *Door) desired(w coap.ResponseWriter, r *coap.Request) {
	if !only(w, r, coap.GET) {
		return
	}
	c, err := d.caller(r, second(r))
	if err == nil && second(r) == "" {
		err = errNothingThere
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	slot, _ := r.Query("slot")
	up := d.Fleet.Uplink(c.ID)
	want, err := up.Desired(r.Context(), slot)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	up.Heard()
	w.Observable()
	_, observing := r.Options.Get(coap.Observe)
	switch {
	case !want.None && len(want.Withheld) == 0:
		d.talks.expect(c.Device, want.Update)
		d.sendMap(w, d.describe(r, want))
	case observing:
		d.sendMap(w, encode())
	default:
		d.refuse(w, r, ota.Fail(ota.KindNotFound, "up_to_date", "there is nothing to install"))
	}
}

func (d *Door) describe(r *coap.Request, want fleet.Desired) []byte {
	sum, _ := hex.DecodeString(string(want.Manifest.SHA256)) // a Digest is hex
	entries := []entry{
		{desiredDigest, sum},
		{desiredURI, want.URL(d.root(r.Peer))},
		{desiredSize, uint64(want.Manifest.Size)},
	}
	if want.Sequence > 0 {
		entries = append([]entry{{desiredSequence, want.Sequence}}, entries...)
	}
	return encode(entries...)
}

// root begins the URIs for a peer: those of the door it came in by.
func (d *Door) root(p coap.Peer) string {
	root := ""
	if d.Root != nil {
		root = d.Root(p.Transport)
	}
	if root == "" {
		root = d.Fleet.CoAPRoot()
	}
	return root
}

// sendMap answers with CBOR, and 2.03 to whoever holds just that.
func (d *Door) sendMap(w coap.ResponseWriter, payload []byte) {
	sum := sha256.Sum256(payload)
	w.SendContent(coap.Content{Body: bytes.NewReader(payload), Size: int64(len(payload)), ETag: string(sum[:etagBytes]), Format: coap.CBOR})
}

// The keys of what a device tells of itself.
const (
	toldState    = 1
	toldResult   = 2 // as in seed 002
	toldSequence = 3
	toldText     = 4
)

// report serves /r/DEVICE: how an update goes, or went.
func (d *Door) report(w coap.ResponseWriter, r *coap.Request) {
	if !only(w, r, coap.POST, coap.PUT) {
		return
	}
	c, err := d.caller(r, second(r))
	if err == nil && second(r) == "" {
		err = errNothingThere
	}
	var s fleet.State
	if err == nil {
		s, err = readState(r.Payload)
	}
	if err == nil {
		s.Unproven = !c.proven
		err = d.Fleet.Uplink(c.ID).Tell(r.Context(), s)
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	d.talks.observed(c.Device) // what comes next
	w.SetCode(coap.Changed)
}

// maxText is the longest text taken from a device, in bytes.
const maxText = 1000

// readState reads a map of ours, or a SUIT_Report. It fails with KindInvalid.
func readState(payload []byte) (s fleet.State, err error) {
	entries, err := decode(payload)
	if err != nil {
		if s, suit := fleet.ReadReport(payload); suit == nil {
			return s, nil
		}
		return s, err
	}
	if s.State, err = number(entries, toldState); err != nil {
		return s, err
	}
	if s.Sequence, err = number(entries, toldSequence); err != nil {
		return s, err
	}
	if s.Text, err = text(entries, toldText); err != nil {
		return s, err
	}
	if len(s.Text) > maxText {
		s.Text = strings.ToValidUTF8(s.Text[:maxText], "")
	}
	code, err := number(entries, toldResult)
	if err != nil || code == nil {
		return s, err
	}
	result := ota.ResultCode(min(*code, 255))
	s.Result = &result
	return s, nil
}
