package gateway

import (
	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// envelope is the form of events on the event socket (client.md 4.4).
type envelope struct {
	Version string `json:"version"` // "0.1"
	Event   string `json:"event"`
	Data    any    `json:"data"`
}

// failed is the data of DownloadFailed.
type failed struct {
	Update ota.UpdateID `json:"update_id"`
	Reason string       `json:"reason"`
}

// encodeEnvelope writes an event that an installer is told of, and says which
// update it is about; it returns nil for the others.
func encodeEnvelope(e agent.Event) (ota.UpdateID, []byte, error) {
	var id ota.UpdateID
	var data any
	switch e := e.(type) {
	case agent.DownloadComplete:
		id, data = e.Image.Update, downloaded(e.Image)
	case agent.DownloadFailed:
		id, data = e.Update, failed{e.Update, e.Reason}
	default:
		return "", nil, nil
	}
	b, err := marshal(envelope{"0.1", e.Name(), data})
	return id, b, err
}
