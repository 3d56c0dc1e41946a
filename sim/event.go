package sim

import (
	"fmt"
	"strings"
	"time"
)

// Event is something that happened on a device. What does not belong to a kind
// is empty.
type Event struct {
	Time     time.Time `json:"time"`
	Device   string    `json:"device"`
	Kind     string    `json:"event"` // one of the constants below
	URL      string    `json:"url,omitempty"`
	Path     string    `json:"path,omitempty"`
	Sequence *uint64   `json:"sequence,omitempty"`
	Digest   string    `json:"digest,omitempty"` // SHA-256
	Size     int64     `json:"size,omitempty"`   // bytes
	Slot     *int      `json:"slot,omitempty"`
	Code     *uint8    `json:"code,omitempty"` // of seed 002
	Result   string    `json:"result,omitempty"`
	Text     string    `json:"text,omitempty"`
}

// The kinds of events.
const (
	Started    = "started"    // it runs what is in Slot, sequence number Sequence
	Listening  = "listening"  // at URL
	Enrolled   = "enrolled"   // is Path from now on
	Registered = "registered" // the server knows where it listens
	Told       = "told"       // of the manifest at URL
	Fetched    = "fetched"    // URL, Size bytes
	Installed  = "installed"  // in Slot, and checked
	Rebooting  = "rebooting"  // into Slot
	Invoked    = "invoked"    // Text names the component and its arguments
	WentBack   = "went_back"  // to what ran before, in Slot
	Outcome    = "outcome"    // of what it was told, with Code, Result and Text
	Reported   = "reported"   // the server has the outcome
	Trouble    = "trouble"    // Text went wrong, and will be tried again
)

// tell tells what happened.
func (d *Device) tell(e Event) {
	e.Time, e.Device = d.Now().UTC(), d.Name
	d.Tell(e)
}

// trouble tells what went wrong on the way.
func (d *Device) trouble(doing string, err error) {
	d.tell(Event{Kind: Trouble, Text: fmt.Sprintf("%s: %v", doing, err)})
}

// String tells an event to people, without its time.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Device, strings.ReplaceAll(e.Kind, "_", " "))
	if e.Result != "" {
		b.WriteString(" " + e.Result)
	}
	if e.Path != "" {
		b.WriteString(" as " + e.Path)
	}
	if e.Sequence != nil {
		fmt.Fprintf(&b, " sequence %d", *e.Sequence)
	}
	if e.Slot != nil {
		fmt.Fprintf(&b, " slot %d", *e.Slot)
	}
	if e.Size != 0 {
		fmt.Fprintf(&b, " %d bytes", e.Size)
	}
	if e.URL != "" {
		b.WriteString(" " + e.URL)
	}
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	return b.String()
}
