package ota

import (
	"context"
	"encoding/json"
	"time"
)

// Push is a server's end of the conversation with one device over a transport
// by which the server speaks first, and sends the bytes by itself (RVI; CoAP
// where it triggers devices). Whoever holds it translates; what it tells here
// is what happened, and the fleet decides what that means.
type Push interface {
	Uplink

	// Queue is what Pending offers, as the server knows it: in install order,
	// with the times of earlier tries. Unlike Pending it does not count as
	// word from the device.
	Queue(ctx context.Context) ([]QueueEntry, error)

	// Heard notes that the device is there. It is cheap.
	Heard()

	// Sent notes that the device has all bytes of an update, and that only its
	// report is missing. Again it changes nothing.
	Sent(ctx context.Context, id UpdateID) error

	// Unanswered tells that the device did not answer, or ended what was under
	// way: each of the updates that was in flight is Pending again with the
	// reason, or Failed after MaxTries.
	Unanswered(ctx context.Context, ids []UpdateID, reason string) error

	// Interrupted tells that updates are no longer under way because another one
	// was stopped: each that was in flight is Pending again, and no try counts.
	Interrupted(ctx context.Context, ids []UpdateID) error

	// Unreported tells that no report of an update came for too long: it has Failed.
	Unreported(ctx context.Context, id UpdateID) error

	// Contact is what PutContact kept of this device for a protocol. It fails
	// with KindNotFound if there is nothing.
	Contact(ctx context.Context, protocol string) (json.RawMessage, error)

	// PutContact keeps what a protocol must know to speak to the device after
	// a restart, such as its dialect; at most MaxContact bytes.
	PutContact(ctx context.Context, protocol string, state json.RawMessage) error
}

// MaxContact bounds what a protocol keeps of a device, in bytes.
const MaxContact = 16 << 10

// Feed is what a server says unasked to any of its devices, in the order it
// happened: one for all, for a transport that may have thousands of them on
// the line. Notices are hints, as an Inbox's are.
type Feed interface {
	// Next waits for the next notice, and tells whom it is for. It ends with
	// ctx's error when ctx does.
	Next(ctx context.Context) (DeviceID, Notice, error)
}

// Link is a device on the line, as operators see it.
type Link struct {
	Protocol  string   // such as "rvi"
	Peer      string   // how it names itself there, such as a prefix
	Addr      string   // where it connected from; "" if not known
	Device    DeviceID // "" for one nobody registered, which gets nothing
	Secure    bool     // it proved who it is
	Since     time.Time
	Dialect   string // of the protocol, "" until known
	Transfers []Transfer
}

// Transfer is an update whose bytes are under way to its device.
type Transfer struct {
	Update  UpdateID
	Package PackageID
	State   string // in the protocol's words
	Size    int64  // in bytes
	Held    int64  // bytes the device is known to have
	Chunks  int    // pieces the protocol cuts it into
	Done    int    // of them, those the device is known to have
	Resends int
	Rate    float64 // bytes per second lately; 0 if none moved
}
