package httpapi

import (
	"bytes"
	"encoding/json"

	"github.com/updraft-ota/updraft/ota"
)

// maxPending is how many updates a device looks at. Each costs it memory and a
// file, and a server may be hostile; the rest come when these are done.
const maxPending = 1000

// offers are the updates of a server's list that are for the device to act on.
// They are read one by one: the few megabytes a body may have could else become
// gigabytes of values.
type offers []ota.Offer

// UnmarshalJSON implements json.Unmarshaler. text is valid JSON.
func (l *offers) UnmarshalJSON(text []byte) error {
	in := json.NewDecoder(bytes.NewReader(text))
	switch open, err := in.Token(); {
	case err != nil:
		return err
	case open == nil: // null changes nothing, as everywhere
		return nil
	case open != json.Delim('['):
		return ota.Invalid("expected an array")
	}
	*l = offers{}
	for in.More() && len(*l) < maxPending {
		var p struct {
			PendingUpdate
			Artifacts list[Artifact] `json:"artifacts"`
		}
		if err := in.Decode(&p); err != nil {
			return err
		}
		p.PendingUpdate.Artifacts = p.Artifacts
		o, err := p.Offer()
		if err != nil {
			return err
		}
		if o.Status.Active() {
			*l = append(*l, o)
		}
	}
	return nil
}
