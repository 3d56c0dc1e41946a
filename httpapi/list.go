package httpapi

import (
	"bytes"
	"encoding/json"

	"github.com/updraft-ota/updraft/ota"
)

// list is a JSON array that is read only as far as a list may be long: the
// few megabytes a body may have could else become gigabytes of values.
type list[T any] []T

// UnmarshalJSON implements json.Unmarshaler. text is valid JSON.
func (l *list[T]) UnmarshalJSON(text []byte) error {
	in := json.NewDecoder(bytes.NewReader(text))
	switch open, err := in.Token(); {
	case err != nil:
		return err
	case open == nil: // null changes nothing, as everywhere
		return nil
	case open != json.Delim('['):
		return ota.Invalid("expected an array")
	}
	*l = list[T]{}
	for in.More() {
		if len(*l) == ota.MaxInventory {
			return ota.Invalid("an array has more than %d elements", ota.MaxInventory)
		}
		var v T
		if err := in.Decode(&v); err != nil {
			return err
		}
		*l = append(*l, v)
	}
	return nil
}
